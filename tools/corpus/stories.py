"""Story grammar: plots made of beats, each beat a choice of sentences.

A template is text with [a|b|c] choices (innermost first) and {slot} values.
"""
from __future__ import annotations

import random
import re

from lexicon import ADJ, ANIMALS, BOYS, COLOURS, FOODS, GIRLS, HIDE, NATURE, PLACES, STORY_ANIMALS, TOYS, TREES, a

_CHOICE = re.compile(r"\[([^\[\]]*)\]")


def expand(rng: random.Random, text: str) -> str:
    """Resolve every [a|b|c] of a template."""
    while True:
        text, n = _CHOICE.subn(lambda m: rng.choice(m.group(1).split("|")), text)
        if not n:
            return text


def cap(s: str) -> str:
    """Upper-case the first letter."""
    return s[:1].upper() + s[1:]


class Hero:
    """Someone in a story: name, how it is introduced, pronouns."""

    def __init__(self, rng: random.Random, kind: str | None = None, name: str | None = None, sex: str | None = None) -> None:
        self.kind = kind or rng.choice(["girl", "boy"])
        if self.kind in ("girl", "boy"):
            sex = "f" if self.kind == "girl" else "m"
        self.sex = sex or rng.choice("fm")
        self.name = name or rng.choice(GIRLS if self.sex == "f" else BOYS)
        self.he, self.him, self.his = ("she", "her", "her") if self.sex == "f" else ("he", "him", "his")


OPEN = ["Once upon a time, there was a {nat} {kind} named {N}.", "There was once a {nat} {kind} called {N}.",
        "{N} was a {nat} {kind}.", "{N} was a {nat} {kind} who lived near the {place}.",
        "In a small house near the {place} lived a {nat} {kind} named {N}.", "Long ago, a {nat} {kind} named {N} lived by the {place}."]
DAY = "[One day|One morning|One sunny day|One fine morning|One afternoon|One warm day]"
HAPPY = "[{N} was very happy.|{N} smiled.|{N} laughed with joy.|{N} felt very happy.|{He} was so glad that {he} danced.]"
SAD = "[{N} was very sad.|{N} began to cry.|{N} felt sad.|{He} sat down and cried.|{He} did not know what to do.]"
THANK = "[\"Thank you, {M}!\" said {N}.|\"Thank you so much,\" said {N}.|{N} thanked {M}.|\"You are a good friend, {M},\" said {N}.]"
FRIENDS = "[From that day on, they were good friends.|After that, {N} and {M} were best friends.|They played together until the sun went down.|Then they went home together.|They were friends for ever.]"
END = "[The end.|||]"

