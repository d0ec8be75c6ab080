/** Stories and fables of animals. */

import { animals, children, type Plot, resident, tell, time } from "./cast.ts";

const rescue: Plot = (w) => {
  const animal = w.pick([
    {
      X: "kitten",
      stuck: "sat in a tall tree and could not come down",
      help: "climbed up with a ladder",
      from: "the tree",
    },
    { X: "lamb", stuck: "had fallen into a ditch", help: "lifted it out with both arms", from: "the ditch" },
    { X: "gull", stuck: "was caught in an old net", help: "cut the net with a knife", from: "the net" },
    { X: "hedgehog", stuck: "had fallen into a bucket", help: "put a board into the bucket", from: "the bucket" },
    { X: "duckling", stuck: "had lost its mother", help: "carried it to the pond in a hat", from: "the road" },
    { X: "puppy", stuck: "was locked in the shed", help: "found the key under a stone", from: "the shed" },
    {
      X: "robin",
      stuck: "had flown into the school and could not get out",
      help: "opened all the windows",
      from: "the school",
    },
    { X: "goat", stuck: "stood on the roof and was proud of it", help: "held up a bunch of leaves", from: "the roof" },
    { X: "tortoise", stuck: "lay on its back", help: "turned it over with great care", from: "the path" },
  ]);
  return tell(w, { ...children(w, "A"), ...time(w), ...animal }, [
    "$when, $A heard {a small sound|a strange noise|someone crying}.",
    "A little $X $stuck.",
    '{"Poor thing," said $A.|"Do not be afraid," said $A.|The $X looked at $A with big eyes.}',
    "$A {thought for a moment and|called for help, but nobody came, so $A.he|} $help.",
    "{Soon the $X was free.|The $X shook itself and was safe.}",
    "{It looked back once and was gone.|It stayed with $A for the rest of the day.|The next morning it came back to say thank you.|$A gave it some water and a name.}",
  ]);
};

const fable: Plot = (w) => {
  const lesson = w.pick([
    {
      boast: '"I am the {strongest|fastest|cleverest} animal {in the land|of all}," said the $X.',
      turn: "The $Y said nothing and {went on with its work|only smiled}.",
      event:
        "{Then a storm came, and the $X did not know where to go.|Then the $X fell into a hole and could not get out.|But in the evening the $X could not find the way home.}",
      end: '{It was the $Y that helped.|The $Y came and showed the way.} {"You are small, but you are wise," said the $X.|Since then, the $X has been more quiet.}',
    },
    {
      boast: "The $X had {a lot of food|more food than it could eat}, and the $Y had none.",
      turn: '"Please give me a little," said the $Y. {"It is mine," said the $X.|"Come back tomorrow," said the $X.}',
      event: "{Then winter came.|That night, rain came and washed everything away.} Now the $X had nothing.",
      end: 'The $Y found {a few nuts|some berries} and shared them with the $X. {"I will never forget this," said the $X.|The $X was ashamed, and said thank you.}',
    },
    {
      boast: "The $X and the $Y wanted to know who was faster.",
      turn: "They ran from {the mill to the bridge|the old tree to the river}. The $X was far ahead.",
      event:
        "{But the $X stopped to sleep under a tree.|But the $X stopped to look at itself in the water.|But the $X stopped to laugh at the $Y.}",
      end: 'The $Y went on, step by step, and {came in first|was there before the $X}. {Slow and steady is also a way to win.|"Let us race again tomorrow," said the $X.}',
    },
    {
      boast: "The $X was {lonely|sad} and sat all alone.",
      turn: '"Why are you so quiet?" asked the $Y. "{I have no one to play with|Nobody listens to me}," said the $X.',
      event:
        "The $Y sat down beside the $X, {and they watched the clouds|and they looked at the stars|and neither of them spoke for a while}.",
      end: '{"I feel better now," said the $X.|Since that day, nobody has seen the one without the other.|A friend does not have to look like you.}',
    },
    {
      boast: "The $X found {a mirror|a shiny coin|a red balloon} in the grass.",
      turn: '"{What is that|May I see it}?" asked the $Y.',
      event:
        "{The $X pulled, and the $Y pulled, until a crow flew down and took it away.|Both wanted it, and they shouted until the sun went down.}",
      end: '{"Now we have nothing," said the $Y.|So in the end neither of them had it.} {They looked at each other and had to laugh.|The next time they shared.}',
    },
  ]);
  return tell(w, animals(w, "X", "Y"), [
    "{Once there was a $X and a $Y.|A $X and a $Y lived near the same river.|Long ago, a $X met a $Y.}",
    "?{The $X had $X.mark.|The $Y had $Y.mark.|The $X lived $X.home, and the $Y lived $Y.home.}",
    lesson.boast,
    lesson.turn,
    lesson.event,
    lesson.end,
  ]);
};

