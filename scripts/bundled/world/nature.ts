import { table } from "../table.ts";

/** Causes and what they bring about, as a small sentence each. */
export const CAUSES = table(
  ["when", "then", "because"],
  `
it rains | the ground gets wet | rain falls from the clouds
the sun shines | the snow melts | the sun is warm
the wind blows | the leaves dance | the wind pushes them
it is very cold | the water turns to ice | cold makes water hard
night comes | the stars can be seen | the sky is dark
a plant gets no water | it dries out | every plant needs water
you drop a cup | it breaks | a cup is made of clay
you heat water | it boils | heat turns water to steam
you plant a seed | a flower grows | a seed holds a small plant
you work all day | you feel tired | work takes strength
you skip breakfast | you feel hungry | the body needs food
the fire goes out | the room gets cold | the fire gave heat
the tide goes out | the beach grows wide | the sea draws back
the bees visit the flowers | they make honey | flowers give nectar
you plant no seeds | nothing grows | every plant begins as a seed
a ship has no wind | it cannot sail | the wind moves the ship
the lamp of the lighthouse burns | the ships find the way | the light shows the rocks
you walk in the snow | you leave footprints | snow is soft
you eat too much cake | your stomach hurts | too much sugar is bad for you
you learn every day | you know more | learning fills the mind
you tell the truth | people trust you | the truth makes friends
a cat sees a mouse | it runs after it | cats like to hunt mice
the bread stays in the oven too long | it burns | the oven is very hot
you leave the gate open | the sheep run away | sheep like to wander
`,
);

/** Colours, and what always has them. */
export const COLOURS = table(
  ["thing", "colour"],
  `
the sky on a clear day | blue
the sea in summer | blue
the grass | green
the snow | white
the sun | yellow
the night | black
the coal in the cellar | black
the moon | silver
the fire | orange
the clouds before a storm | grey
the roof of the school | red
the door of the bakery | yellow
the lighthouse | white and red
the post box | red
the fountain in the square | grey
the boat of Otto | blue
`,
);

/** Parts of the body and what we do with them. */
export const BODY = table(
  ["part", "use", "are"],
  `
eyes | see | are
ears | hear | are
nose | smell flowers | is
mouth | eat and speak | is
teeth | bite and chew | are
tongue | taste food | is
hands | hold things | are
fingers | count and point | are
legs | walk and run | are
feet | stand and dance | are
arms | carry and hug | are
head | think | is
`,
);

/** Kinds of weather. `was` fits "It was a ... day", `does` fits after "The day was ... because". */
export const WEATHER = table(
  ["name", "was", "scene", "wear"],
  `
sun   | sunny  | the sun shone on the roofs | straw hats
rain  | rainy  | rain tapped on the windows | raincoats
wind  | windy  | the wind pulled at the flags | scarves
snow  | snowy  | snow lay on the fences | warm boots
fog   | foggy  | fog lay over the harbour | bright coats
storm | stormy | waves beat against the harbour wall | coats with big hoods
frost | frosty | ice covered the pond | thick gloves
cloud | cloudy | grey clouds hung over the hill | warm shirts
`,
);
