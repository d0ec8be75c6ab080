import { table } from "../table.ts";

/** Words and their opposites. `shown` holds a phrase that each one fits in, with a star for the word, or a dash. */
export const OPPOSITES = table(
  ["word", "opposite", "shown"],
  `
hot | cold | the tea is *
big | small | the house is *
tall | short | the tree is *
long | short | the rope is *
fast | slow | the cart is *
high | low | the wall is *
deep | shallow | the water is *
wide | narrow | the street is *
thick | thin | the book is *
heavy | light | the bag is *
full | empty | the basket is *
old | young | the horse is *
new | old | the coat is *
wet | dry | the towel is *
clean | dirty | the floor is *
hard | soft | the bed is *
loud | quiet | the music is *
happy | sad | the dog is *
rich | poor | the town is *
strong | weak | the rope is *
brave | afraid | the dog is *
kind | cruel | the sea is *
clever | foolish | the fox is *
early | late | the bus is *
open | closed | the door is *
bright | dark | the room is *
sweet | sour | the plum is *
sharp | blunt | the knife is *
rough | smooth | the stone is *
warm | cool | the wind is *
near | far | the island is *
right | wrong | the answer is *
easy | difficult | the puzzle is *
cheap | expensive | the hat is *
sick | healthy | the lamb is *
awake | asleep | the owl is *
alive | dead | the tree is *
calm | stormy | the sea is *
straight | crooked | the path is *
true | false | the story is *
up | down | -
left | right | -
day | night | -
summer | winter | -
morning | evening | -
north | south | -
east | west | -
first | last | -
front | back | -
inside | outside | -
above | below | -
before | after | -
always | never | -
push | pull | -
give | take | -
buy | sell | -
laugh | cry | -
find | lose | -
begin | end | -
come | go | -
question | answer | -
friend | enemy | -
land | sea | -
yes | no | -
`,
);
