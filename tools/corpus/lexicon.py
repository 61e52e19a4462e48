"""Word lists and small facts used by the text generator (our own, Apache-2.0)."""
from __future__ import annotations

GIRLS = """Anna Mia Lily Emma Sara Zoe Nina Lucy Amy Ella Rosa Maya Ida Clara Ruby Alice Eva Jane Kate Leila Molly Nora Olga
Pia Rita Sofia Tina Uma Vera Wendy Yara Zara Hana Greta Fatima Dora Carla Bella Ada Grace Hope Iris Julia Kira Lena Mary
Amina Priya Mei Aisha Chloe Daisy Elsa Freya Gina Holly Agnes Alma Anita Asha Astrid Beth Bianca Camila Celia Dana Diana
Edith Elena Emily Esther Fiona Flora Gloria Hannah Heidi Helen Ingrid Ivy Jasmine Joan Judy June Karin Laila Laura Lara Linda
Louise Luna Mabel Magda Maria Marta Maud Nadia Nell Nia Noor Pearl Petra Polly Rachel Rina Rhea Roxana Sally Sana Sarah Selma
Sigrid Stella Susan Suzy Talia Tessa Thea Tilda Valerie Viola Willow Winnie Ximena Yasmin Yoko Zelda""".split()
BOYS = """Tom Ben Max Sam Leo Jack Dan Tim Oscar Paul Adam Finn Hugo Ivan Jonas Karl Luke Mark Noah Omar Peter Rob Simon
Theo Victor Will Yusuf Zack Alex Bob Carl David Eric Fred George Henry Isaac Jim Kofi Liam Milo Nick Otto Pablo Ravi Sean
Tariq Walter Ali Bruno Diego Emil Felix Gabriel Hassan Aaron Albert Amir Andre Anton Arthur Axel Basil Boris Caleb Cyrus Daniel
Dario Edgar Edwin Elias Ethan Farid Filip Frank Gus Hamid Harry Hector Hiro Ian Igor Ismail Jacob James Jamal Javier Joe Joel
John Jude Kai Ken Kenji Lars Lewis Louis Luca Malik Marco Martin Matteo Max Miguel Mohan Nathan Neil Niko Nils Owen Patrick Percy
Philip Quentin Ralph Ramon Raul Rohan Roman Rory Samir Sasha Seth Stefan Steve Sven Thomas Tobias Toby Tony Umar Vijay Wasim
William Xavier Yann Zane""".replace(" Max Miguel", " Miguel").split()

