import { table } from "../table.ts";

/** Jobs: what they do (plain verb), where they work, what they use. */
export const JOBS = table(
  ["name", "does", "place", "tool"],
  `
baker       | bake bread                     | in the bakery      | an oven
fisherman   | catch fish                     | on the sea         | a net
teacher     | teach children                 | in the school      | a book
farmer      | grow food                      | on the farm        | a plough
doctor      | help sick people               | in the hospital    | medicine
postman     | bring letters                  | in the street      | a bag
painter     | paint pictures                 | in a bright room   | a brush
carpenter   | make things from wood          | in the workshop    | a saw
gardener    | take care of plants            | in the garden      | a spade
sailor      | sail ships                     | on the sea         | a rope
tailor      | sew clothes                    | in a small shop    | a needle
cook        | make meals                     | in the kitchen     | a pot
librarian   | take care of books             | in the library     | a catalogue
miller      | make flour                     | in the mill        | a millstone
florist     | sell flowers                   | in the flower shop | a vase
blacksmith  | make things from iron          | in the forge       | a hammer
pilot       | fly aeroplanes                 | in the sky         | a compass
barber      | cut hair                       | in the barber shop | scissors
nurse       | take care of sick people       | in the hospital    | bandages
shepherd    | take care of sheep             | in the meadow      | a long stick
beekeeper   | keep bees                      | near the orchard   | a veil
clockmaker  | repair clocks                  | in the clock shop  | a tiny screwdriver
diver       | swim deep under water          | in the sea         | a mask
mayor       | lead the town                  | in the town hall   | a bell
butcher     | sell meat                      | in the butcher shop| a knife
grocer      | sell food                      | in the market      | a scale
driver      | drive a bus                    | on the road        | a map
firefighter | put out fires                  | in the fire station| a hose
builder     | build houses                   | on the building site | bricks
musician    | play music                     | in the theatre     | a violin
actor       | play a part in a show          | in the theatre     | a costume
dentist     | take care of teeth             | in a clean room    | a small mirror
vet         | help sick animals              | in the animal clinic | bandages
potter      | make pots from clay            | in the pottery     | a wheel
weaver      | make cloth                     | in the workshop    | a loom
shoemaker   | repair shoes                   | in the shoe shop   | leather
writer      | write books                    | at a desk          | a pen
judge       | decide what is fair            | in the court       | a law book
miner       | dig for coal                   | under the ground   | a lamp
lighthouse keeper | keep the great lamp burning | in the lighthouse | oil
`,
);
