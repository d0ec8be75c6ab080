/** Stories of children: finding, losing, sharing, quarrels, courage. */

import { children, food, place, type Plot, resident, tell, time } from "./cast.ts";

const lostThing: Plot = (w) =>
  tell(
    w,
    {
      ...children(w, "A", "B"),
      ...time(w),
      ...place(w),
      thing: w.pick([
        "key",
        "scarf",
        "glove",
        "ball",
        "book",
        "doll",
        "hat",
        "coin",
        "compass",
        "kite",
        "bag",
        "flute",
      ]),
      colour: w.pick(["red", "blue", "green", "yellow", "small", "old", "new", "grey"]),
    },
    [
      "$when, $A {could not find|lost} $A.his $colour $thing.",
      "{$A.He looked under the bed and behind the door, but it was not there.|$A.He looked in every drawer and found only {dust|an old sock|three buttons}.|$A.He looked everywhere, and then $A.he sat down and cried a little.}",
      '?"Where did you see it last?" asked $B.',
      '{"Think of where you were yesterday," said $B.|"Let us look together," said $B.}',
      '{Then $A remembered $place.|$A thought for a long time and said, "I was $at yesterday."}',
      "They {ran|walked|hurried} to $place{ together|}, and there was the $colour $thing{, waiting|, right in the middle|, a little wet but safe}.",
      '{"Thank you," said $A, and gave $B a hug.|$A was very happy and thanked $B.|After that day, $A always put the $thing back in its place.|"Four eyes see more than two," said $B.}',
    ],
  );

const sharedFood: Plot = (w) =>
  tell(w, { ...children(w, "A", "B"), ...time(w), ...food(w) }, [
    "$when, $A had $food and $B had {nothing|only a dry piece of bread|an empty bag}.",
    "{$A looked at the $foodname, and then $A.he looked at $B.|$B looked at the $foodname and said nothing.|$B was hungry, and $A could see it.}",
    '{"Are you hungry?" asked $A. "{Yes, very|A little}," said $B.|"Would you like some?" asked $A. "{Yes, please|Only if there is enough for two}," said $B.}',
    "So $A cut the $foodname in two and gave the {bigger|first|better} half to $B.",
    "{It tasted better than any $foodname that $A had ever eaten alone.|They sat on {the wall|a bench|the stairs} and ate, and neither of them said a word.|Both of them were happy, and nobody was hungry.}",
    "?The next day $B brought {two pears|a warm pancake|a bag of nuts} and shared with $A.",
  ]);

const kite: Plot = (w) =>
  tell(
    w,
    {
      ...children(w, "A", "B"),
      colour: w.pick(["red", "yellow", "blue", "green", "orange", "white"]),
      tree: w.pick(["oak", "pine", "tall apple tree", "chestnut tree"]),
    },
    [
      "{One windy day|On a windy afternoon|When the wind was strong}, $A took $A.his $colour kite to the {hill|meadow|beach}.",
      "The kite {climbed|rose|flew} higher and higher{, until it was as small as a bird|, above the roofs and the trees|}.",
      "Then the {string broke|wind turned}, and the kite {fell|flew} into the top of a $tree.",
      '{"Oh no!" cried $A. "It is too high for me."|$A jumped and jumped, but $A.he could not reach it.}',
      "$B {came by with a ladder|brought a ladder from the shed|found a long stick} and {helped $A.him|got the kite down}.",
      "{The kite had a small hole, so they mended it with paper and glue.|The kite was not broken at all.|Only the tail was torn, and they made a new one from an old shirt.}",
      '{Soon it was flying again.|They flew it together until the sun went down.|"Next time I will hold it with both hands," said $A.}',
    ],
  );

const courage: Plot = (w) => {
  const fear = w.pick([
    { of: "the dark", helper: "a small lamp", found: "the dark was only the day with its eyes closed" },
    { of: "deep water", helper: "a warm hand", found: "the water carried those who lay still" },
    { of: "thunder", helper: "a thick blanket", found: "thunder was only a big noise from far away" },
    { of: "the big dog next door", helper: "a bone", found: "the dog only wanted a friend" },
    { of: "the high ladder", helper: "a rope", found: "the view was worth every step" },
    { of: "the geese near the pond", helper: "a handful of corn", found: "the geese were only hungry" },
    { of: "speaking in front of the class", helper: "a deep breath", found: "the others were listening kindly" },
    { of: "spiders", helper: "a glass and a piece of paper", found: "the spider was even more afraid" },
  ]);
  return tell(w, { ...children(w, "A", "B"), of: fear.of, helper: fear.helper, found: fear.found }, [
    "$A was afraid of $of.",
    "{$A.He never told anyone.|Everyone knew it, and nobody laughed.|When $A.he thought of it, $A.his heart beat fast.}",
    '{One evening|One day|At last} $A.he told $B. {"I am afraid too, sometimes," said $B.|"Being brave does not mean that you are never afraid," said $B.|"Shall we go together?" asked $B.}',
    "{$B said that all it took was $helper.|$B knew a good way: $helper.}",
    "{Slowly|Step by step|With shaking knees}, $A {went on|tried it|did not run away this time}.",
    "$A.He found out that $found.",
    '{From that day on, $A was a little braver.|"That was not so bad," said $A.|$A smiled and wanted to do it again.}',
  ]);
};

