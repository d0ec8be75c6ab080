/** Words of the small world that the bundled model was pretrained on, and what is true there: as many as the tasks need. */

/** Children of its stories: they may own and do anything. */
export const CHILDREN = words(
  "Anna Ben Clara Dan Ella Finn Grace Henry Ida Jack Kate Leo Lucy Max Nora Oscar Rosa Sam Tess Will Amy Paul Lily Ruby",
);

export const COLOURS = words("red blue green yellow white black brown grey");

/** Things that come in any colour. */
export const THINGS = words("hat kite ball boat cup bag book coat scarf box bell lamp drum doll chair door bottle basket");

export const TOOLS = words("hammer saw needle spade rake knife broom brush ladder axe spoon fork pen pencil compass net");

export const FOOD = words("plum pear lemon banana peach melon carrot potato onion tomato cucumber pumpkin cabbage pancake");

/** Animals: what they live in or on, eat, look like, and what their young are called. */
export const ANIMALS = table(
  ["name", "home", "food", "colour", "young"],
  `
cat      | in a house         | fish and mice     | grey   | kitten
dog      | in a kennel        | meat and bones    | brown  | puppy
horse    | in a stable        | hay               | brown  | foal
pig      | in a sty           | corn              | pink   | piglet
sheep    | in a meadow        | grass             | white  | lamb
goat     | on the hill        | leaves            | white  | kid
hen      | in a henhouse      | corn              | brown  | chick
duck     | on the pond        | water plants      | white  | duckling
swan     | on the lake        | water plants      | white  | cygnet
owl      | in a hollow tree   | mice              | brown  | owlet
parrot   | in the jungle      | nuts and seeds    | green  | chick
canary   | in a cage          | seeds             | yellow | chick
crow     | in a tall tree     | almost anything   | black  | chick
gull     | on the cliff       | fish              | white  | chick
penguin  | in the cold south  | fish              | black and white | chick
eagle    | on a mountain      | rabbits           | brown  | eaglet
mouse    | in a hole          | cheese and grain  | grey   | pup
rabbit   | in a burrow        | carrots           | brown  | kit
squirrel | in a tree          | nuts              | red    | kit
hedgehog | under the leaves   | insects           | brown  | hoglet
fox      | in a den           | mice and berries  | red    | cub
wolf     | in the forest      | meat              | grey   | cub
bear     | in a cave          | honey and berries | brown  | cub
deer     | in the forest      | leaves and grass  | brown  | fawn
lion     | in dry grassland   | meat              | golden | cub
elephant | in warm grassland  | leaves and fruit  | grey   | calf
monkey   | in the jungle      | bananas           | brown  | baby
camel    | in the desert      | dry grass         | brown  | calf
whale    | in the deep sea    | tiny sea animals  | blue   | calf
dolphin  | in the sea         | fish              | grey   | calf
seal     | on the rocks       | fish              | grey   | pup
frog     | near the pond      | flies             | green  | tadpole
snake    | under the stones   | mice              | green  | young snake
bee      | in a hive          | nectar            | yellow and black | larva
ant      | under the ground   | crumbs            | black  | larva
spider   | in a web           | flies             | black  | spiderling
`,
);

/** Grown-ups, of whom it is known what they do and where they live. */
export const RESIDENTS = table(
  ["name", "job", "pet", "likes", "spot"],
  `
Mila   | baker      | cat      | plum cake      | by the river
Otto   | fisherman  | dog      | fried fish     | near the harbour
Greta  | teacher    | parrot   | apple pie      | beside the school
Jonas  | farmer     | horse    | potato soup    | behind the hill
Vera   | doctor     | rabbit   | cucumber salad | near the church
Felix  | postman    | dog      | cheese         | at the end of the lane
Nina   | painter    | cat      | strawberries   | on the hill
Arthur | carpenter  | dog      | bean soup      | near the mill
Bella  | gardener   | duck     | carrot cake    | behind the park
Hugo   | sailor     | parrot   | rice and fish  | beside the lighthouse
Marta  | tailor     | mouse    | honey bread    | near the market
Victor | cook       | cat      | mushroom soup  | across from the inn
Dora   | librarian  | cat      | cherry pie     | behind the library
Edwin  | miller     | donkey   | fresh bread    | beside the mill
Flora  | florist    | canary   | peach pie      | near the bridge
Karl   | blacksmith | horse    | roast chicken  | across the bridge
Stella | pilot      | owl      | noodles        | on the cliff
Bruno  | barber     | canary   | pancakes       | near the fountain
Irma   | nurse      | hamster  | vegetable soup | beside the hospital
Walter | shepherd   | dog      | goat cheese    | beside the meadow
Hilda  | beekeeper  | goat     | honey cake     | near the orchard
Conrad | clockmaker | tortoise | lemon cake     | near the square
Pearl  | diver      | turtle   | oranges        | beside the beach
Magnus | mayor      | goose    | onion pie      | near the town hall
`,
);

const SMALL = words(
  "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen " +
    "eighteen nineteen",
);
const TENS = words("twenty thirty forty fifty sixty seventy eighty ninety");

/** @param n an integer from 0 to 99 */
export function inWords(n: number): string {
  if (n < 20) return SMALL[n]!;
  const tens = TENS[Math.floor(n / 10) - 2]!;
  return n % 10 === 0 ? tens : `${tens}-${SMALL[n % 10]!}`;
}

/** `a fox`, `an owl` */
export function withArticle(noun: string): string {
  return `${/^[aeiou]/.test(noun) ? "an" : "a"} ${noun}`;
}

function words(text: string): readonly string[] {
  return text.split(" ");
}

function table<const K extends string>(keys: readonly K[], text: string): readonly Readonly<Record<K, string>>[] {
  return text
    .trim()
    .split("\n")
    .map((line) => {
      const cells = line.split("|").map((cell) => cell.trim());
      return Object.fromEntries(keys.map((key, i) => [key, cells[i]!])) as Record<K, string>;
    });
}