# animal: (sound verb, home, food, baby, legs, size rank, can do, description)
ANIMALS = {
    "cat": ("says meow", "in a house", "fish", "kitten", 4, 4, "climb trees", "a small soft animal that likes to sleep and play"),
    "dog": ("says woof", "in a house", "meat", "puppy", 4, 5, "run fast", "a friendly animal that likes to run and play with people"),
    "cow": ("says moo", "on a farm", "grass", "calf", 4, 8, "give milk", "a large farm animal that gives us milk"),
    "horse": ("says neigh", "on a farm", "grass", "foal", 4, 8, "run fast", "a big strong animal that people can ride"),
    "pig": ("says oink", "on a farm", "corn", "piglet", 4, 6, "roll in mud", "a round pink farm animal"),
    "sheep": ("says baa", "on a farm", "grass", "lamb", 4, 6, "give wool", "a farm animal that gives us wool"),
    "goat": ("says baa", "on a farm", "leaves", "kid", 4, 6, "climb hills", "a farm animal with horns and a beard"),
    "duck": ("says quack", "near a pond", "plants", "duckling", 2, 3, "swim", "a bird that swims on the water"),
    "hen": ("says cluck", "on a farm", "seeds", "chick", 2, 3, "lay eggs", "a bird that lays eggs"),
    "lion": ("says roar", "in Africa", "meat", "cub", 4, 8, "roar", "a big wild cat with a loud roar"),
    "tiger": ("says roar", "in the forest", "meat", "cub", 4, 8, "swim", "a big wild cat with black stripes"),
    "bear": ("says growl", "in the forest", "honey", "cub", 4, 8, "climb trees", "a big animal with thick fur"),
    "wolf": ("says howl", "in the forest", "meat", "pup", 4, 6, "run fast", "a wild animal that looks like a dog"),
    "fox": ("says yip", "in the forest", "mice", "kit", 4, 5, "run fast", "a clever animal with a red tail"),
    "rabbit": ("makes very little noise", "in a hole in the ground", "carrots", "kit", 4, 3, "hop", "a small animal with long ears"),
    "mouse": ("says squeak", "in a small hole", "cheese", "pup", 4, 1, "run fast", "a very small animal with a long tail"),
    "frog": ("says croak", "near a pond", "flies", "tadpole", 4, 1, "jump", "a small green animal that can jump and swim"),
    "bird": ("says tweet", "in a nest", "seeds", "chick", 2, 1, "fly", "an animal with wings and feathers"),
    "owl": ("says hoot", "in a tree", "mice", "owlet", 2, 3, "fly at night", "a bird that flies at night"),
    "bee": ("says buzz", "in a hive", "nectar", "larva", 6, 0, "make honey", "a small insect that makes honey"),
    "ant": ("makes no sound", "under the ground", "crumbs", "larva", 6, 0, "carry big things", "a very small insect that works hard"),
    "spider": ("makes no sound", "in a web", "flies", "spiderling", 8, 0, "make webs", "a small animal with eight legs"),
    "fish": ("makes no sound", "in the water", "plants", "fry", 0, 2, "swim", "an animal that lives in the water"),
    "whale": ("sings a long song", "in the sea", "small fish", "calf", 0, 10, "swim", "a very big animal that lives in the sea"),
    "snake": ("says hiss", "in the grass", "mice", "snakelet", 0, 3, "slide on the ground", "a long animal with no legs"),
    "turtle": ("makes very little noise", "near the water", "leaves", "hatchling", 4, 3, "swim", "a slow animal with a hard shell"),
    "elephant": ("makes a loud trumpet sound", "in Africa", "leaves", "calf", 4, 9, "carry water in its trunk", "a very big grey animal with a long nose"),
    "monkey": ("says ooh ooh", "in the trees", "bananas", "baby monkey", 4, 5, "swing in the trees", "a clever animal that climbs in the trees"),
    "camel": ("makes a low grunt", "in the desert", "plants", "calf", 4, 8, "live in the desert", "an animal with a hump that lives in the desert"),
    "penguin": ("makes a loud honk", "in the cold south", "fish", "chick", 2, 4, "swim", "a black and white bird that cannot fly"),
    "butterfly": ("makes no sound", "in the garden", "nectar", "caterpillar", 6, 0, "fly", "an insect with large bright wings"),
    "squirrel": ("makes a chattering sound", "in a tree", "nuts", "kit", 4, 2, "climb trees", "a small animal with a big soft tail"),
    "giraffe": ("makes very little noise", "in Africa", "leaves", "calf", 4, 9, "reach high leaves", "a very tall animal with a long neck"),
    "donkey": ("says hee-haw", "on a farm", "hay", "foal", 4, 7, "carry heavy bags", "a farm animal with long ears"),
    "goose": ("says honk", "near a pond", "grass", "gosling", 2, 3, "swim and fly", "a big white bird with a long neck"),
    "crow": ("says caw", "in a tree", "seeds", "chick", 2, 2, "solve puzzles", "a clever black bird"),
    "parrot": ("says hello", "in the jungle", "fruit", "chick", 2, 2, "copy words", "a colourful bird that can learn words"),
    "eagle": ("makes a high cry", "in the mountains", "fish", "eaglet", 2, 4, "fly very high", "a large bird with sharp eyes"),
    "deer": ("makes very little noise", "in the forest", "leaves", "fawn", 4, 7, "run fast", "a shy animal with thin legs"),
    "kangaroo": ("makes a soft clicking sound", "in Australia", "grass", "joey", 2, 7, "jump very far", "an animal that carries its baby in a pouch"),
    "zebra": ("makes a barking sound", "in Africa", "grass", "foal", 4, 8, "run fast", "an animal like a horse with black and white stripes"),
    "dolphin": ("makes clicking sounds", "in the sea", "fish", "calf", 0, 8, "jump out of the water", "a clever animal that lives in the sea"),
    "crab": ("makes no sound", "on the beach", "small plants", "larva", 10, 1, "walk sideways", "a sea animal with a shell and claws"),
    "snail": ("makes no sound", "in the garden", "leaves", "baby snail", 0, 0, "hide in its shell", "a small slow animal with a shell on its back"),
    "bat": ("makes high squeaks", "in a cave", "insects", "pup", 2, 1, "fly in the dark", "a small animal with wings that sleeps upside down"),
    "rat": ("says squeak", "under the floor", "grain", "pup", 4, 2, "squeeze through small holes", "a clever animal with a long tail"),
    "beaver": ("makes a splash with its tail", "in the river", "bark", "kit", 4, 5, "build dams", "an animal with strong teeth that cuts down trees"),
    "panda": ("makes a bleating sound", "in China", "bamboo", "cub", 4, 8, "climb trees", "a black and white bear"),
    "hedgehog": ("makes a soft snuffling sound", "in the garden", "insects", "hoglet", 4, 2, "roll into a ball", "a small animal with sharp spines"),
}
STORY_ANIMALS = [a for a in ANIMALS if a not in ("whale", "ant", "hen")]

