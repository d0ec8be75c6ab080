/** Words of the small world that the bundled model was pretrained on, and what is true there: as many as the tasks need. */

/** Children of its stories: they may own and do anything. */
export const CHILDREN = words(
  "Anna Ben Clara Dan Ella Finn Grace Henry Ida Jack Kate Leo Lucy Max Nora Oscar Rosa Sam Tess Will Amy Paul Lily Ruby",
);

export const COLOURS = words("red blue green yellow white black brown grey");

/** Things that come in any colour. */
export const THINGS = words(
  "hat kite ball boat cup bag book coat scarf box bell lamp drum doll chair door bottle basket",
);

export const TOOLS = words(
  "hammer saw needle spade rake knife broom brush ladder axe spoon fork pen pencil compass net",
);

export const FOOD = words(
  "plum pear lemon banana peach melon carrot potato onion tomato cucumber pumpkin cabbage pancake",
);

export const OBJECTS = words("shells apples stamps coins books balls flowers stones");

export const PLACES = [
  "in the garden",
  "at the harbour",
  "on the beach",
  "in the park",
  "by the river",
  "on the hill",
  "at the market",
  "in the school",
  "near the mill",
  "in the forest",
];

/** What has nothing to do with it, so that the end of a text does not tell its class. */
export const TAILS = [
  "Then they went home.",
  "After that it rained.",
  "Then the bell rang.",
  "The sun was warm that day.",
  "In the evening they had soup.",
  "Nobody said a word.",
];

/** Animals: where they live, and what their young are called. */
export const ANIMALS = table(
  ["name", "home", "young"],
  `
cat      | in a house        | kitten
dog      | in a kennel       | puppy
horse    | in a stable       | foal
pig      | in a sty          | piglet
sheep    | in a meadow       | lamb
goat     | on the hill       | kid
hen      | in a henhouse     | chick
duck     | on the pond       | duckling
swan     | on the lake       | cygnet
owl      | in a hollow tree  | owlet
parrot   | in the jungle     | chick
canary   | in a cage         | chick
crow     | in a tall tree    | chick
gull     | on the cliff      | chick
penguin  | in the cold south | chick
eagle    | on a mountain     | eaglet
mouse    | in a hole         | pup
rabbit   | in a burrow       | kit
squirrel | in a tree         | kit
hedgehog | under the leaves  | hoglet
fox      | in a den          | cub
wolf     | in the forest     | cub
bear     | in a cave         | cub
deer     | in the forest     | fawn
lion     | in dry grassland  | cub
elephant | in warm grassland | calf
monkey   | in the jungle     | baby
camel    | in the desert     | calf
whale    | in the deep sea   | calf
dolphin  | in the sea        | calf
seal     | on the rocks      | pup
frog     | near the pond     | tadpole
bee      | in a hive         | larva
ant      | under the ground  | larva
spider   | in a web          | spiderling
`,
);

/** Of the grown-ups of the town: the names of their pets, and where they live. */
export const RESIDENTS = table(
  ["petName", "spot"],
  `
Button   | by the river
Skipper  | near the harbour
Coco     | beside the school
Star     | behind the hill
Clover   | near the church
Letter   | at the end of the lane
Violet   | on the hill
Chip     | near the mill
Daisy    | behind the park
Captain  | beside the lighthouse
Thread   | near the market
Pepper   | across from the inn
Page     | behind the library
Dusty    | beside the mill
Petal    | near the bridge
Thunder  | across the bridge
Moon     | on the cliff
Tune     | near the fountain
Peanut   | beside the hospital
Shadow   | beside the meadow
Thistle  | near the orchard
Tick     | near the square
Coral    | beside the beach
Duke     | near the town hall
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
