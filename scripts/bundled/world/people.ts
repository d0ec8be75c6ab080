/** The people of Merrow: grown-ups with a fixed house, job, pet and taste, and the children of the stories. */

import { table } from "../table.ts";

export const TOWN = "Merrow";

/** Grown-ups. What is said of them here holds in every text. */
export const RESIDENTS = table(
  ["name", "he", "job", "colour", "spot", "pet", "petName", "likes", "hobby", "trait"],
  `
Mila   | she | baker      | red    | by the river          | cat     | Button  | plum cake       | sing old songs        | cheerful
Otto   | he  | fisherman  | blue   | near the harbour      | dog     | Skipper | fried fish      | tell stories          | patient
Greta  | she | teacher    | white  | beside the school     | parrot  | Coco    | apple pie       | read poems            | kind
Jonas  | he  | farmer     | brown  | behind the hill       | horse   | Star    | potato soup     | play the drum         | strong
Vera   | she | doctor     | green  | near the church       | rabbit  | Clover  | cucumber salad  | walk in the forest    | calm
Felix  | he  | postman    | yellow | at the end of the lane| dog     | Letter  | cheese          | collect stamps        | quick
Nina   | she | painter    | pink   | on the hill           | cat     | Violet  | strawberries    | look at the clouds    | dreamy
Arthur | he  | carpenter  | grey   | near the mill         | dog     | Chip    | bean soup       | play chess            | careful
Bella  | she | gardener   | orange | behind the park       | duck    | Daisy   | carrot cake     | listen to birds       | gentle
Hugo   | he  | sailor     | black  | beside the lighthouse | parrot  | Captain | rice and fish   | tie knots             | brave
Marta  | she | tailor     | purple | near the market       | mouse   | Thread  | honey bread     | dance                 | neat
Victor | he  | cook       | golden | across from the inn   | cat     | Pepper  | mushroom soup   | pick mushrooms        | busy
Dora   | she | librarian  | silver | behind the library    | cat     | Page    | cherry pie      | solve riddles         | quiet
Edwin  | he  | miller     | white  | beside the mill       | donkey  | Dusty   | fresh bread     | fly kites             | honest
Flora  | she | florist    | yellow | near the bridge       | canary  | Petal   | peach pie       | write letters         | friendly
Karl   | he  | blacksmith | black  | across the bridge     | horse   | Thunder | roast chicken   | lift heavy stones     | loud
Stella | she | pilot      | blue   | on the cliff          | owl     | Moon    | noodles         | watch the stars       | bold
Bruno  | he  | barber     | green  | near the fountain     | canary  | Tune    | pancakes        | whistle               | funny
Irma   | she | nurse      | pink   | beside the hospital   | hamster | Peanut  | vegetable soup  | ride a bicycle        | helpful
Walter | he  | shepherd   | brown  | beside the meadow     | dog     | Shadow  | goat cheese     | play the flute        | silent
Hilda  | she | beekeeper  | orange | near the orchard      | goat    | Thistle | honey cake      | paint small boxes     | wise
Conrad | he  | clockmaker | red    | near the square       | tortoise| Tick    | lemon cake      | mend old toys         | exact
Pearl  | she | diver      | purple | beside the beach      | turtle  | Coral   | oranges         | collect shells        | curious
Magnus | he  | mayor      | golden | near the town hall    | goose   | Duke    | onion pie       | give long speeches    | proud
`,
);

/** Children. They may live anywhere and own anything, within one story. */
export const CHILDREN = table(
  ["name", "he"],
  `
Anna | she
Ben | he
Clara | she
Dan | he
Ella | she
Finn | he
Grace | she
Henry | he
Ida | she
Jack | he
Kate | she
Leo | he
Lucy | she
Max | he
Nora | she
Oscar | he
Rosa | she
Sam | he
Tess | she
Will | he
Zoe | she
Amy | she
Paul | he
Lily | she
Noah | he
Ruby | she
Theo | he
Eva | she
Adam | he
Maya | she
Peter | he
Sara | she
Emma | she
Luke | he
Olive | she
Alice | she
Simon | he
Toby | he
Hanna | she
Robin | he
`,
);