const night: Plot = (w) => {
  const noise = w.pick([
    { sound: "a scratching sound under the floor", was: "a mouse with a piece of cheese" },
    { sound: "a knocking at the window", was: "only a branch of the old tree" },
    { sound: "steps on the roof", was: "the neighbour's cat in the moonlight" },
    { sound: "a long deep hoot", was: "an owl on the chimney" },
    { sound: "something rolling down the stairs", was: "a potato that had fallen from the basket" },
    { sound: "a quiet crying in the garden", was: "a puppy that had lost its way" },
    { sound: "a strange clicking in the kitchen", was: "a crab that had climbed out of the bucket" },
  ]);
  return tell(
    w,
    { ...children(w, "A"), ...noise, friend: w.pick(["father", "mother", "big brother", "grandmother"]) },
    [
      "{In the middle of the night|Late at night|One dark night}, $A woke up{| and sat up in bed}. $A.He heard $sound.",
      '{"A thief!" thought $A.|"It is a ghost!" thought $A.|$A pulled the blanket over $A.his head.}',
      "{Then $A.he woke $A.his $friend, and they took a lamp.|$A.He took a lamp and a wooden spoon and went to look.}",
      "{The floor was cold and the lamp made long shadows.|The sound came closer and closer.|The sound came again.}",
      "It was $was.",
      '{$A laughed and went back to bed.|Then everyone could sleep again.|"You gave me a fright," said $A.}',
    ],
  );
};

const pet: Plot = (w) =>
  tell(
    w,
    {
      ...resident(w),
      ...children(w, "A"),
      where: w.pick([
        "in the bakery, in an empty flour sack",
        "in a boat in the harbour",
        "on the chair of the mayor",
        "behind the stove of the inn",
        "under the stage of the theatre",
        "in the warm hay of the barn",
        "on the stairs of the lighthouse",
      ]),
    },
    [
      "$R.petname is the $R.pet of $R the $R.job.",
      "{One day|Last Sunday} $R.petname was gone.",
      "{$R looked in the garden, in the street and under the bed.|$R asked every neighbour.|$R called and called, but no $R.pet came.}",
      '?"I will help you," said $A.',
      "{At last|After three hours} $A found $R.petname $where.",
      "{$R.petname was fast asleep.|$R.petname did not understand why everyone was so excited.|$R.petname was a little fatter than before.}",
      '{"You bad $R.pet," said $R, but $R.he was smiling.|$R was so happy that $R.he gave $A a whole cake.|That evening $R closed the door with two locks.}',
    ],
  );

const speaks: Plot = (w) =>
  tell(
    w,
    {
      ...animals(w, "X", "Y"),
      want: w.pick([
        "see the sea",
        "touch the moon",
        "learn to dance",
        "find the end of the rainbow",
        "taste snow",
        "hear the big bell",
      ]),
    },
    [
      "{There was once a $X that wanted to $want.|A young $X had one great wish: to $want.}",
      '"{That is too far|That is not for a $X|Nobody has ever done that}," said the $Y.',
      "But the $X {packed a small bag|left before the sun was up|said goodbye} and went {over the hill and through the forest|along the river}.",
      "{On the first day it rained, and on the second day it was hot.|The way was long, and its feet hurt.|At night it slept under the stars.}",
      "{It asked everyone for the way.|A kind shepherd gave it water.|Sometimes it wanted to turn back, but it did not.}",
      "{And one morning|On the seventh day}, the wish came true.",
      '{When the $X came home, the $Y wanted to hear everything.|"It was even better than I thought," said the $X.|And if you do not believe it, ask the $Y.}',
    ],
  );

export const ANIMAL_STORIES: readonly Plot[] = [rescue, fable, fable, night, pet, speaks];
