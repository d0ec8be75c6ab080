import { table } from "../table.ts";

/** Places of the town: what people do there (plain verb), what one sees there, and the preposition for being there. */
export const PLACES = table(
  ["name", "at", "does", "see"],
  `
bakery       | in | buy bread                   | warm loaves and sweet rolls
library      | in | borrow books                | tall shelves and quiet readers
school       | in | learn to read and write     | small desks and a green board
hospital     | in | get well                    | white beds and kind nurses
market       | at | buy fruit and vegetables    | bright stalls and full baskets
harbour      | at | keep their boats            | tall masts and grey gulls
lighthouse   | at | watch for ships             | a great lamp and a winding stair
beach        | on | look for shells             | yellow sand and small waves
park         | in | walk and play               | old trees and a round pond
museum       | in | look at old things          | stone coins and a big whale bone
theatre      | in | watch plays                 | red curtains and golden lights
station      | at | wait for the train          | long benches and a big clock
post office  | at | send letters                | brown parcels and bright stamps
town hall    | in | talk about the town         | high windows and a heavy bell
mill         | at | grind grain                 | a wooden wheel and white sacks
farm         | on | grow food and keep animals  | green fields and a red barn
orchard      | in | pick apples and cherries    | rows of trees and buzzing bees
forest       | in | listen to the birds         | dark pines and soft moss
meadow       | in | rest in the grass           | blue flowers and white sheep
river        | by | fish and swim               | round stones and clear water
bridge       | on | cross the river             | stone arches and slow water below
garden       | in | grow flowers                | roses and a wooden bench
inn          | at | eat and sleep on a journey  | a warm fire and long tables
square       | in | meet their friends          | a fountain and many pigeons
hill         | on | fly kites                   | the roofs of the town and the wide sea
workshop     | in | make and mend things        | saws, hammers and curls of wood
zoo          | at | look at wild animals        | lions, monkeys and a sleepy bear
shop         | in | buy what they need          | full shelves and a friendly face
`,
);