TOYS = """ball kite doll drum boat truck train book bell whistle robot puzzle top teddy balloon hoop basket lantern scarf hat
umbrella bicycle flute necklace map key coin shell box marble wagon sled rope bucket spade mask crown ring candle clock lamp
pencil crayon brush picture card letter feather ribbon button mirror pillow blanket cup bottle stone stick wheel swing ladder
trumpet guitar piano rocket plane car bus tent flag glove boot shoe bag jar spoon""".split()
FOODS = """apple pear orange banana cake cookie pie peach plum sandwich pancake bun loaf carrot
lemon mango melon fig biscuit muffin waffle tart pizza potato tomato turnip pumpkin radish egg nut berry cherry strawberry
pretzel dumpling sausage cracker""".split()
TREES = ["apple tree", "pear tree", "bean plant", "sunflower", "pumpkin", "rose bush", "cherry tree", "oak tree"]
PLACES = """park garden forest river beach market farm school village hill lake meadow field town library playground
pond valley orchard harbour bakery castle bridge island cave mill station square museum barn stream mountain""".split()
HIDE = ["under a bush", "behind a big rock", "in the tall grass", "under the old bridge", "behind a tree", "under a wooden bench",
        "in a small hole", "next to the gate", "under a pile of leaves", "behind the house", "beside the path", "at the foot of the hill"]
COLOURS = ["red", "blue", "green", "yellow", "orange", "purple", "pink", "white", "black", "brown", "grey", "golden", "silver"]
ADJ = ["big", "small", "little", "new", "old", "shiny", "bright", "pretty", "soft", "lovely", "funny", "special"]
NATURE = ["kind", "brave", "clever", "shy", "quiet", "happy", "curious", "gentle", "cheerful", "lonely", "young", "little", "busy", "friendly", "lively", "patient", "honest",
          "polite", "careful", "dreamy", "sleepy", "hungry", "proud", "silly", "strong", "thoughtful", "merry"]

