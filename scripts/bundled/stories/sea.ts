/** Stories of the harbour and the lighthouse. */

import { children, type Plot, resident, tell, time } from "./cast.ts";
import { inWords } from "../world/calendar.ts";

const storm: Plot = (w) =>
  tell(
    w,
    {
      ...resident(w, "R", ["fisherman", "sailor", "diver"]),
      boat: w.pick(["the Swallow", "the Blue Hen", "the Little Star", "the Old Friend"]),
      ...children(w, "A"),
    },
    [
      "{One night|One evening in winter} a storm came over the sea.",
      "The waves were {as high as houses|higher than the harbour wall} and {the wind pulled at every door|nobody could see the stars}.",
      "$R the $R.job was still out on $boat.",
      "?$A stood at the window and waited.",
      "{Then the great lamp of the lighthouse began to shine.|But high on the cliff, the lighthouse sent its long white light over the water.}",
      '$R saw the light and {turned the ship to the harbour|knew where the rocks were}. {"Steady as she goes," said $R.|}',
      '{Before midnight|An hour later} the boat came in{, wet but whole|, with a torn sail|}. {"Ahoy!" called $R. "Is there any soup?"|"Fair winds would have been nicer," said $R.|"Thank you, old light," said $R.}',
      "{The next morning the sea was calm and blue.|That night, everyone in Merrow slept well.|A light is small, until you need it.}",
    ],
  );

const fishing: Plot = (w) => {
  const many = w.between(3, 9);
  return tell(
    w,
    {
      ...children(w, "A"),
      many: inWords(many),
      catch: w.pick(["an old boot", "a green bottle", "a very small fish", "a rusty bell", "a straw hat"]),
    },
    [
      "$A went fishing with Otto the fisherman{ before the sun was up| on Saturday|}.",
      '"Ahoy, $A!" called Otto. "{Calm seas today|Mind the tide|Fair winds today}."',
      "They {rowed past the lighthouse|sailed until the town was small} and threw out the net.",
      "{They waited and ate bread with cheese.|Otto told a story about a whale as big as the church.|The gulls waited too.}",
      "First they pulled up $catch, and {both laughed|Skipper the dog barked at it}.",
      "Then they caught $many silver fish.",
      '{$A was allowed to hold the wheel on the way home.|In the evening there was fried fish for everyone.|"You are a real sailor now," said Otto.}',
    ],
  );
};

const bottle: Plot = (w) =>
  tell(
    w,
    {
      ...children(w, "A", "B"),
      text: w.pick([
        "I live on an island and I have a goat. Who are you?",
        "Whoever finds this is my friend.",
        "Please send jam.",
        "The sea is big, but not too big for a letter.",
      ]),
    },
    [
      "$A {found|saw} a green bottle on the beach{ after the storm| between two stones|}.",
      "{There was a paper in it.|Something white was inside.} {$A pulled out the cork with $A.his teeth.|$A needed a long time to open it.}",
      'The paper said: "$text"',
      '{$A showed it to $B.|"Look at this!" $A.he called to $B.} {"We must write back," said $B.|"Who could that be?" asked $B.}',
      "They wrote a letter, put it into the bottle and {threw it far out into the waves|gave it to Hugo the sailor}.",
      "{Every day they walked along the beach and looked.|For a long time no answer came.} {In spring they found a new bottle.|One morning the sea brought a second bottle, and this one was blue.|The sea is slow, but it is a good postman.}",
    ],
  );

const shell: Plot = (w) =>
  tell(w, { ...children(w, "A"), ...time(w), size: w.pick(["white", "pink", "golden", "round", "small"]) }, [
    "$when, $A walked along the beach {with bare feet|and looked at the sand|after the tide had gone out}.",
    "Between {the stones|two rocks|the green seaweed} $A.he found a $size shell.",
    "$A held it to $A.his ear and {heard the sea|listened}.",
    '{A voice said, "Ask Pearl about it," but it was only a gull.|Pearl the diver came by and looked at it.|"Where does the sound come from?" $A asked Pearl the diver.}',
    '{"It is the home of a small animal," said Pearl.|"The sea forgets nothing," said Pearl. "It puts its songs into shells."|"I have seen only three like this one," said Pearl.}',
    "$A {took it home and put it beside the bed|put it back into the water, for someone might need it|gave it to $A.his grandmother}.",
    "{Since then $A has good dreams.|It was a good day.|The tide came in and washed the footprints away.}",
  ]);

const keeper: Plot = (w) =>
  tell(w, { ...children(w, "A"), steps: w.pick(["ninety", "one hundred", "eighty", "seventy"]) }, [
    "The lighthouse of Merrow {is white and red|stands on the cliff}. It has $steps steps.",
    "$A climbed {up one day|all of them on Sunday} {and counted every step|without a rest}.",
    "At the top the keeper {was cleaning the great lamp|gave $A.him a biscuit|was looking through a telescope}.",
    '"{Why does it turn|What is the light for|Are you never lonely}?" asked $A.',
    '{"The light tells the ships where the rocks are," said the keeper.|"When it is dark, someone must stay awake," said the keeper.|"The ships are far away, but they see me every night," said the keeper.}',
    "From there $A saw {the harbour, the hill and the forest|the whole town and the wide sea|the boats, as small as nuts}.",
    "{It was the highest place that $A had ever been.|$A wants to be a keeper too.|Going down was easier than going up.}",
  ]);

const island: Plot = (w) =>
  tell(
    w,
    {
      ...children(w, "A", "B"),
      ...resident(w, "R", ["sailor", "fisherman"]),
      found: w.pick([
        "a cave full of bats",
        "a spring of sweet water",
        "an old stone table",
        "a nest with three eggs",
        "the bones of a ship",
        "the footprints of a goat",
      ]),
    },
    [
      "$R the $R.job took $A and $B to the island in {a small boat|the blue boat}.",
      "{The wind was good and the sail was full.|$A was a little sick, but only a little.|A dolphin swam beside them for a while.}",
      '"{Land ahoy|Ahoy, island}!" cried $B.',
      "They {walked around the island in one hour|climbed over rocks|followed a narrow path} and found $found.",
      '{"Who was here before us?" asked $A.|"We must not touch it," said $B.|They made a drawing of it.}',
      "{When the sun was low, $R called them back.|Then the tide turned, and it was time to go home.}",
      '{On the way back both children fell asleep.|They promised to come again.|"Fair winds," said $R to the island, and waved.}',
    ],
  );

export const SEA: readonly Plot[] = [storm, fishing, bottle, shell, keeper, island];
