/** Stories of the grown-ups of Merrow: work, neighbours, market, mending. */

import { inWords } from "../world/calendar.ts";
import { FOODS } from "../world/food.ts";
import { plural } from "../english.ts";
import { children, place, type Plot, resident, tell, time } from "./cast.ts";

const day: Plot = (w) => {
  const work: Record<string, string> = {
    baker: "$R.He mixed flour, water and salt, and put the dough into the oven.",
    fisherman: "$R.He threw the net into the sea and waited.",
    teacher: "$R.He read a story to the children and wrote new words on the board.",
    farmer: "$R.He fed the pigs, milked the cow and looked at the sky.",
    doctor: "$R.He listened to many hearts and looked into many ears.",
    postman: "$R.He carried letters from door to door, up the hill and down again.",
    painter: "$R.He mixed blue and yellow until the green was right.",
    carpenter: "$R.He cut a long board in two and made a shelf.",
    gardener: "$R.He watered the roses and pulled out the weeds.",
    sailor: "$R.He tied the ropes and washed the deck.",
    tailor: "$R.He measured a coat and sewed on six buttons.",
    cook: "$R.He cut onions, cried a little, and made a pot of soup.",
    librarian: "$R.He put forty books back on the right shelves.",
    miller: "$R.He carried sacks of grain and watched the great wheel turn.",
    florist: "$R.He cut the stems and put the flowers in fresh water.",
    blacksmith: "$R.He made the iron red in the fire and hit it with the hammer.",
    pilot: "$R.He flew over the bay and saw the ships like toys below.",
    barber: "$R.He cut the hair of five men and one very still boy.",
    nurse: "$R.He washed small wounds and told funny stories.",
    shepherd: "$R.He counted the sheep, and then $R.he counted them again.",
    beekeeper: "$R.He opened the hive slowly and took out some honey.",
    clockmaker: "$R.He opened an old clock and cleaned its tiny wheels.",
    diver: "$R.He swam down to the old ship and came up with a green bottle.",
    mayor: "$R.He opened a new bridge and made a speech about it.",
  };
  const r = resident(w);
  return tell(w, { ...r, ...time(w) }, [
    "$R is the $R.job of Merrow{ and lives $R.home|}.",
    "{Yesterday|This morning|On Monday} $R.he got up early{, drank a cup of tea|, fed $R.petname the $R.pet|} and went to work.",
    work[r["R.job"]!]!,
    "{At noon|When the bell rang twelve}, $R.he {ate some bread and cheese|sat in the sun for a while|had $R.likes for lunch}.",
    "{In the evening|When the work was done}, $R.he {came home tired and happy|walked home along the river|closed the door and went home}.",
    "{$R.petname the $R.pet was waiting at the door.|$R.petname the $R.pet was already asleep.|$R.He likes to $R.hobby in the evening, and so $R.he did.|It had been a good day.}",
  ]);
};

const market: Plot = (w) => {
  const counted = w.sample(
    FOODS.filter(({ count, kind }) => count === "one" && (kind === "fruit" || kind === "vegetable")),
    2,
  );
  const [a, b] = [w.between(2, 8), w.between(2, 8)];
  const eaten = w.between(1, Math.min(3, a));
  const first = plural(counted[0]!.name);
  return tell(
    w,
    {
      ...children(w, "A"),
      ...time(w),
      first,
      second: plural(counted[1]!.name),
      a: inWords(a),
      b: inWords(b),
      all: inWords(a + b),
      eaten: inWords(eaten),
      one: eaten === 1 ? counted[0]!.name : first,
      rest: inWords(a - eaten),
      are: a - eaten === 1 ? "was" : "were",
      restname: a - eaten === 1 ? counted[0]!.name : first,
    },
    [
      "$when, $A went to the market{ with a basket| with two silver coins|}.",
      "$A.He bought $a $first and $b $second.",
      "{How many did $A.he carry home? $a and $b make $all.|That made $all pieces in the basket, because $a plus $b is $all.}",
      "On the way home $A.he {ate|gave away|lost} $eaten $one.",
      "{Now there $are $rest $restname left.|So there $are only $rest $restname left, because $a minus $eaten is $rest.}",
      '?{"Where are the others?" asked the mother of $A. $A only smiled.|The $second were all still there.}',
    ],
  );
};