THING_COLOUR = {
    "sky": "blue", "grass": "green", "snow": "white", "sun": "yellow", "coal": "black", "chocolate": "brown", "sea": "blue",
    "moon": "white", "night": "black", "milk": "white", "blood": "red", "fire": "red and orange", "gold": "yellow",
}
A_THING_COLOUR = {
    "banana": "yellow", "lemon": "yellow", "strawberry": "red", "tomato": "red", "carrot": "orange", "leaf": "green",
    "frog": "green", "elephant": "grey", "cherry": "red", "cucumber": "green", "plum": "purple", "pumpkin": "orange",
    "crow": "black", "polar bear": "white", "pig": "pink", "cloud": "white", "lime": "green", "mouse": "grey",
}
OPPOSITES = """hot cold;big small;up down;good bad;happy sad;day night;fast slow;old young;open closed;light dark;wet dry;full empty;
hard soft;high low;left right;long short;rich poor;strong weak;early late;near far;in out;on off;yes no;start stop;begin end;
loud quiet;clean dirty;easy difficult;heavy light;thick thin;wide narrow;true false;new old;first last;black white;buy sell;
give take;push pull;win lose;love hate;laugh cry;asleep awake;above below;inside outside;before after;always never;
more less;many few;sweet sour;rough smooth;deep shallow;cheap expensive;brave afraid;tall short;warm cool;front back;
come go;find lose;remember forget;right wrong;summer winter;morning evening;top bottom;alive dead;safe dangerous;polite rude;
kind cruel;question answer;heaven earth;war peace;begin finish;arrive leave;borrow lend;teach learn;build destroy;save waste;
raise lower;sharp blunt;tight loose;guest host;husband wife;king queen;uncle aunt;son daughter;brother sister;parent child;sunrise sunset;
beautiful ugly;calm nervous;lazy busy;generous selfish;honest dishonest;possible impossible;visible invisible;lucky unlucky;patient impatient;
ancient modern;temporary permanent;simple complicated;cloudy sunny;crowded empty;foolish wise;guilty innocent;proud humble;
friend enemy;north south;east west;large little;together apart;everything nothing;same different"""
OPPOSITE = {}
for _p in OPPOSITES.replace("\n", "").split(";"):
    _a, _b = _p.split()
    OPPOSITE.setdefault(_a, _b)
    OPPOSITE.setdefault(_b, _a)

CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid", "England": "London", "Japan": "Tokyo",
    "China": "Beijing", "Russia": "Moscow", "Egypt": "Cairo", "Greece": "Athens", "Portugal": "Lisbon", "Ireland": "Dublin",
    "Norway": "Oslo", "Sweden": "Stockholm", "Denmark": "Copenhagen", "Poland": "Warsaw", "Austria": "Vienna",
    "Hungary": "Budapest", "Canada": "Ottawa", "Mexico": "Mexico City", "Kenya": "Nairobi", "Cuba": "Havana", "Peru": "Lima",
    "Turkey": "Ankara", "Finland": "Helsinki", "Belgium": "Brussels", "the United States": "Washington", "India": "New Delhi",
    "Argentina": "Buenos Aires", "Scotland": "Edinburgh", "Australia": "Canberra", "Brazil": "Brasilia",
}
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty""".split()
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]

GROUPS = {
    "fruit": ["apple", "banana", "pear", "orange", "plum", "peach", "cherry", "grape", "lemon", "mango"],
    "vegetable": ["carrot", "potato", "onion", "cabbage", "pea", "bean", "tomato", "cucumber", "pumpkin"],
    "animal": ["cat", "dog", "cow", "horse", "lion", "rabbit", "mouse", "sheep", "goat", "fox", "bear", "wolf"],
    "bird": ["duck", "owl", "hen", "eagle", "robin", "swan", "parrot", "penguin"],
    "colour": ["red", "blue", "green", "yellow", "orange", "purple", "pink", "brown"],
    "insect": ["bee", "ant", "butterfly", "fly", "beetle"],
    "tool": ["hammer", "saw", "spade", "rake", "knife"],
    "piece of clothing": ["hat", "coat", "shirt", "sock", "shoe", "scarf", "dress"],
    "toy": ["ball", "kite", "doll", "drum", "puzzle", "robot"],
    "drink": ["water", "milk", "tea", "juice", "coffee"],
    "vehicle": ["car", "bus", "train", "boat", "bicycle", "truck"],
    "musical instrument": ["drum", "flute", "piano", "guitar", "violin", "trumpet"],
    "piece of furniture": ["chair", "table", "bed", "desk", "sofa"],
    "flower": ["rose", "tulip", "daisy", "lily", "sunflower"],
}
PLURAL = {"mouse": "mice", "sheep": "sheep", "foot": "feet", "tooth": "teeth", "child": "children", "man": "men", "woman": "women",
          "goose": "geese", "fish": "fish", "deer": "deer", "bus": "buses", "leaf": "leaves", "knife": "knives", "wolf": "wolves", "cherry": "cherries",
          "baby": "babies", "city": "cities", "box": "boxes", "fox": "foxes", "bus": "buses", "dish": "dishes", "peach": "peaches",
          "potato": "potatoes", "tomato": "tomatoes", "mango": "mangoes", "loaf": "loaves", "berry": "berries", "strawberry": "strawberries", "sandwich": "sandwiches", "brush": "brushes", "radish": "radishes", "library": "libraries", "valley": "valleys", "daisy": "daisies", "lily": "lilies", "fly": "flies", "butterfly": "butterflies",
          "piece of clothing": "pieces of clothing", "piece of furniture": "pieces of furniture", "puppy": "puppies",
          "calf": "calves", "bench": "benches"}
PAST = {"go": "went", "see": "saw", "eat": "ate", "run": "ran", "come": "came", "give": "gave", "take": "took", "make": "made",
        "find": "found", "sing": "sang", "swim": "swam", "write": "wrote", "buy": "bought", "think": "thought", "bring": "brought",
        "catch": "caught", "sleep": "slept", "fly": "flew", "drink": "drank", "know": "knew", "play": "played", "walk": "walked",
        "jump": "jumped", "help": "helped", "look": "looked", "laugh": "laughed", "fall": "fell", "speak": "spoke", "tell": "told"}

DEFS = {
    "sun": ("the", "a very hot star that gives us light and warmth"), "moon": ("the", "a round rock in the sky that goes around the Earth"),
    "rain": ("", "water that falls from the clouds"), "snow": ("", "frozen water that falls from the sky in winter"),
    "river": ("a", "a long stream of water that flows to the sea"), "mountain": ("a", "a very high hill made of rock"),
    "tree": ("a", "a tall plant with a trunk, branches and leaves"), "book": ("a", "a set of pages with words and pictures"),
    "house": ("a", "a building where people live"), "school": ("a", "a place where children learn"),
    "doctor": ("a", "a person who helps sick people"), "teacher": ("a", "a person who helps others to learn"),
    "farmer": ("a", "a person who grows food and keeps animals"), "baker": ("a", "a person who makes bread and cakes"),
    "car": ("a", "a machine with four wheels that people drive on the road"), "train": ("a", "a long vehicle that runs on rails"),
    "boat": ("a", "something that carries people over the water"), "bridge": ("a", "a road that goes over a river"),
    "clock": ("a", "a machine that shows the time"), "umbrella": ("an", "something that keeps you dry in the rain"),
    "island": ("an", "land with water all around it"), "desert": ("a", "a dry place with a lot of sand and little rain"),
    "friend": ("a", "a person you like and trust"), "garden": ("a", "a place where flowers and vegetables grow"),
    "king": ("a", "a man who rules a country"), "queen": ("a", "a woman who rules a country"),
    "ice": ("", "water that is frozen and hard"), "bread": ("", "food made from flour and water"),
    "cheese": ("", "food made from milk"), "music": ("", "sound that is nice to hear"), "wind": ("", "air that moves"),
    "cloud": ("a", "a group of very small drops of water in the sky"), "star": ("a", "a very big and hot ball of gas far away"),
    "computer": ("a", "a machine that works with numbers and words"), "library": ("a", "a place with many books that you can read"),
    "robot": ("a", "a machine that can do work by itself"), "chair": ("a", "a piece of furniture to sit on"),
    "bed": ("a", "a piece of furniture to sleep on"), "hammer": ("a", "a tool for hitting nails"), "forest": ("a", "a place with many trees"),
    "sea": ("the", "a very big area of salt water"), "apple": ("an", "a round fruit that grows on a tree"),
    "banana": ("a", "a long yellow fruit"), "lemon": ("a", "a yellow fruit that tastes sour"), "honey": ("", "sweet food made by bees"),
    "winter": ("", "the coldest season of the year"), "summer": ("", "the warmest season of the year"),
    "spring": ("", "the season when flowers start to grow"), "autumn": ("", "the season when leaves fall from the trees"),
    "language model": ("a", "a computer program that reads and writes text"),
}
FACTS = [
    ("How many days are in a week?", "There are seven days in a week."),
    ("How many months are in a year?", "There are twelve months in a year."),
    ("How many hours are in a day?", "There are 24 hours in a day."),
    ("How many minutes are in an hour?", "There are 60 minutes in an hour."),
    ("How many seasons are there?", "There are four seasons: spring, summer, autumn and winter."),
    ("How many letters are in the alphabet?", "There are 26 letters in the English alphabet."),
    ("How many fingers are on one hand?", "There are five fingers on one hand."),
    ("How many wheels does a car have?", "A car has four wheels."),
    ("How many wheels does a bicycle have?", "A bicycle has two wheels."),
    ("How many eyes do you have?", "I have no eyes. I am a computer program."),
    ("Where does the sun rise?", "The sun rises in the east."),
    ("Where does the sun set?", "The sun sets in the west."),
    ("What do bees make?", "Bees make honey."),
    ("What do cows give us?", "Cows give us milk."),
    ("What do we get from sheep?", "We get wool from sheep."),
    ("What is the biggest animal?", "The blue whale is the biggest animal."),
    ("What is the tallest animal?", "The giraffe is the tallest animal."),
    ("What is the fastest land animal?", "The cheetah is the fastest land animal."),
    ("What do plants need to grow?", "Plants need water, light and air to grow."),
    ("What falls from the clouds?", "Rain and snow fall from the clouds."),
    ("What is ice made of?", "Ice is made of water."),
    ("What is bread made of?", "Bread is made of flour and water."),
    ("What is cheese made of?", "Cheese is made of milk."),
    ("When do we sleep?", "We sleep at night."),
    ("When do we eat breakfast?", "We eat breakfast in the morning."),
    ("What do you use an umbrella for?", "You use an umbrella to stay dry in the rain."),
    ("What do you use a key for?", "You use a key to open a door."),
    ("What do you use a spoon for?", "You use a spoon to eat soup."),
    ("What do we hear with?", "We hear with our ears."),
    ("What do we see with?", "We see with our eyes."),
    ("What do we smell with?", "We smell with our nose."),
    ("Why is the sky blue?", "The sky looks blue because the air scatters blue light the most."),
    ("Why do we sleep?", "We sleep because our body and mind need rest."),
    ("Why do we eat?", "We eat because food gives us energy."),
    ("Why does it rain?", "It rains because small drops of water in the clouds grow heavy and fall."),
    ("What planet do we live on?", "We live on the planet Earth."),
    ("What is the first month of the year?", "The first month of the year is January."),
    ("What is the last month of the year?", "The last month of the year is December."),
    ("What is the first day of the week?", "Many people say that Monday is the first day of the week."),
    ("What is the first letter of the alphabet?", "The first letter of the alphabet is A."),
    ("What is the last letter of the alphabet?", "The last letter of the alphabet is Z."),
    ("Who makes bread?", "A baker makes bread."), ("Who flies a plane?", "A pilot flies a plane."),
    ("Who helps sick people?", "A doctor helps sick people."), ("Who teaches children?", "A teacher teaches children."),
    ("Who puts out fires?", "A firefighter puts out fires."),
    ("What is the coldest season?", "Winter is the coldest season."), ("What is the warmest season?", "Summer is the warmest season."),
    ("Is the sun hot?", "Yes, the sun is very hot."), ("Is ice hot?", "No, ice is cold."), ("Is fire cold?", "No, fire is hot."),
    ("Can fish fly?", "No, most fish cannot fly. They swim."), ("Can birds fly?", "Yes, most birds can fly."),
    ("Can a dog read?", "No, a dog cannot read."), ("Is the Earth round?", "Yes, the Earth is round like a ball."),
    ("Is snow warm?", "No, snow is cold."), ("Do trees talk?", "No, trees do not talk."),
    ("What do you wear on your feet?", "You wear shoes and socks on your feet."),
    ("What do you wear on your head?", "You wear a hat on your head."),
    ("What do you do with a book?", "You read a book."), ("Where do fish live?", "Fish live in the water."),
    ("What comes after winter?", "Spring comes after winter."), ("What comes after spring?", "Summer comes after spring."),
    ("What comes after summer?", "Autumn comes after summer."), ("What comes after autumn?", "Winter comes after autumn."),
]


# More sentences about words of DEFS, which can follow their definition in any order.
DETAILS = {
    "sun": ["It rises in the east and sets in the west.", "Without it, no plant could grow.", "You should never look straight at it.", "It is much bigger than the Earth."],
    "moon": ["It shines at night.", "Sometimes it is round, and sometimes it is a thin slice.", "People have walked on it.", "It takes about a month to go around the Earth."],
    "rain": ["It makes the streets wet.", "Plants need it to grow.", "Some people like the sound of it.", "After it, you may see a rainbow."],
    "snow": ["It is white and cold.", "Children like to play in it.", "It turns to water when it gets warm.", "You can build a snowman with it."],
    "river": ["It begins as a small stream.", "Fish live in it.", "People cross it on a bridge.", "Many towns were built beside one."],
    "mountain": ["It is cold at the top.", "Snow often lies on it.", "It takes a long time to climb it.", "From the top you can see very far."],
    "tree": ["Birds build their nests in it.", "It gives us shade and wood.", "Some trees live for hundreds of years.", "In autumn many trees lose their leaves."],
    "book": ["You can read it alone or to a friend.", "A library has many of them.", "Some books tell stories, and others explain things.", "It is made of paper."],
    "school": ["Teachers work there.", "Children read, write and count there.", "It has rooms with desks and chairs.", "At noon the children eat together."],
    "doctor": ["You go to one when you feel ill.", "A doctor listens to your heart.", "Many doctors work in a hospital.", "Sometimes a doctor gives you medicine."],
    "teacher": ["Teachers work in a school.", "A teacher explains things with patience.", "Good teachers like questions.", "They read what the children have written."],
    "farmer": ["Farmers get up early.", "They grow corn, wheat and vegetables.", "A farmer looks after cows, sheep and hens.", "The work changes with the seasons."],
    "baker": ["Bakers get up when it is still dark.", "The bread comes out of a hot oven.", "A bakery smells very good.", "People buy fresh bread in the morning."],
    "train": ["It stops at stations.", "Many people can ride in it.", "It is faster than a bicycle.", "You need a ticket to ride in it."],
    "boat": ["Some boats have sails, and others have engines.", "It floats because it is light for its size.", "Fishermen go out to sea in boats.", "You should wear a life jacket in it."],
    "garden": ["Bees and butterflies visit it.", "A garden needs water and care.", "In spring many flowers open there.", "You can rest there on a bench."],
    "friend": ["Friends help each other.", "You can tell a friend a secret.", "Friends laugh together.", "Even good friends disagree sometimes."],
    "winter": ["The days are short and the nights are long.", "In many places it snows.", "People wear warm coats and gloves.", "Some animals sleep until spring."],
    "summer": ["The days are long and warm.", "Many people go to the sea.", "Fruit grows ripe in the sun.", "Children have holidays."],
    "spring": ["Birds come back and build nests.", "The trees get new leaves.", "The days grow longer and warmer.", "Farmers sow their fields."],
    "autumn": ["The leaves turn red and yellow.", "Farmers bring in the harvest.", "It often rains and the wind is strong.", "Squirrels hide nuts for the winter."],
    "sea": ["Its water is salty.", "Ships sail on it.", "Whales, fish and crabs live in it.", "The waves come to the beach and go back again."],
    "library": ["It is quiet there.", "You can take a book home and bring it back later.", "People of all ages go there.", "Someone there can help you find a book."],
    "bread": ["It is baked in an oven.", "You can eat it with butter or cheese.", "Fresh bread smells good.", "People in many countries eat it every day."],
    "music": ["People sing it or play it on instruments.", "It can make you happy or sad.", "Some people dance to it.", "You can listen to it alone or with friends."],
    "forest": ["Deer, foxes and owls live there.", "It is cool and quiet.", "You can find berries and mushrooms there.", "It is easy to get lost in one."],
    "computer": ["It can store pictures, music and texts.", "People write letters with it.", "It does only what its programs say.", "It needs electricity to work."],
    "clock": ["It has two hands, or it shows numbers.", "The short hand shows the hour.", "An alarm clock can wake you up.", "Some clocks hang on the wall."],
}
ROUTINES = {   # four steps: as one says them to "you", and as somebody does them
    "in the morning": [("get out of bed", "gets out of bed"), ("wash your face", "washes with cold water"), ("eat breakfast", "eats breakfast"), ("go to school or to work", "goes to school")],
    "in the evening": [("eat dinner", "eats dinner"), ("brush your teeth", "finds a good book"), ("read a little", "reads for a while"), ("go to bed", "goes to bed")],
    "on a rainy day": [("take an umbrella", "takes an umbrella"), ("put on boots", "puts on boots"), ("walk to the library", "walks to the library"), ("read a book in a warm room", "reads a book in a warm room")],
    "before a trip": [("make a list", "makes a list"), ("pack a bag", "packs a bag"), ("lock the door", "locks the door"), ("go to the station", "goes to the station")],
    "to plant a seed": [("make a small hole", "makes a small hole"), ("put the seed in it", "puts the seed in it"), ("cover it with earth", "covers it with earth"), ("give it some water", "gives it some water")],
    "to wash a dog": [("fill a tub with warm water", "fills a tub with warm water"), ("put the dog in", "puts the dog in"), ("rub in some soap", "rubs in some soap"), ("dry it with a towel", "dries it with a towel")],
    "on a birthday": [("decorate the room", "decorates the room"), ("invite some friends", "opens the door for the guests"), ("cut the cake", "cuts the cake"), ("play some games", "plays some games")],
    "at the market": [("take a basket", "takes a basket"), ("look for ripe fruit", "looks for ripe fruit"), ("ask for the price", "asks for the price"), ("pay and go home", "pays and goes home")],
    "after school": [("have a snack", "has a snack"), ("do your homework", "does the homework"), ("play outside", "plays outside"), ("help in the kitchen", "helps in the kitchen")],
}
CAUSES = {
    "happy": ["got a present", "won the game", "saw {his} best friend", "found the lost key", "heard good news", "ate a big piece of cake"],
    "sad": ["lost {his} favourite book", "missed the train", "broke a cup", "had to say goodbye", "could not go to the party", "dropped the ice cream"],
    "tired": ["worked all day", "ran a long way", "went to bed very late", "carried heavy boxes", "climbed a high hill"],
    "hungry": ["had no breakfast", "forgot to eat lunch", "waited a long time for dinner", "gave {his} sandwich to a friend"],
    "afraid": ["heard a strange noise", "saw a big spider", "was alone in the dark", "heard loud thunder"],
    "proud": ["finished a long book", "learned to swim", "baked bread alone", "told the truth", "fixed the old bicycle"],
    "cold": ["forgot the warm coat", "fell into the lake", "walked in the snow without gloves", "slept with an open window"],
    "angry": ["was pushed in the line", "was called a bad name", "had to wait for an hour", "found the door locked"],
}
RHYMES = [["cat", "hat", "mat", "rat", "bat"], ["dog", "frog", "log", "fog"], ["sun", "run", "fun", "bun"], ["tree", "bee", "sea", "knee", "three"],
          ["moon", "spoon", "noon", "soon"], ["star", "car", "far", "jar"], ["day", "play", "say", "way", "may"], ["night", "light", "right", "kite", "white"],
          ["house", "mouse"], ["boat", "coat", "goat", "note"], ["cake", "lake", "snake", "make"], ["king", "ring", "sing", "wing", "spring"],
          ["bed", "red", "head", "bread"], ["ball", "wall", "tall", "fall", "small"], ["rain", "train", "plane", "chain"], ["book", "cook", "look", "hook"],
          ["snow", "go", "slow", "toe"], ["hill", "mill", "will", "still"], ["fish", "dish", "wish"], ["bear", "chair", "hair", "pear"]]


def plural(w: str) -> str:
    """Plural of an English noun known to the lexicon."""
    return PLURAL.get(w) or w + "s"


def a(w: str) -> str:
    """Noun phrase with its indefinite article."""
    return ("an " if w[0] in "aeiouAEIOU" else "a ") + w


def words(n: int) -> str:
    """Number 0..199 in words."""
    if n <= 20:
        return ONES[n]
    if n >= 100:
        return "one hundred" + (" and " + words(n - 100) if n > 100 else "")
    return TENS[n // 10] + ("-" + ONES[n % 10] if n % 10 else "")