# Every plot: list of beats; needs {N},{M} (heroes), {kind},{kind2}, slots.
PLOTS: dict[str, list[str]] = {
    "lost": [
        "{He} had a {col} {toy}. [{He} loved it very much.|It was {his} favourite thing.|{He} took it everywhere.]",
        DAY + ", {N} went to the {place} with the {toy}. [{He} played and ran.|{He} played for a long time.|The wind was strong.]",
        "[Then the {toy} was gone!|But when {he} looked around, the {toy} was gone.|Suddenly {he} could not find the {toy}.]", SAD,
        "[Then|Soon|Just then] {M} the {kind2} came by. \"[Why are you sad|What is wrong|Why do you cry]?\" asked {M}.",
        "\"I lost my {toy},\" said {N}. \"[I will help you|Do not worry, we will find it|Let us look for it together],\" said {M}.",
        "They looked [here and there|everywhere|for a long time]. [At last|Finally|In the end], {M} found the {toy} {hide}.",
        "[\"Here it is!\" said {M}.|\"Look!\" said {M}. \"Here is your {toy}!\"] " + HAPPY, THANK, FRIENDS],
    "share": [
        DAY + ", {N} had a big {food}. [It smelled very good.|It was sweet and fresh.|{His} mother had given it to {him}.]",
        "{He} sat down [in|near] the {place} to eat it. Then {M} the {kind2} came along. [{M} looked hungry.|{M} had nothing to eat.]",
        "\"[May I have some of your {food}|Can you share your {food} with me|Will you give me a little of it]?\" asked {M}.",
        "[At first, {N} did not want to share.|{N} thought about it.|{N} looked at the {food} and then at {M}.] [But {he} was kind.|Then {he} smiled.]",
        "\"[Yes, of course|Here, take half of it|There is enough for two],\" said {N}. {He} [broke|cut] the {food} in two and gave one half to {M}.",
        "They ate together and [talked|laughed]. \"[This is the best {food} I ever had|Food tastes better with a friend],\" said {M}.",
        "[The next day, {M} came back with a {toy} for {N}.|Later, {M} brought {N} a {col} {toy}.|] " + HAPPY, "[{N} learned that it is good to share.|" + FRIENDS + "]"],
    "fear": [
        "{N} was afraid of [the dark|loud thunder|deep water|high places|the big {kind3}].",
        DAY + ", {M} the {kind2} said, \"[Come with me to the {place}|Let us go to the {place}].\" But {N} [was afraid to go|shook {his} head].",
        "\"[Do not be afraid|I will stay with you|I was afraid too, once],\" said {M}. \"[Hold my hand|We can go slowly|Just take one small step].\"",
        "[Slowly|Step by step|Very slowly], {N} walked with {M}. [{His} heart beat fast.|{His} legs shook.|It was very quiet.]",
        "[Nothing bad happened.|After some time, it was not so bad.|Then {he} saw that there was nothing to fear.]",
        "\"[Look, I did it|I am not afraid any more|That was not so hard]!\" said {N}. {M} [smiled|clapped and cheered].",
        "[{N} was proud.|" + HAPPY + "] [Now {N} knew that {he} was brave.|From that day on, {N} was not afraid.|To be brave is to try even when you are afraid.]"],
    "baby": [
        DAY + ", {N} walked [in|through|near] the {place}. {He} heard a [small|soft|sad] sound {hide}.",
        "It was a little {kind3}. It was [lost|cold and hungry|all alone]. \"[I want my mother|Where is my mother|I cannot find my home],\" it cried.",
        "\"[Do not cry|I will help you|Come with me],\" said {N}. {He} gave the little {kind3} [some water|something to eat|a warm scarf].",
        "They [walked|went] [up the hill|along the river|through the trees|across the field]. They asked {M} the {kind2}, \"[Have you seen a big {kind3}|Do you know where its mother is]?\"",
        "\"[Yes|Oh yes], [she is near the old tree|she is on the other side of the river|I saw her this morning by the bridge],\" said {M}.",
        "[At last|Soon] they found the mother. [She was so happy to see her little one.|She hugged her little one.|She ran to them with joy.]",
        "\"Thank you, {N},\" said the mother. [{N} went home with a warm heart.|" + HAPPY + "]"],
    "race": [
        "{N} [could run very fast|was not very fast|loved to run]. " + DAY + ", {M} the {kind2} said, \"[Let us have a race|I can run faster than you|Let us race to the old tree].\"",
        "\"[Yes|All right|Good idea],\" said {N}. They started at the [gate|river|big rock]. [\"One, two, three, go!\"|\"Ready, steady, go!\"]",
        "{M} ran [very fast|like the wind]. {M} was [far ahead|the first]. \"[I will win|This is too easy],\" {M} thought and [stopped to rest|sat down to eat a {food}|fell asleep].",
        "But {N} [did not stop|went on and on|ran step by step]. [Slow but sure, {he} came to the end.|{He} passed {M} and came first.]",
        "\"[You won|Well done, {N}|You are the winner]!\" said {M}. [All the others cheered.|Everyone clapped.|They both laughed.]",
        "[It is good to never give up.|" + HAPPY + "|{M} learned not to be so proud.]"],
    "seed": [
        DAY + ", {N} found a small seed [in the {place}|{hide}|on the path]. \"[What will it be|I will plant it|I wonder what grows from it],\" said {N}.",
        "{He} [made a small hole|dug a little hole] in the ground and put the seed in it. Every day {he} gave it water. [But nothing grew.|{He} waited and waited.|The sun was warm.]",
        "\"[It will never grow|You must wait|Be patient],\" said {M} the {kind2}. [{N} did not give up.|{N} kept on giving it water.]",
        "[Then one day|After many days|At last] there was a small green leaf. [It grew and grew.|Every week it was taller.|Soon it was as tall as {N}.]",
        "In the end it was a [fine|big|beautiful] {tree}. " + HAPPY + " [{He} gave some to {M}.|All the neighbours came to see it.|]",
        "\"[Good things need time|I am glad that I waited|Look what a little seed can do],\" said {N}."],
    "truth": [
        DAY + ", {N} played with a {toy} in the house. {His} mother had said, \"Do not play in here.\" But {N} did not listen.",
        "[Crash!|Bang!|Oh no!] The {toy} hit the {col} [cup|vase|plate|lamp], and it broke. [{N} was afraid.|{N} did not know what to do.]",
        "{He} wanted to [hide the pieces|say that {M} the {kind2} did it|run away]. But {he} knew that it was wrong.",
        "{N} went to {his} mother. \"[I am sorry|Mother, I broke it|It was me],\" {he} said. [{He} began to cry.|{He} looked at the floor.]",
        "{His} mother [hugged {him}|was quiet for a moment|smiled]. \"[Thank you for telling me the truth|I am glad that you told the truth|Things can break, but truth is important],\" she said.",
        "They [cleaned the floor together|picked up the pieces together|fixed it with glue]. [{N} felt much better.|{N} never played with the {toy} in the house again.|It is always good to tell the truth.]"],
    "friend": [
        "{N} [had no friends|was new in the village|always played alone]. [{He} felt lonely.|{He} wanted a friend.|{He} was too shy to say hello.]",
        DAY + ", {he} saw {M} the {kind2} [in|near] the {place}. {M} had a {col} {toy}. [\"That looks like fun,\" thought {N}.|{N} stood and looked.]",
        "\"[Hello|Hi|Good morning],\" said {M}. \"[Do you want to play with me|Would you like to play|What is your name]?\" [{N} was surprised.|{N} smiled a little.]",
        "\"[My name is {N}|Yes, please|I would like that],\" said {N}. [They played with the {toy} all day.|They took turns with the {toy}.|They ran and jumped and laughed.]",
        "When the sun went down, {M} said, \"[Will you come back tomorrow|See you tomorrow|That was the best day].\" " + HAPPY, FRIENDS],
    "wish": [
        DAY + ", {N} found an old {toy} {hide}. When {he} [cleaned|touched|opened] it, it began to [shine|glow|talk].",
        "\"[I am a magic {toy}|I can give you one wish|You have one wish],\" it said. \"[Tell me what you want|Think well before you speak].\"",
        "{N} thought about [gold|a big cake|many toys|a new house]. Then {he} thought about {his} friend {M} the {kind2}, who was [sick|hungry|sad|all alone].",
        "\"[I wish that {M} will be well and happy|Please make {M} happy again|My wish is for {M}],\" said {N}. [There was a bright light.|The {toy} shone like the sun.|A soft wind blew.]",
        "[Soon|A moment later] {M} came running. \"[I feel so good|Something wonderful happened|I am happy again]!\" {M} said. " + HAPPY,
        "[A kind heart is better than gold.|The {toy} was never seen again.|" + FRIENDS + "]"],
    "build": [
        DAY + ", {N} wanted to build a [small house|boat|bridge|tree house|nest]. {He} [took some wood|found some sticks|began to work at once].",
        "It was hard work. [The wood was heavy.|The sticks fell down again and again.|The wind blew it down.] \"[I cannot do it alone|This is too hard|What shall I do],\" said {N}.",
        "{M} the {kind2} heard {him}. \"[Let me help you|Two can do more than one|We can do it together],\" said {M}. They worked [all day|side by side|until the evening].",
        "{M} [held the wood|carried the sticks|tied the rope] and {N} [made it strong|used the hammer|put everything in its place].",
        "[At last it was ready.|When the sun went down, it was done.|In the evening they looked at their work.] [It was strong and beautiful.|It did not fall down.|It was just right.]",
        HAPPY + " " + THANK, "[Together we can do great things.|Work is easy with a friend.|" + FRIENDS + "]"],
    "gift": [
        "It was {M}'s birthday. {M} was a {kind2} and {N}'s best friend. {N} wanted to give {M} a [nice|special|good] gift, but {he} had no money.",
        "{He} went to the {place} and [looked around|sat down to think|asked everyone for help]. [There were many lovely things.|Everything cost too much.]",
        "Then {N} had an idea. {He} found some {col} [paper|wood|cloth|flowers] and made a {toy}. [It took all day.|{He} worked very hard.|It was not perfect, but it was made with love.]",
        "In the evening, {N} went to {M}'s house. \"[Happy birthday|This is for you|I made this for you],\" said {N}.",
        "{M} opened the box. \"[What a lovely {toy}|It is the best gift of all|You made this for me]!\" said {M}. {M} hugged {N}. " + HAPPY,
        "[They ate cake and sang songs.|They had a big {food} and danced.|A gift from the heart is the best gift.]"],
    "practice": [
        "{N} wanted to [play the {music}|learn to play the {music}]. [{He} had heard someone play it in the {place}.|{He} loved its sound.]",
        DAY + ", {he} tried it for the first time. [It sounded terrible.|It squeaked and scratched.|Even the {kind3} ran away.] " + SAD,
        "\"[Everyone begins like that|Nobody can do it on the first day|You must practise],\" said {M} the {kind2}. \"[Play a little every day|Try again tomorrow|I will listen to you].\"",
        "So {N} practised [every morning|every evening|each day after breakfast]. [Slowly it got better.|After a week, {he} could play one short song.|The wrong notes became fewer.]",
        "At last there was a party in the {place2}. {N} played, and [everyone danced|nobody ran away|even the {kind3} listened]. {M} clapped [the loudest|and cheered].",
        HAPPY, "[With practice, hard things become easy.|\"You see,\" said {M}, \"it was worth the work.\"|{N} played for {M} every evening after that.]"],
    "coin": [
        DAY + ", {N} found a [purse full of coins|shiny gold coin|small bag of money] on the way to the {place}. [There was nobody near.|{He} looked left and right.]",
        "\"[Now I can buy a {toy}|With this I could buy many things|What luck],\" thought {N}. But then {he} thought of the one who had lost it.",
        "{He} asked [everyone in the {place2}|all the people on the road|at every house]. [Nobody had lost any money.|\"It is not mine,\" they said.]",
        "Then {he} met {M} the {kind2}, who was [looking for something in the grass|crying softly|very worried]. \"[I lost my money|My money is gone],\" said {M}. \"[I need it to buy food|I worked a whole month for it].\"",
        "\"[Is this yours|Here it is]!\" said {N} and gave it back. {M} [could not believe it|jumped for joy|wiped away the tears]. " + THANK.replace("{M}", "{X}").replace("{N}", "{M}").replace("{X}", "{N}"),
        "[{M} bought {N} a {food}.|They shared a {food} and talked.|] [To be honest is worth more than gold.|{N} went home with empty pockets and a light heart.|" + FRIENDS + "]"],
    "noise": [
        "It was late, and {N} lay in bed. [Outside it was dark.|The moon shone through the window.|Everyone else was asleep.] Then {he} heard a noise. [Tap, tap, tap.|Scratch, scratch.|Bump, bump, bump.]",
        "\"[What is that|Who is there]?\" whispered {N}. [Nobody answered.|{His} heart beat fast.|{He} pulled the blanket over {his} head.]",
        "There it was again! {N} took a [candle|lamp|{toy}] and went [down the stairs|to the door|to the window]. [Step by step, without a sound.|{His} knees shook.]",
        "{He} opened the door and saw [two bright eyes|a small dark shape]. It was {M} the {kind2}! \"[I am sorry|I did not want to wake you],\" said {M}. \"[I lost my way in the dark|I was cold outside|I wanted to ask for some water].\"",
        "{N} [laughed|had to smile]. \"[And I was so afraid|I thought it was a monster]!\" {he} said. {He} gave {M} [a warm blanket|something to drink|a place by the fire].",
        "[In the morning they ate breakfast together.|Soon they were both asleep.|They told each other stories until they fell asleep.] [Many things are scary only in the dark.|" + FRIENDS + "]"],
    "contest": [
        "Every year there was a contest for the [biggest {food}|best {food}|finest {food}] in the {place}. {N} [wanted to win|had never won it|worked hard all year].",
        DAY + ", {M} the {kind2} came to look. \"[Mine is bigger|You cannot win|I will win again],\" said {M} [proudly|with a laugh]. {N} [said nothing|only smiled].",
        "But in the night before the contest, [a storm broke {M}'s window|{M} became ill|the {kind3} ate all that {M} had]. {M} was very sad.",
        "{N} heard of it. \"[It would not be fair to win like this|Let us do it together|I will help you],\" {he} said. They worked [all morning|side by side|as fast as they could].",
        "They brought one big {food} with two names on it. [The judges tasted it.|Everyone came to look.] \"[This one wins|First prize for {N} and {M}]!\" said the judges.",
        HAPPY, "[{M} was never proud again.|A prize is better when it is shared.|" + FRIENDS + "]"],
    "old": [
        "An old {kind2} named {M} lived alone near the {place}. [Nobody came to visit.|The others were afraid of {M}.|The garden was full of weeds.]",
        DAY + ", {N} [walked by|lost a {toy} in {M}'s garden|came to ask for water]. [{He} was a little afraid.|{He} knocked at the door.]",
        "\"[Come in|Good day|I do not get many visitors],\" said {M} in a [soft|kind|deep] voice. On the table there was a {food}. \"[Sit down and eat with me|Take a piece].\"",
        "{M} told {N} stories of [ships and storms|far countries|the old days]. [{N} listened with big eyes.|The time went by quickly.|They were the best stories {he} had ever heard.]",
        "The next day, {N} came back [with {his} friends|with some flowers|to clean the garden]. [They pulled out the weeds.|They painted the fence {col2}.|Soon the house was full of voices.]",
        "\"[I am not alone any more|You made me very happy],\" said {M}. [You cannot know others before you talk to them.|From then on, {N} came every week.|" + HAPPY + "]"],
    "map": [
        DAY + ", {N} found an old map {hide}. [There was a red cross on it.|It showed the way to a treasure.] \"[I will find it|Come with me],\" {he} said to {M} the {kind2}.",
        "They [packed a {food} and some water|took a lamp and a rope] and went [over the hill|along the river|through the forest]. [The way was long.|It was very hot.|They got lost twice.]",
        "Once {N} wanted to turn back, but {M} said, \"[Only a little more|We are nearly there].\" Once {M} fell, and {N} [helped {M} up|carried the bag].",
        "At last they came to the {place2}. They dug [a deep hole|under an old tree], and there was a [box|chest]! [It was not full of gold.|There were no jewels in it.] In it lay [a {toy}|a letter|two cups].",
        "The letter said: \"[The one who walked with you is the treasure|You found it on the way here|A good friend is worth more than gold].\" [They looked at each other and laughed.|They were quiet for a moment.]",
        "[They ate the {food} and went home together.|{N} kept the map all {his} life.] " + HAPPY + " " + "[" + FRIENDS + "|]"],
    "rain": [
        DAY + ", {N} was [walking|playing] in the {place} when it began to rain. [The rain was cold.|The wind blew hard.|Soon {he} was very wet.]",
        "{He} ran to [a big tree|an old house|a cave]. {M} the {kind2} was there too. \"[Come in|There is room for two|You can sit next to me],\" said {M}.",
        "They sat together and [listened to the rain|told stories|sang a song|shared a {food}]. \"[I like the sound of the rain|The rain is good for the flowers|When will it stop],\" said {N}.",
        "After a while, the rain stopped and the sun came out. \"[Look, a rainbow|Look at the sky]!\" said {M}. There were [many|seven] colours in the sky. " + HAPPY,
        "[They jumped in the puddles all the way home.|" + FRIENDS + "|Even a rainy day can be a good day.]"],
}


