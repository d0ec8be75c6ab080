import { table } from "../table.ts";

/** Things: class, purpose (plain verb), what it is made of, where it is kept. */
export const THINGS = table(
  ["name", "kind", "use", "made", "kept"],
  `
hammer      | tool              | hit nails                 | iron and wood | in the workshop
saw         | tool              | cut wood                  | steel         | in the workshop
needle      | tool              | sew clothes               | steel         | in the sewing box
spade       | tool              | dig holes                 | iron and wood | in the garden shed
rake        | tool              | gather leaves             | wood          | in the garden shed
knife       | tool              | cut bread                 | steel         | in the kitchen drawer
broom       | tool              | sweep the floor           | straw         | behind the door
brush       | tool              | paint pictures            | wood and hair | in the paint box
ladder      | tool              | climb up high             | wood          | against the wall
axe         | tool              | chop wood                 | iron and wood | in the shed
key         | small thing       | open a lock               | metal         | on a hook
lamp        | thing             | light a dark room         | glass         | on the table
candle      | thing             | give a little light       | wax           | on the shelf
clock       | machine           | tell the time             | metal and glass | on the wall
bell        | thing             | call people               | bronze        | above the door
basket      | container         | carry fruit               | straw         | in the hall
bucket      | container         | carry water               | metal         | near the well
bottle      | container         | hold milk                 | glass         | in the kitchen
box         | container         | keep small things         | wood          | under the bed
bag         | container         | carry books               | cloth         | on a hook
cup         | container         | drink tea                 | clay          | on the shelf
bowl        | container         | eat soup                  | clay          | in the cupboard
pot         | container         | cook soup                 | iron          | on the stove
pan         | container         | fry eggs                  | iron          | on the stove
plate       | dish              | serve food                | clay          | in the cupboard
spoon       | tool              | eat soup                  | silver        | in the kitchen drawer
fork        | tool              | eat noodles               | silver        | in the kitchen drawer
chair       | piece of furniture| sit down                  | wood          | at the table
table       | piece of furniture| eat meals together        | wood          | in the kitchen
bed         | piece of furniture| sleep at night            | wood          | in the bedroom
shelf       | piece of furniture| keep books in order       | wood          | on the wall
mirror      | thing             | see your own face         | glass         | in the bathroom
blanket     | thing             | keep warm at night        | wool          | on the bed
pillow      | thing             | rest your head            | feathers      | on the bed
umbrella    | thing             | stay dry in the rain      | cloth         | near the door
coat        | piece of clothing | keep warm                 | wool          | on a hook
hat         | piece of clothing | cover your head           | straw         | on a hook
scarf       | piece of clothing | keep your neck warm       | wool          | in the wardrobe
glove       | piece of clothing | keep your hand warm       | wool          | in the coat pocket
boot        | kind of shoe      | walk in mud               | rubber        | near the door
sock        | piece of clothing | keep your foot warm       | cotton        | in the drawer
shirt       | piece of clothing | cover your body           | cotton        | in the wardrobe
book        | thing             | read stories              | paper         | on the shelf
pen         | tool              | write letters             | metal         | on the desk
pencil      | tool              | draw pictures             | wood          | in the school bag
letter      | piece of paper    | send news                 | paper         | in an envelope
map         | piece of paper    | find the way              | paper         | in the drawer
compass     | tool              | find north                | brass         | on the ship
telescope   | tool              | look at the stars         | brass and glass | on the roof
camera      | machine           | take photographs          | metal and glass | in a leather case
radio       | machine           | hear music and news       | metal         | on the shelf
boat        | vehicle           | cross the water           | wood          | in the harbour
ship        | big vehicle       | cross the sea             | steel         | in the harbour
bicycle     | vehicle           | ride on the road          | metal         | in the shed
car         | vehicle           | drive on the road         | metal         | in the garage
bus         | big vehicle       | take many people to town  | metal         | at the bus stop
train       | big vehicle       | travel far                | steel         | at the station
aeroplane   | flying machine    | fly over the clouds       | metal         | at the airport
cart        | vehicle           | pull heavy loads          | wood          | in the barn
net         | tool              | catch fish                | rope          | on the boat
rope        | thing             | tie a boat                | hemp          | on the deck
anchor      | heavy thing       | hold a ship in its place  | iron          | on the ship
sail        | big cloth         | catch the wind            | strong cloth  | on the mast
kite        | toy               | play in the wind          | paper         | in the toy chest
ball        | toy               | play games                | rubber        | in the garden
doll        | toy               | play house                | cloth         | in the toy chest
drum        | instrument        | make loud music           | wood and skin | in the music room
flute       | instrument        | play soft music           | wood          | in a small case
violin      | instrument        | play sweet music          | wood          | in a velvet case
fence       | thing             | keep sheep in the meadow  | wood          | around the field
stove       | machine           | cook food                 | iron          | in the kitchen
oven        | machine           | bake bread                | brick         | in the bakery
sponge      | soft thing        | wash your face            | rubber        | in the bathroom
towel       | cloth             | dry your hands            | cotton        | in the bathroom
comb        | thing             | make your hair neat       | bone          | in the bathroom
coin        | small thing       | buy things                | silver        | in the purse
`,
);