const mending: Plot = (w) => {
  const repair = w.pick([
    { thing: "chair", job: "carpenter", wrong: "had lost a leg", did: "made a new leg from good oak" },
    {
      thing: "clock",
      job: "clockmaker",
      wrong: "had stopped at ten past three",
      did: "cleaned the wheels and turned the key",
    },
    { thing: "coat", job: "tailor", wrong: "had a hole in the sleeve", did: "sewed it with a thin needle" },
    { thing: "gate", job: "blacksmith", wrong: "had fallen from its hooks", did: "made two new hooks of iron" },
    { thing: "toy boat", job: "carpenter", wrong: "had a broken mast", did: "cut a new mast and glued it in" },
    { thing: "net", job: "fisherman", wrong: "was full of holes", did: "tied every broken knot again" },
    { thing: "doll", job: "tailor", wrong: "had lost an arm", did: "sewed the arm on and gave it a new dress" },
    {
      thing: "watch",
      job: "clockmaker",
      wrong: "made no sound at all",
      did: "found a grain of sand between the wheels",
    },
    { thing: "kettle", job: "blacksmith", wrong: "lost all its water", did: "closed the hole with a drop of metal" },
    { thing: "picture", job: "painter", wrong: "had lost its colours", did: "painted the sky and the sea again" },
  ]);
  return tell(w, { ...children(w, "A"), ...resident(w, "R", [repair.job]), ...repair }, [
    "The $thing of $A $wrong.",
    '{"It is old," said the neighbour. "Throw it away."|$A was sad, because it had belonged to $A.his grandfather.|$A tried to mend it alone, but it only got worse.}',
    "So $A took it to $R the $R.job, who lives $R.home.",
    '$R looked at it {for a long time|from all sides} and said, "{That is not so bad|I can mend that|Come back tomorrow}."',
    "$R.He $did.",
    '{"What does it cost?" asked $A. "A smile," said $R.|$A paid with a jar of jam, for $R.he would not take a coin.|When it was done, the $thing was as good as new.}',
    "{Old things have long stories.|$A carried it home with great care.|Since then, the $thing has never been broken again.}",
  ]);
};

const neighbour: Plot = (w) =>
  tell(
    w,
    {
      ...resident(w, "R"),
      ...children(w, "A"),
      dish: w.pick(["a pot of soup", "fresh bread", "a jar of honey", "warm milk", "an apple pie"]),
    },
    [
      "$R the $R.job was sick {and stayed in bed|and had a bad cold|and could not work}.",
      "The {shop|house|street} was very quiet without $R.him.",
      "{$A saw that the windows were dark.|$A knocked, but nobody opened.|$A heard about it in the market.}",
      "So $A {brought $dish|came with $dish and a flower} {to the house|after school}.",
      '{"You are kind," said $R.|$R.petname the $R.pet came to the door first.|"Eat it while it is hot," said $A.}',
      "?$A also fed $R.petname, swept the floor and opened the window.",
      "{After three days $R was well again.|On Friday $R was back at work.} {The first thing that $R.he did was to thank $A.|Everyone was glad, and $A most of all.}",
    ],
  );

const letter: Plot = (w) =>
  tell(
    w,
    {
      ...children(w, "A"),
      ...resident(w),
      ...place(w),
      news: w.pick([
        "a baby was born",
        "the old ship was coming home",
        "there would be music in the square on Sunday",
        "an aunt was coming to visit",
        "grandmother had a new goat",
        "someone had found the lost ring",
      ]),
    },
    [
      "Felix the postman came {up the lane|to the door} with a letter for $A.",
      "{$A had never had a letter before.|The letter had a blue stamp with a whale on it.|The letter was thick and smelled of {the sea|roses|smoke}.}",
      "{$A opened it with a knife.|The hands of $A shook a little.|$A sat down on the stairs and read.}",
      "It said that $news.",
      "$A ran {to $place|across the square} to tell $R the $R.job.",
      '{"That is good news!" said $R.|"Read it again," said $R, "slowly this time."|$R laughed and clapped $R.his hands.}',
      "{In the evening $A wrote an answer, one whole page long.|By supper the whole town knew it.|$A keeps that letter in a box under the bed.}",
    ],
  );