# Where "in" or "through" is not what one says of a place.
WHERE = {"beach|market|playground|station|bakery|harbour|mill|library|school|museum": r"at the \1",
         "hill|farm|island|mountain|bridge|square": r"on the \1", "lake|river|pond|stream": r"by the \1"}


def story(rng: random.Random, topic: str | None = None, topic2: str | None = None, name: str | None = None,
          short: bool = False) -> str:
    """One story; `topic` may be an animal, a child word, a toy, food or place."""
    hero = Hero(rng, topic if topic in ANIMALS or topic in ("girl", "boy") else (rng.choice(STORY_ANIMALS) if rng.random() < 0.45 and not name else None))
    if name:
        hero = Hero(rng, "girl" if name in GIRLS else "boy", name)
    kind2 = topic2 if topic2 in ANIMALS else rng.choice(STORY_ANIMALS)
    while kind2 == hero.kind:
        kind2 = rng.choice(STORY_ANIMALS)
    friend = Hero(rng, kind2)
    while friend.name == hero.name:
        friend = Hero(rng, kind2)
    things = (topic, topic2)
    pick = lambda pool: next((t for t in things if t in pool), None) or rng.choice(pool)  # noqa: E731
    toy, food, place, tree = pick(TOYS), pick(FOODS), pick(PLACES), pick(TREES)
    if topic in TOYS or topic2 in TOYS:
        plots = ["lost", "friend", "wish", "gift", "truth"]
        if hero.kind not in ("girl", "boy"):
            plots.remove("truth")
    elif topic in FOODS or topic2 in FOODS:
        plots = ["share", "share", "contest", "old"]
    elif topic in TREES:
        plots = ["seed"]
    elif topic == "race":
        plots = ["race"]
    elif topic == "rain":
        plots = ["rain"]
    else:
        plots = [p for p in PLOTS if not (p == "truth" and hero.kind not in ("girl", "boy"))]
    plot = rng.choice(plots)
    beats = [rng.choice(OPEN)] + PLOTS[plot] + [END]
    if short:
        beats = [beats[0]] + PLOTS[plot][:1] + PLOTS[plot][2:3] + PLOTS[plot][-2:]
    kind3 = rng.choice([k for k in STORY_ANIMALS if k not in (hero.kind, kind2)])
    place2 = rng.choice([p for p in PLACES if p != place])
    slots = {"place2": place2, "music": rng.choice(["flute", "drum", "piano", "guitar", "violin", "trumpet"]), "col2": rng.choice(COLOURS),
             "N": hero.name, "M": friend.name, "kind": hero.kind, "kind2": kind2, "kind3": kind3, "he": hero.he, "him": hero.him,
             "his": hero.his, "He": cap(hero.he), "His": cap(hero.his), "toy": toy, "food": food, "place": place, "tree": tree,
             "col": rng.choice(COLOURS + ADJ), "hide": rng.choice(HIDE), "nat": rng.choice(NATURE)}
    out = []
    for b in beats:
        s = expand(rng, expand(rng, b)).strip()
        if s:
            out.append(s.format(**slots))
    text = " ".join(out)
    # paragraph break now and then, as in printed stories
    if len(out) > 6 and rng.random() < 0.5:
        cut = rng.randrange(3, len(out) - 2)
        text = " ".join(out[:cut]) + "\n\n" + " ".join(out[cut:])
    for animal in ANIMALS:   # "a owl" -> "an owl"
        if animal[0] in "aeo":
            text = re.sub(rf"\ba {animal}\b", "an " + animal, text)
    for where, right in WHERE.items():
        text = re.sub(rf"\b(?:in|through) the ({where})\b", right, text)
    return re.sub(r"\b([Aa]) (?=(old|orange|umbrella|apple|oak)\b)", r"\1n ", text)


def topic_phrase(topic: str) -> str:
    """How a request names a topic."""
    return {"rain": "the rain", "race": "a race"}.get(topic, a(topic))