const quarrel: Plot = (w) =>
  tell(
    w,
    {
      ...children(w, "A", "B"),
      ...time(w),
      thing: w.pick(["swing", "ball", "drum", "toy boat", "red pencil", "sledge", "bicycle", "telescope", "big chair"]),
    },
    [
      "$when, $A and $B both wanted the $thing.",
      '"It is my turn," said $A. "No, it is mine," said $B.',
      "{They pulled and shouted until both were red in the face.|They grew louder and louder, and {the cat|a pigeon|the dog} ran away.|They turned their backs and did not speak.}",
      "{After a while|Soon|When the clock struck four,} $A felt {sad|foolish|sorry}.",
      '{"I am sorry," $A.he said. "You can go first."|"It is more fun with you," $A.he said. "Let us take turns."}',
      '{"I am sorry too," said $B.|$B smiled and held out a hand.}',
      "{They took turns until it was dark.|The $thing was big enough for two friends.|A quarrel is short when someone says sorry.}",
    ],
  );

const hideAndSeek: Plot = (w) => {
  const spot = w.pick([
    "behind the curtain",
    "under the table",
    "in the big basket",
    "behind the apple tree",
    "in the hay",
    "under the old boat",
    "inside the wardrobe",
    "behind the water barrel",
  ]);
  return tell(w, { ...children(w, "A", "B", "C"), spot, count: w.pick(["ten", "twenty", "thirty", "fifty"]) }, [
    "{After school|On Saturday|One afternoon}, $A, $B and $C played hide and seek.",
    "$A closed $A.his eyes and counted to $count.",
    "$B hid $spot{ and held $B.his breath| and did not move|}.",
    "$C {ran in circles|could not choose a place|stood in the open} and was found at once.",
    "But nobody could find $B.",
    '{Then something sneezed $spot.|Then a quiet laugh came from somewhere.|At last $A saw a shoe $spot.} {"I found you!" cried $A.|"There you are!" said $A.}',
    '{$B came out, full of dust, and laughed.|"Next time I will hide better," said $B.|Then it was the turn of $B to count.}',
  ]);
};

const rain: Plot = (w) =>
  tell(w, { ...children(w, "A"), ...resident(w), ...place(w) }, [
    "{One Monday|One grey morning|One day in autumn}, $A {forgot $A.his umbrella|left $A.his umbrella at home}.",
    "$A.He was on the way to $place when {the rain began|dark clouds came over the hill}.",
    "First {there was one drop, then ten, then a thousand|it rained a little, and then it rained a lot}.",
    "{$A ran|$A hid under a tree|$A held a newspaper over $A.his head}, but soon {$A.his shoes were full of water|$A.he was wet from head to foot}.",
    "$R the $R.job saw $A.him and {opened the door|asked $A.him to come in|waved from the window}.",
    "$R gave $A.him a {dry towel|warm blanket} and {a cup of tea|a bowl of soup|a piece of cake}.",
    '{When the rain stopped, a rainbow stood over the town.|$A sat by the fire until the rain was over.|"Rain is nice when you are inside," said $A.}',
  ]);

const snow: Plot = (w) =>
  tell(
    w,
    {
      ...children(w, "A", "B"),
      nose: w.pick(["carrot", "pine cone", "red button"]),
      hat: w.pick(["an old hat", "a bucket", "a flower pot"]),
    },
    [
      "{In the night it had snowed.|Snow fell all night.} In the morning the whole town was white{ and quiet|}.",
      "$A put on {warm boots and thick gloves|a coat, a scarf and a hat} and {ran outside|called for $B}.",
      "$A and $B {rolled a big ball, then a smaller one, and then a very small one|made a snowman as tall as the fence}.",
      "They used {two black stones|two pieces of coal} for the eyes and a $nose for the nose.",
      "?On its head they put $hat.",
      '{"He looks like the mayor," said $B, and they laughed.|"Good night, snowman," they said when it got dark.|Their hands were cold, but they did not care.}',
      "{A week later the sun came out, and only the $nose was left.|The next day the snowman was still there, and a robin sat on its arm.|At home they drank hot milk with honey.}",
    ],
  );