const garden: Plot = (w) =>
  tell(
    w,
    {
      ...children(w, "A"),
      plant: w.pick(["bean", "pumpkin", "sunflower", "tomato", "rose", "cherry tree", "carrot"]),
      ...resident(w, "R", ["gardener", "farmer", "florist"]),
    },
    [
      "{In March|In spring|One day in April}, $R the $R.job gave $A a {seed|small brown seed}.",
      '"What will it be?" asked $A. "{Wait and see|Put it in the ground and find out}," said $R.',
      "$A made a hole {with a spade|with one finger} and covered the seed with {dark earth|soft earth}.",
      "{Every morning|Every evening} $A.he {gave it water|carried water from the well}.",
      '{For two weeks nothing happened.|Days went by, and the ground stayed brown.} {"It is asleep," said $A.|"Patience," said $R.}',
      "Then {a green point came up|two small leaves opened}{ after the rain|}.",
      "{In the summer|Many weeks later} there was a $plant{, as high as $A| and $A was proud of it|}.",
      '{A seed is small, but there is a lot in it.|$A showed it to everyone who came by.|"Now I know what it was," said $A.}',
    ],
  );

const readers: Plot = (w) => {
  const book = w.pick([
    { about: "a whale that could not sing", end: "the whale found its own song" },
    { about: "a king who lost his crown", end: "a goose was wearing the crown" },
    { about: "a girl who lived on the moon", end: "she came down on a rope of light" },
    { about: "a mouse that went to sea", end: "the mouse became the captain" },
    { about: "a tree that wanted to walk", end: "its seeds went all around the world" },
    { about: "a robot that was afraid of rain", end: "the robot got a very big umbrella" },
    { about: "a cook who made soup from stones", end: "everyone put something into the pot" },
  ]);
  return tell(w, { ...children(w, "A"), ...book }, [
    "{On rainy days|Every Saturday|After school} $A goes to the library.",
    "Dora the librarian {has a book for everyone|knows every shelf by heart|always wears a silver ring}.",
    "{Last week|Today} Dora gave $A.him a book about $about.",
    "$A read {on the stairs|under the big window|in a soft chair} and {forgot the time|did not hear the clock}.",
    "In the end, $end.",
    '{"Did you like it?" asked Dora. "Yes," said $A. "Is there another one?"|When $A looked up, it was dark and the library was closed. Dora was still there and waited with a lamp.|$A told the whole story at supper, and the soup got cold.}',
  ]);
};

const cake: Plot = (w) =>
  tell(
    w,
    {
      ...children(w, "A", "B"),
      wrong: w.pick([
        "took salt and not sugar",
        "forgot the eggs",
        "left it in the oven too long",
        "used far too much flour",
      ]),
    },
    [
      "$A and $B wanted to bake a cake{ for their mother| for the school feast| all alone|}.",
      "They took flour, butter, eggs and sugar{, and a big wooden spoon|}.",
      '{There was flour on the table, on the floor and on the cat.|"You stir and I read," said $B.|$A stirred until $A.his arm was tired.}',
      "But they $wrong.",
      'The cake {was strange|looked like a hat|did not look like the one in the book}. {"It is a little special," said $A.|"Maybe the dog will eat it," said $B.}',
      "So they {asked Mila the baker for help|began again from the start}, and the second cake was {golden and sweet|perfect|as soft as a pillow}.",
      "{They learned to taste before they bake.|Nobody ever heard about the first one.|A mistake is a good teacher.}",
    ],
  );

export const TOWN_STORIES: readonly Plot[] = [
  day,
  market,
  mending,
  neighbour,
  letter,
  garden,
  readers,
  cake,
  day,
  market,
];
