import { table } from "../table.ts";

/** Animals: class, a mark, the young, food, home, legs, how it moves (plain verb),
 * its sound (plain verb, "-" for none), its colour. */
export const ANIMALS = table(
  ["name", "kind", "mark", "young", "food", "home", "legs", "moves", "sound", "colour"],
  `
cat       | pet           | soft fur and sharp claws   | kitten   | fish and mice    | in a house          | four  | climb   | meow    | grey
dog       | pet           | a wet nose                 | puppy    | meat and bones   | in a kennel         | four  | run     | bark    | brown
horse     | farm animal   | a long mane                | foal     | hay              | in a stable         | four  | gallop  | neigh   | brown
cow       | farm animal   | a bell and two horns       | calf     | grass            | in a barn           | four  | walk    | moo     | black and white
pig       | farm animal   | a curly tail               | piglet   | corn             | in a sty            | four  | roll    | grunt   | pink
sheep     | farm animal   | thick wool                 | lamb     | grass            | in a meadow         | four  | walk    | bleat   | white
goat      | farm animal   | a short beard              | kid      | leaves           | on the hill         | four  | climb   | bleat   | white
donkey    | farm animal   | very long ears             | foal     | hay              | in a stable         | four  | walk    | bray    | grey
hen       | farm bird     | short wings                | chick    | corn             | in a henhouse       | two   | scratch | cluck   | brown
duck      | water bird    | flat feet                  | duckling | water plants     | on the pond         | two   | swim    | quack   | white
goose     | water bird    | a long neck                | gosling  | grass            | near the pond       | two   | swim    | honk    | white
swan      | water bird    | a long white neck          | cygnet   | water plants     | on the lake         | two   | glide   | hiss    | white
owl       | bird          | big round eyes             | owlet    | mice             | in a hollow tree    | two   | fly     | hoot    | brown
parrot    | bird          | bright feathers            | chick    | nuts and seeds   | in the jungle       | two   | fly     | talk    | green
canary    | bird          | small yellow wings         | chick    | seeds            | in a cage           | two   | fly     | sing    | yellow
crow      | bird          | shiny feathers             | chick    | almost anything  | in a tall tree      | two   | fly     | caw     | black
gull      | sea bird      | long narrow wings          | chick    | fish             | on the cliff        | two   | fly     | scream  | white
robin     | bird          | a red breast               | chick    | worms            | in the garden       | two   | hop     | sing    | red and brown
penguin   | sea bird      | a black and white coat     | chick    | fish             | in the cold south   | two   | swim    | squawk  | black and white
eagle     | bird          | strong claws               | eaglet   | rabbits          | on a mountain       | two   | fly     | scream  | brown
mouse     | small animal  | a thin tail                | pup      | cheese and grain | in a hole           | four  | run     | squeak  | grey
rabbit    | small animal  | long ears                  | kit      | carrots          | in a burrow         | four  | hop     | squeak  | brown
hamster   | pet           | fat cheeks                 | pup      | seeds            | in a cage           | four  | run     | squeak  | golden
squirrel  | small animal  | a bushy tail               | kit      | nuts             | in a tree           | four  | jump    | chatter | red
hedgehog  | small animal  | sharp spines               | hoglet   | insects          | under the leaves    | four  | crawl   | snuffle | brown
fox       | wild animal   | a red coat                 | cub      | mice and berries | in a den            | four  | run     | bark    | red
wolf      | wild animal   | grey fur and strong teeth  | cub      | meat             | in the forest       | four  | run     | howl    | grey
bear      | wild animal   | heavy paws                 | cub      | honey and berries| in a cave           | four  | climb   | growl   | brown
deer      | wild animal   | long thin legs             | fawn     | leaves and grass | in the forest       | four  | jump    | snort   | brown
lion      | wild animal   | a golden mane              | cub      | meat             | in dry grassland    | four  | run     | roar    | golden
elephant  | wild animal   | a long trunk               | calf     | leaves and fruit | in warm grassland   | four  | walk    | trumpet | grey
monkey    | wild animal   | a long tail and quick hands| baby     | bananas          | in the jungle       | four  | climb   | chatter | brown
giraffe   | wild animal   | a very long neck           | calf     | leaves           | in dry grassland    | four  | walk    | hum     | yellow and brown
camel     | desert animal | a hump                     | calf     | dry grass        | in the desert       | four  | walk    | groan   | brown
whale     | sea animal    | a huge tail                | calf     | tiny sea animals | in the deep sea     | no    | swim    | sing    | blue
dolphin   | sea animal    | a smiling mouth            | calf     | fish             | in the sea          | no    | swim    | click   | grey
seal      | sea animal    | smooth wet skin            | pup      | fish             | on the rocks        | no    | swim    | bark    | grey
crab      | sea animal    | two big claws              | young crab | small shells   | under the rocks     | ten   | walk sideways | - | red
octopus   | sea animal    | eight long arms            | young octopus | crabs       | on the sea floor    | no    | swim    | - | purple
turtle    | sea animal    | a hard shell               | young turtle | sea grass    | in the warm sea     | four  | swim    | - | green
tortoise  | slow animal   | a heavy shell              | young tortoise | leaves     | in the garden       | four  | crawl   | - | brown
frog      | small animal  | long back legs             | tadpole  | flies            | near the pond       | four  | jump    | croak   | green
snake     | long animal   | a long body and no legs    | young snake | mice          | under the stones    | no    | crawl   | hiss    | green
bee       | insect        | yellow and black stripes   | larva    | nectar           | in a hive           | six   | fly     | buzz    | yellow and black
ant       | insect        | a tiny strong body         | larva    | crumbs           | under the ground    | six   | crawl   | - | black
butterfly | insect        | wide bright wings          | caterpillar | nectar        | in the meadow       | six   | fly     | - | orange
spider    | small animal  | eight thin legs            | spiderling | flies          | in a web            | eight | crawl   | - | black
`,
);
