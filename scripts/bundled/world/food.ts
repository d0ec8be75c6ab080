import { table } from "../table.ts";

/** Food: class, colour, taste, where it comes from; `count` is "one" for things counted one by one, "some" for stuff. */
export const FOODS = table(
  ["name", "kind", "colour", "taste", "from", "count"],
  `
apple      | fruit     | red    | sweet   | a tree             | one
pear       | fruit     | green  | sweet   | a tree             | one
plum       | fruit     | purple | sweet   | a tree             | one
cherry     | fruit     | red    | sweet   | a tree             | one
lemon      | fruit     | yellow | sour    | a tree             | one
banana     | fruit     | yellow | sweet   | a tall plant       | one
peach      | fruit     | orange | sweet   | a tree             | one
strawberry | fruit     | red    | sweet   | a small plant      | one
grape      | fruit     | purple | sweet   | a vine             | one
melon      | fruit     | green  | sweet   | a long plant       | one
carrot     | vegetable | orange | sweet   | under the ground   | one
potato     | vegetable | brown  | mild    | under the ground   | one
onion      | vegetable | white  | sharp   | under the ground   | one
tomato     | vegetable | red    | fresh   | a green plant      | one
cucumber   | vegetable | green  | fresh   | a long plant       | one
pumpkin    | vegetable | orange | mild    | a long plant       | one
pea        | vegetable | green  | sweet   | a pod              | one
bean       | vegetable | green  | mild    | a pod              | one
cabbage    | vegetable | green  | mild    | the field          | one
mushroom   | food      | brown  | earthy  | the forest floor   | one
nut        | food      | brown  | rich    | a tree             | one
egg        | food      | white  | mild    | a hen              | one
pancake    | food      | golden | sweet   | the pan            | one
bread      | food      | brown  | warm and fresh | flour       | some
butter     | food      | yellow | rich    | cream              | some
cheese     | food      | yellow | salty   | milk               | some
honey      | food      | golden | sweet   | bees               | some
jam        | food      | red    | sweet   | fruit and sugar    | some
rice       | food      | white  | mild    | a wet field        | some
soup       | food      | orange | warm and salty | the pot     | some
chocolate  | sweet     | brown  | sweet   | cocoa beans        | some
sugar      | food      | white  | sweet   | a tall grass       | some
salt       | food      | white  | salty   | the sea            | some
flour      | food      | white  | dry     | wheat              | some
milk       | drink     | white  | mild    | cows               | some
tea        | drink     | brown  | bitter  | dried leaves       | some
coffee     | drink     | black  | bitter  | roasted beans      | some
lemonade   | drink     | yellow | sour and sweet | lemons      | some
`,
);