const learning: Plot = (w) => {
  const skill = w.pick([
    { to: "swim", first: "drank half of the lake" },
    { to: "ride a bicycle", first: "fell into the bushes" },
    { to: "play the flute", first: "made a sound like a sick goose" },
    { to: "bake bread", first: "baked a loaf as hard as a stone" },
    { to: "tie a knot", first: "tied the rope to the chair" },
    { to: "paint a horse", first: "painted something like a table with ears" },
    { to: "whistle", first: "blew only air" },
    { to: "read", first: "held the book the wrong way round" },
    { to: "fish", first: "caught an old boot" },
    { to: "dance", first: "stepped on every foot in the room" },
  ]);
  return tell(w, { ...children(w, "A"), ...resident(w), to: skill.to, first: skill.first }, [
    "$A wanted to learn to $to.",
    "{The first time|On the first day}, $A.he $first.",
    "?{The others laughed, and $A laughed too.|It was not a good start.}",
    '"{Try again|Do not give up|Go slowly}," said $R the $R.job. "{Nobody is born with it|I had to learn it too|Every day a little}."',
    "So $A tried {on Monday, on Tuesday and on Wednesday|every day after school|again and again}.",
    "{Some days were good and some days were bad.|It was hard, and it took a long time.}",
    "{After many weeks|One morning|At the end of the summer}, $A could $to{ at last| all alone| better than anyone in the street}.",
    '{"You see?" said $R.|$A was very proud.|And then $A.he taught it to $A.his little brother.}',
  ]);
};

const gift: Plot = (w) =>
  tell(
    w,
    {
      ...children(w, "A", "B"),
      age: w.pick(["six", "seven", "eight", "nine", "ten"]),
      gift: w.pick([
        "a small telescope",
        "a wooden boat",
        "a box of colours",
        "a pair of red gloves",
        "a book about the sea",
        "a puppy in a basket",
        "a brass compass",
        "a music box",
        "a blue kite",
        "a jar of honey",
      ]),
      paper: w.pick(["blue paper", "an old newspaper", "a silver cloth", "green leaves"]),
    },
    [
      "{It was the birthday of $A.|Today $A had a birthday.} $A.He was now $age years old.",
      "{There was a cake with $age candles.|The mother of $A baked a plum cake with $age candles.|The whole family sang for $A.him.}",
      "$B brought a gift in $paper.",
      '{"Guess what it is," said $B.|"Do not shake it," said $B.|"Open it," said $B.}',
      '?"Is it something to eat?" asked $A. "No," said $B.',
      "Inside was $gift.",
      '{"It is just what I wanted!" cried $A.|$A did not know what to say, so $A.he gave $B a hug.|$A was so happy that $A.he danced around the table.}',
      "{Then they ate the cake, and not a crumb was left.|It was the best birthday of all.|$A kept it for many years.}",
    ],
  );

const newFriend: Plot = (w) =>
  tell(
    w,
    {
      ...children(w, "A", "B"),
      from: w.pick([
        "a big city",
        "an island",
        "a village in the mountains",
        "a land where it never snows",
        "the other side of the sea",
      ]),
      game: w.pick(["marbles", "cards", "ball", "chess", "catch"]),
    },
    [
      '{A new $B.child came to the school. "This is $B," said the teacher.|There was a new $B.child in the class, and $B.his name was $B.}',
      "$B came from $from and {did not know anyone|was very quiet|sat alone at the window}.",
      "?In the break the others ran outside, but $B stayed on the bench.",
      '$A sat down beside $B.him. "{Do you play $game|What is it like there|Would you like half of my bread}?" asked $A.',
      "$B {nodded|smiled for the first time|looked up}.",
      "{They played $game until the bell rang.|They talked until the bell rang.|$B told $A about ships, mountains and strange birds.}",
      '{From then on they walked home together every day.|In the evening $B said, "I think I like it here."|A friend is found faster than a coin.}',
    ],
  );

const picnic: Plot = (w) =>
  tell(
    w,
    {
      ...children(w, "A", "B"),
      ...food(w),
      thief: w.pick(["a row of ants", "a goat", "a brown dog", "two gulls", "a clever crow", "a fat goose"]),
    },
    [
      "{On a sunny Sunday|One warm day in June|On the first day of summer}, $A and $B had a picnic {in the meadow|by the river|on the hill}.",
      "They spread a blanket {under a tree|in the shade|on the grass} and unpacked bread, cheese and $food.",
      '{Then they lay down and looked at the clouds.|"Let us wash our hands first," said $B.|Before they ate, they picked some flowers.}',
      "When they {came back|turned around|looked again}, the cheese was gone.",
      '{"Was it you?" asked $A. "No, was it you?" asked $B.|"Cheese has no legs," said $A.}',
      "Then they saw $thief, {busy and happy|not far away|with the last piece of cheese}.",
      '{They laughed and ate the $foodname instead.|"Good taste," said $B.|Next time they put everything under a bowl.}',
    ],
  );

export const PLAY: readonly Plot[] = [
  lostThing,
  sharedFood,
  kite,
  courage,
  quarrel,
  hideAndSeek,
  rain,
  snow,
  learning,
  gift,
  newFriend,
  picnic,
];
