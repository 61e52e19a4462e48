"""Question and answer generators: each returns (request, answer) or turns.

`Gen` holds the random source; every skill is a method, `SKILLS` gives weights. Numbers are in arithmetic.py,
talk about one subject over several sentences and turns in subjects.py.
"""
from __future__ import annotations

import random

from arithmetic import Arithmetic
from lexicon import (A_THING_COLOUR, ANIMALS, BOYS, CAPITALS, COLOURS, DAYS, DEFS, FACTS, FOODS, GIRLS, GROUPS, MONTHS, OPPOSITE,
                     PAST, PLACES, PLURAL, STORY_ANIMALS, THING_COLOUR, TOYS, TREES, a, plural, words)
from stories import cap, expand, story, topic_phrase
from subjects import Subjects

NAMES = GIRLS + BOYS
QA = tuple[str, str]


class Gen(Arithmetic, Subjects):
    """Deterministic request/answer generator."""

    def __init__(self, rng: random.Random) -> None:
        self.r = rng

    def x(self, text: str) -> str:
        """Expand [a|b] choices."""
        return expand(self.r, text)

    def pick(self, seq):
        """Random element of any collection."""
        return self.r.choice(list(seq))

    # ---- identity and small talk
    def hello(self) -> QA:
        hi = self.x("[Hello|Hi|Hey|Good morning|Good evening|Good day|Hi there|Hello there]")
        ans = self.x("[Hello!|Hi!|Hello there!|Hi there!] [How can I help you?|What can I do for you?|How are you today?|What would you like to talk about?|It is nice to meet you.]")
        if "morning" in hi or "evening" in hi or "day" in hi:
            ans = hi + "! " + ans.split("! ", 1)[1]
        return hi + self.x("[!|.||, cadre!]"), ans

    def how(self) -> QA:
        return (self.x("[How are you?|How are you today?|How do you do?|How is it going?|Are you well?|How do you feel?]"),
                self.x("[I am fine, thank you.|I am doing well, thank you.|I am well, thank you.] [How are you?|And you?|How can I help you?|What can I do for you?]"))

    def who(self) -> QA:
        q, ans = self.pick([
            ("[Who are you?|What are you?|Tell me who you are.|Please introduce yourself.|Tell me about yourself.|Who am I talking to?]",
             "I am cadre, a small language model. [I can tell simple stories and answer easy questions.|I can talk about simple things.|I am a computer program that writes text.|]"),
            ("[What is your name?|Do you have a name?|What should I call you?|Tell me your name.]", "My name is cadre. [I am a small language model.|]"),
            ("[Are you a human?|Are you a person?|Are you real?|Are you a robot?]", "[No, I am not a person. I am cadre, a small language model.|I am a computer program called cadre.]"),
            ("[What can you do?|How can you help me?|What do you know?|What are you good at?]",
             "I can [tell short stories|tell you a story], [count|add small numbers] and answer [simple|easy] questions. [I am small, so I make mistakes.|I do not know very much.|]"),
            ("[How old are you?|When were you born?]", "I am a computer program, so I do not have an age."),
            ("[Where do you live?|Where are you?|Where are you from?]", "I live in a computer. I am a program called cadre."),
            ("[Do you eat?|Do you sleep?|Are you hungry?|Are you tired?|Do you like cake?]", "No, I am a computer program. I do not eat or sleep."),
            ("[Who made you?|Who created you?|Where do you come from?]", "I was trained as a small test model for the cadre engine."),
            ("[Are you smart?|Do you know everything?|Are you always right?]", "No, I am a small model. I know only simple things and I can be wrong."),
            ("[Do you speak English?|Can you speak English?|Which language do you speak?]", "Yes, I speak simple English."),
        ])
        return self.x(q), self.x(ans).strip()

    def polite(self) -> QA:
        q, ans = self.pick([
            ("[Thank you.|Thanks!|Thank you very much.|Thanks a lot.|Thank you for your help.]", "[You are welcome!|You are very welcome.|It was my pleasure.] [Have a nice day!|Can I help you with something else?|]"),
            ("[Goodbye.|Bye!|See you later.|Good night.|Bye bye.|See you tomorrow.]", "[Goodbye!|Bye!] [Have a nice day!|See you soon!|Take care!|It was nice to talk to you.]"),
            ("[You are great.|You are nice.|Well done!|Good answer.|That was good.|I like you.]", "Thank you! [That is very kind.|I am glad to hear that.|You are very kind.]"),
            ("[You are wrong.|That is not right.|That is wrong.|You made a mistake.]", "I am sorry. [I make mistakes sometimes.|I am a small model and I can be wrong.] Please ask me again."),
            ("[I am sorry.|Sorry!|Excuse me.]", "[That is all right.|No problem.|Do not worry.] How can I help you?"),
            ("[Help me.|I need help.|Can you help me?|Please help me.|I have a question.|Can I ask you something?]", "[Of course.|Yes, of course.|Sure.] [What do you need?|How can I help you?|What would you like to know?]"),
            ("[Please talk to me.|Let us talk.|Talk to me.|I want to talk.]", "[Of course.|I would like that.] [What would you like to talk about?|How was your day?|What do you like?]"),
        ])
        return self.x(q), self.x(ans).strip()

    def feeling(self) -> QA:
        q, ans = self.pick([
            ("I am sad.|I feel sad.|I am unhappy.|I want to cry.", "I am sorry to hear that. [Do you want to talk about it?|A walk or a good friend can help.|I hope you feel better soon.|Would you like to hear a story?]"),
            ("I am happy.|I feel good today.|I had a good day.|I feel great.|Today was a good day.", "[That is wonderful!|That is great!|I am glad to hear that!] [What made you happy?|What did you do today?|]"),
            ("I am tired.|I am so tired.|I feel sleepy.", "[You should rest.|Maybe you should go to bed.|Try to sleep a little.] [Rest is good for you.|Sleep well!|]"),
            ("I am hungry.|I want to eat.|I am very hungry.", "[You could eat {f}.|How about {f}?|Maybe you would like {f}.]"),
            ("I am bored.|I have nothing to do.|What can I do today?", "[You could {act}.|How about this: {act}.|Why not {act}?|You could {act} or {act2}.]"),
            ("I am afraid.|I am scared of the dark.|I am afraid of thunder.", "[It is all right to be afraid.|Everyone is afraid sometimes.] [Stay with a friend.|Take a slow breath.|You are braver than you think.]"),
            ("I am cold.|It is so cold.", "[Put on a warm coat.|A cup of hot tea can help.|Put on a scarf and a hat.]"),
            ("I am hot.|It is so hot today.", "[Drink some cold water.|Sit in the shade and drink some water.|Open a window.]"),
            ("I am angry.|My friend is angry with me.", "[Take a slow breath.|Try to talk about it.|Wait a little and then talk about it.] [It will be better soon.|]"),
            ("I have a test tomorrow.|I am nervous.", "[Good luck!|I am sure you can do it.] [Sleep well and eat a good breakfast.|Take a slow breath and do your best.]"),
            ("It is raining.|It rains today.", "[Take an umbrella with you.|It is a good day to read a book.|Rain is good for the plants.]"),
            ("I have a new friend.|I made a friend today.", "[That is wonderful!|How nice!] [What is the name of your friend?|A good friend is a treasure.]"),
            ("I lost my key.|I cannot find my book.|I lost my bag.", "[I am sorry to hear that.|Oh no.] [Where did you see it last?|Look under the bed and behind the door.|Try to remember where you were.]"),
        ])
        acts = ["read a book", "go for a walk", "draw a picture", "call a friend", "play a game", "bake a cake", "listen to music", "write a story", "plant some flowers"]
        a1, a2 = self.r.sample(acts, 2)
        return self.r.choice(q.split("|")), self.x(ans).replace("{f}", self.pick(["a sandwich", "an apple", "some soup", "a banana", "some bread and cheese", "a bowl of rice", "some pancakes"])).replace("{act2}", a2).replace("{act}", a1).strip()

    def like(self) -> QA:
        thing = self.pick([plural(w) for w in list(ANIMALS) + FOODS] + ["music", "books", "stories", "football", "the sea", "the snow", "the rain", "chocolate"])
        return self.pick([
            (f"I like {thing}.", self.x(f"[That is nice!|That is great!|How nice!] [What do you like about {thing}?|Many people like {thing}.|Tell me more about {thing}.]")),
            (f"Do you like {thing}?", self.x(f"[I am a computer program, but I like to talk about {thing}.|I cannot feel, but I think {thing} [are|are] nice.|Yes, I like to talk about {thing}. Do you like {thing}?]").replace("music are", "music is").replace("rain are", "rain is").replace("snow are", "snow is").replace("sea are", "sea is").replace("chocolate are", "chocolate is").replace("football are", "football is")),
            (f"I do not like {thing}.", self.x(f"[That is all right.|I see.] [Not everyone likes {thing}.|What do you like?]")),
        ])

    # ---- words
    def opposite(self) -> QA:
        w = self.pick(OPPOSITE)
        return self.x(f"[What is the opposite of {w}?|What is the opposite of {w}?|What is the opposite of \"{w}\"?|Tell me the opposite of {w}.|Give me the opposite of {w}.|Opposite of {w}?]"), f"The opposite of {w} is {OPPOSITE[w]}."

    def colour(self) -> QA:
        c = self.pick(["colour", "colour", "color"])
        if self.r.random() < 0.45:
            t = self.pick(THING_COLOUR)
            the = "" if t in ("grass", "snow", "coal", "chocolate", "milk", "blood", "fire", "gold") else "the "
            if t == "grass" and self.r.random() < 0.5:
                the = "the "
            return self.x(f"[What {c} is {the}{t}?|What {c} is {the}{t}?|What is the {c} of {the}{t}?|Which {c} is {the}{t}?|Tell me the {c} of {the}{t}.]"), f"{cap(the + t)} is {THING_COLOUR[t]}."
        t = self.pick(A_THING_COLOUR)
        return self.x(f"[What {c} is {a(t)}?|What {c} is {a(t)}?|What is the {c} of {a(t)}?|Which {c} is {a(t)}?]"), f"{cap(a(t))} is {A_THING_COLOUR[t]}."

    def animal(self) -> QA:
        n = self.pick(ANIMALS)
        snd, home, food, baby, legs, _, can, desc = ANIMALS[n]
        m = self.pick(ANIMALS)
        bigger = n if ANIMALS[n][5] > ANIMALS[m][5] else m
        smaller = m if bigger == n else n
        return self._animal(n, m, bigger, smaller, snd, home, food, baby, legs, can, desc)

    def _animal(self, n, m, bigger, smaller, snd, home, food, baby, legs, can, desc) -> QA:
        A = cap(a(n))
        opts = [
            ("[What sound does {n} make?|What does {n} say?|What noise does {n} make?]", f"{A} {snd}."),
            ("[Where does {n} live?|Where do {p} live?]", f"{A} lives {home}."),
            ("[What does {n} eat?|What do {p} eat?|What do {p} like to eat?]", f"{A} eats {food}."),
            ("[What is a baby {s} called?|What do you call a baby {s}?]", f"A baby {n} is called {a(baby)}."),
            ("[How many legs does {n} have?|How many legs do {p} have?]", f"{A} has {words(legs) if legs else 'no'} legs."),
            ("[What can {n} do?|What are {p} good at?]", f"{A} can {can}."),
            ("[What is {n}?|What is {n}?|Describe {n}.|Tell me about {p}.|Tell me something about {p}.]", f"{A} is {desc}. It lives {home} and eats {food}."),
            ("[Is {n} an animal?|Is {n} a living thing?]", f"Yes, {a(n)} is an animal."),
        ]
        if ANIMALS[n][5] != ANIMALS[m][5]:
            opts.append(("[Which is bigger, {n} or {m}?|What is bigger, {n} or {m}?]", f"{cap(a(bigger))} is bigger than {a(smaller)}."))
            opts.append(("Which is smaller, {n} or {m}?", f"{cap(a(smaller))} is smaller than {a(bigger)}."))
            opts.append(("Is {n} bigger than {m}?", (f"Yes, {a(n)} is bigger than {a(m)}." if bigger == n else f"No, {a(n)} is smaller than {a(m)}.")))
        q, ans = self.pick(opts)
        return self.x(q).format(n=a(n), p=plural(n), s=n, m=a(m)), ans

    def capital(self) -> QA:
        c = self.pick(CAPITALS)
        return self.pick([(self.x(f"[What is the capital of {c}?|What is the capital city of {c}?|Tell me the capital of {c}.]"), f"The capital of {c} is {CAPITALS[c]}."),
                          (f"Where is {CAPITALS[c]}?", f"{CAPITALS[c]} is in {c}.")] if self.r.random() < 0.3 else
                         [(self.x(f"[What is the capital of {c}?|What is the capital city of {c}?|Tell me the capital of {c}.]"), f"The capital of {c} is {CAPITALS[c]}.")])

    def calendar(self) -> QA:
        seq, kind = self.pick([(DAYS, "day"), (MONTHS, "month")])
        i = self.r.randrange(len(seq))
        nxt, prv = seq[(i + 1) % len(seq)], seq[i - 1]
        return self.pick([(f"What {kind} comes after {seq[i]}?", f"{nxt} comes after {seq[i]}."), (f"What {kind} comes before {seq[i]}?", f"{prv} comes before {seq[i]}."),
                          ({"day": "Name the days of the week.", "month": "Name the months of the year."}[kind], ", ".join(seq[:-1]) + " and " + seq[-1] + ".")])

    def fact(self) -> QA:
        return self.pick(FACTS)

    def define(self) -> QA:
        w = self.pick(DEFS)
        art, d = DEFS[w]
        n = (art + " " + w).strip()
        return self.x(f"[What is {n}?|What is {n}?|Tell me what {n} is.|What does the word {w} mean?|Explain what {n} is.|Describe {n}.]"), f"{cap(n)} is {d}."

    def group(self) -> QA:
        g = self.pick(GROUPS)
        n = self.r.randrange(1, 5)
        items = self.r.sample(GROUPS[g], n)
        if self.r.random() < 0.3:
            w = self.pick(GROUPS[g])
            if g == "colour":
                return f"Is {w} a colour?", f"Yes, {w} is a colour."
            if g == "drink":
                return f"What is {w}?", f"{cap(w)} is a drink."
            if self.r.random() < 0.5:
                g2 = self.pick([k for k in GROUPS if w not in GROUPS[k] and not (k in ("animal", "toy") and g in ("bird", "insect", "vehicle", "musical instrument"))])
                return f"Is {a(w)} {a(g2)}?", f"No, {a(w)} is {a(g)}."
            return f"Is {a(w)} {a(g)}?", f"Yes, {a(w)} is {a(g)}."
        if n == 1:
            ans = items[0] if g in ("colour", "drink") else a(items[0])
            return self.x(f"[Name {a(g)}.|Tell me {a(g)}.|Give me the name of {a(g)}.]"), self.x(f"[{cap(ans)} is {a(g)}.|{cap(ans)}.]")
        body = ", ".join(items[:-1]) + " and " + items[-1]
        return self.x(f"[Name {words(n)} {plural(g)}.|Tell me {words(n)} {plural(g)}.|Give me {words(n)} {plural(g)}.|List {words(n)} {plural(g)}.|Name {n} {plural(g)}.]"), self.x(f"[{cap(words(n))} {plural(g)} are {body}.|{cap(body)}.]")

    def grammar(self) -> QA:
        if self.r.random() < 0.5:
            w = self.pick(PAST)
            return self.x(f"[What is the past tense of {w}?|What is the past of {w}?]"), f"The past tense of {w} is {PAST[w]}."
        w = self.pick([w for w in list(PLURAL) + TOYS + list(ANIMALS) if " " not in w])
        return self.x(f"[What is the plural of {w}?|What is the plural form of {w}?]"), f"The plural of {w} is {plural(w)}."

    def spell(self) -> QA:
        w = self.pick([w for w in list(ANIMALS) + TOYS + FOODS + COLOURS if len(w) < 8])
        return self.pick([(self.x(f"[Spell the word {w}.|How do you spell {w}?|Spell {w}.]"), f"{cap(w)} is spelled {'-'.join(w.upper())}."),
                          (f"What is the first letter of {w}?", f"The first letter of {w} is {w[0].upper()}."),
                          (f"How many letters are in the word {w}?", f"The word {w} has {words(len(w))} letters.")])

    def sentence(self) -> QA:
        n = self.pick(NAMES)
        kind = self.r.randrange(4)
        if kind == 0:
            w = self.pick(list(ANIMALS))
            s = self.x(f"[The {w} sleeps in the sun.|A {w} came to our garden.|I saw a {w} in the {self.pick(PLACES)}.|{n} likes the little {w}.|The {w} is my friend.]")
        elif kind == 1:
            w = self.pick(TOYS)
            s = self.x(f"[{n} has a {self.pick(COLOURS)} {w}.|I gave my {w} to {n}.|The {w} is on the table.|This {w} is very old.]")
        elif kind == 2:
            w = self.pick(FOODS)
            s = self.x(f"[{n} eats {a(w)}.|I would like {a(w)}, please.|The {w} tastes very good.|My mother gave me {a(w)}.]")
        else:
            w = self.pick(["happy", "sad", "big", "small", "cold", "warm", "old", "fast", "quiet", "kind"])
            s = self.x({"happy": f"{n} is happy today.", "sad": f"{n} is sad because it rains.", "big": "The elephant is a big animal.", "small": "A mouse is a small animal.", "cold": "The snow is cold.",
                        "warm": "The sun is warm.", "old": "My grandfather is old.", "fast": f"{n} can run very fast.", "quiet": "It is quiet at night.", "kind": f"{n} is kind to everyone."}[w])
        for v in "aeiou":
            s = s.replace(f" a {v}", f" an {v}").replace(f"A {v}", f"An {v}")
        return self.x(f"[Use the word {w} in a sentence.|Write a sentence with the word {w}.|Make a sentence with the word {w}.|Write a sentence about {a(w) if kind < 3 else 'being ' + w}.]"), s

    # ---- reading from the context
    def reading(self) -> QA:
        n1, n2, n3 = self.r.sample(NAMES, 3)
        t1, t2, t3 = self.r.sample(TOYS + FOODS, 3)
        c1, c2, c3 = self.r.sample(COLOURS, 3)
        p1, p2, p3 = self.r.sample(PLACES, 3)
        people = [(n1, c1, t1, p1), (n2, c2, t2, p2), (n3, c3, t3, p3)][: self.r.choice([2, 2, 3])]
        n, c, t, p = self.pick(people)
        k = self.r.randrange(4)
        if k == 0:
            ctx = " ".join(f"{w[0]} has {a(w[1])} {w[2]}." for w in people)
            q, ans = self.pick([(f"What does {n} have?", f"{n} has {a(c)} {t}."), (f"Who has the {t}?", f"{n} has the {t}."), (f"What colour is the {t}?", f"The {t} is {c}.")])
        elif k == 1:
            ctx = " ".join(f"{w[0]} went to the {w[3]}." for w in people)
            q, ans = self.pick([(f"Where did {n} go?", f"{n} went to the {p}."), (f"Who went to the {p}?", f"{n} went to the {p}.")])
        elif k == 2:
            ctx = " ".join(f"{w[0]} likes {plural(w[2])}." for w in people)
            q, ans = self.pick([(f"What does {n} like?", f"{n} likes {plural(t)}."), (f"Who likes {plural(t)}?", f"{n} likes {plural(t)}.")])
        else:
            ctx = f"The {t1} is in the {self.pick(['box', 'bag', 'cup', 'basket'])}. The {t2} is on the {self.pick(['table', 'chair', 'bed', 'floor'])}."
            s = self.pick(ctx.split(". ")).rstrip(".")
            q, ans = f"Where is {s.split(' is ')[0].replace('The', 'the')}?", s + "."
        return f"{ctx} {q}", ans

    def repeat(self) -> QA:
        s = self.x(f"[{self.pick(NAMES)} likes {plural(self.pick(FOODS))}|the {self.pick(STORY_ANIMALS)} is {self.pick(COLOURS)}|I am happy|good morning|{self.pick(TOYS)}|{self.pick(list(ANIMALS))}|{self.pick(COLOURS)} {self.pick(TOYS)}]")
        n = self.pick(NAMES)
        return self.pick([(self.x(f"[Repeat after me:|Say this:|Please say:|Say:] {s}"), s), (f"Say hello to {n}.", f"Hello, {n}!"), (f"Say goodbye to {n}.", f"Goodbye, {n}!"),
                          (f"Say \"{s}\".", s)])

    def my_name(self) -> list[QA]:
        n = self.pick(NAMES)
        turns = [(self.x(f"[My name is {n}.|I am {n}.|Hello, my name is {n}.|Hi, I am {n}.|Hello, I am {n}.]"), self.x(f"[Nice to meet you, {n}!|Hello, {n}!|Hello, {n}! Nice to meet you.] [How can I help you?|How are you?|I am cadre.|]").strip())]
        for _ in range(self.r.choice([0, 0, 1])):
            turns.append(self.one())
        if self.r.random() < 0.8:
            turns.append((self.x("[What is my name?|Do you remember my name?|Who am I?|Can you tell me my name?]"), self.x(f"[Your name is {n}.|Your name is {n}.|You are {n}.]")))
        return turns

    def story_and_question(self) -> list[QA]:
        """A story about someone, then what it was about."""
        n = self.pick(NAMES)
        animal = self.pick(STORY_ANIMALS)
        kind = "girl" if n in GIRLS else "boy"
        text = story(self.r, kind, animal, name=n, short=self.r.random() < 0.5)
        q, ans = self.pick([("[Who was the story about?|What was the story about?|Who is in the story?]", f"The story was about {a(kind)} named {n} and {a(animal)}."),
                            (f"Was {n} a girl or a boy?", f"{n} was {a(kind)}."),
                            (f"[Which animal was in the story?|What animal did {n} meet?]", f"[{cap(a(animal))} was in the story.|It was {a(animal)}.]")])
        return [(self.x(f"[Tell me|Write|Please tell me] a story about {a(kind)} named {n} and {a(animal)}."), text), (self.x(q), self.x(ans))]

    def favourite(self) -> list[QA]:
        k, pool = self.pick([("colour", COLOURS), ("animal", STORY_ANIMALS), ("fruit", GROUPS["fruit"]), ("toy", TOYS)])
        v = self.pick(pool)
        v = v if k == "colour" else "the " + v
        turns = [(f"My favourite {k} is {v}.", self.x(f"[That is a nice {k}!|I see. You like {v} best.|Good choice!]"))]
        if self.r.random() < 0.4:
            turns.append(self.one())
        turns.append((f"What is my favourite {k}?", f"Your favourite {k} is {v}."))
        return turns

    # ---- longer texts
    def tell_story(self) -> QA:
        r = self.r.random()
        verb = self.x("[Tell me|Tell me|Tell me|Please tell me|Can you tell me|Write|Write me|I want to hear|Give me]")
        short = self.r.random() < 0.25
        st = "a short story" if short or self.r.random() < 0.2 else "a story"
        end = "?" if verb.startswith("Can") else "."
        if r < 0.2:
            return verb + " " + st + end, story(self.r, short=short)
        if r < 0.3:
            n = self.pick(NAMES)
            kind = "girl" if n in GIRLS else "boy"
            who = self.pick([n, f"a {kind} named {n}", f"a {kind} called {n}"])
            return f"{verb} {st} about {who}{end}", story(self.r, name=n, short=short)
        topic = self.pick(STORY_ANIMALS) if r < 0.65 else self.pick(STORY_ANIMALS + TOYS + FOODS + PLACES + TREES + ["girl", "boy", "girl", "boy", "race", "rain"])
        if r > 0.85:
            topic = self.pick(STORY_ANIMALS)
            t2 = self.pick([x for x in STORY_ANIMALS + TOYS + FOODS + PLACES if x != topic])
            return f"{verb} {st} about {a(topic)} and {a(t2)}{end}", story(self.r, topic, t2, short=short)
        return f"{verb} {st} about {topic_phrase(topic)}{end}", story(self.r, topic, short=short)

    def poem(self) -> QA:
        rhymes = [("cat", "hat"), ("sun", "fun"), ("tree", "me"), ("day", "play"), ("night", "light"), ("sea", "free"), ("moon", "soon"), ("star", "far"), ("bee", "tree"), ("sky", "fly"), ("rain", "train"), ("mouse", "house")]
        t, r2 = self.pick(rhymes)
        p = self.x({"cat": "I know a little [gentle|friendly|sleepy] cat,\nit wears a [red|blue|funny] hat.", "sun": "Here comes the [warm|golden|happy] sun,\nnow we can have some fun.", "tree": "There is a [tall|green|lovely] tree,\nit gives some shade to me.",
                    "day": "It is a [bright|sunny|lovely] day,\ncome out with me and play.", "night": "It is a [quiet|dark|starry] night,\nthe moon gives us its light.", "sea": "I love the [wide|deep|blue] sea,\nthe fish swim there so free.", "moon": "Good night, you [round|silver|pretty] moon,\nthe day will come back soon.",
                    "star": "I see a [little|shining|bright] star,\nit looks at me from far.", "bee": "I heard a [busy|happy|tiny] bee,\nit flew around the tree.", "sky": "Look up into the [wide|blue|bright] sky,\nand see the birds that fly.", "rain": "I hear the [soft|gentle|summer] rain,\nwhile sitting in the train.", "mouse": "There lives a [tiny|little|clever] mouse,\nbehind the wall of our house."}[t])
        q, _ = p.split("\n")[0], r2
        p2 = self.x("[\nWe laugh and sing the whole day long,\nand this is our little song.|\nThe wind is soft, the grass is green,\nthe finest day I have ever seen.|\nAnd when the day comes to its end,\nI am so glad you are my friend.|]")
        return self.x(f"[Write a poem about the {t}.|Tell me a poem about the {t}.|Write a short poem.|Tell me a poem.|Write a rhyme about the {t}.]"), p + p2

    def joke(self) -> QA:
        return self.x("[Tell me a joke.|Do you know a joke?|Make me laugh.|Tell me something funny.]"), self.pick([
            "Why did the book go to the doctor? Because it had so many problems inside.", "What has four legs but cannot walk? A table!", "What has hands but cannot clap? A clock!",
            "Why do birds fly south? Because it is too far to walk!", "What gets wet while it dries? A towel!", "Why did the cow cross the road? To get to the other side!",
            "What has a neck but no head? A bottle!", "What do you call a bear with no teeth? A gummy bear!", "Why was the broom late? It swept too long!"])

    def recipe(self) -> QA:
        k, steps = self.pick([
            ("tea", ["Boil some water.", "Put the tea in a cup.", "Pour the hot water into the cup.", "Wait three minutes and enjoy your tea."]),
            ("a sandwich", ["Take two slices of bread.", "Put butter on the bread.", "Add some cheese and tomato.", "Put the slices together and eat."]),
            ("a cake", ["Mix flour, sugar, eggs and butter.", "Put the dough in a pan.", "Bake it in the oven.", "Let it cool and enjoy your cake."]),
            ("soup", ["Cut the vegetables.", "Put them in a pot with water.", "Cook them for half an hour.", "Add some salt and enjoy your soup."]),
            ("a paper boat", ["Take a sheet of paper.", "Fold it in the middle.", "Fold the corners down.", "Open it and put it on the water."]),
            ("a salad", ["Wash the vegetables.", "Cut them into small pieces.", "Put them in a bowl.", "Add some oil and salt."]),
            ("pancakes", ["Mix flour, milk and eggs.", "Heat some butter in a pan.", "Pour in the dough and wait.", "Turn the pancake and enjoy it."])])
        style = self.r.random()
        body = " ".join(f"{i + 1}. {s}" for i, s in enumerate(steps)) if style < 0.3 else "\n".join(f"{i + 1}. {s}" for i, s in enumerate(steps)) if style < 0.6 else "First, " + steps[0][0].lower() + steps[0][1:] + " Then " + steps[1][0].lower() + steps[1][1:] + " " + steps[2] + " " + steps[3]
        return self.x(f"[How do I make {k}?|How do you make {k}?|Tell me how to make {k}.|How can I make {k}?]"), body

    def unknown(self) -> QA:
        n = self.pick(NAMES)
        q = self.x(f"[What is the weather like today?|What time is it?|What day is it today?|Who won the game yesterday?|What is the phone number of {n}?|How tall is {n}?|What is {n} doing now?|Where is my {self.pick(TOYS)}?|What did I eat yesterday?|What is the news today?|Write a computer program.|Translate this into {self.pick(['French', 'German', 'Chinese', 'Spanish'])}.|What is the square root of {self.r.randrange(100, 999)}?|Who is the president?|What will happen tomorrow?|How much money do I have?|Explain quantum physics.|What is the meaning of life?]")
        return q, self.x("[I am sorry, I do not know that.|I do not know that.|I cannot answer that.|Sorry, I do not know.] [I am only a small language model.|I know only simple things.|I am a small model and that is too hard for me.]")

    def one(self) -> QA:
        """One random skill with a single turn."""
        names, weights = zip(*SKILLS.items())
        q, ans = getattr(self, self.r.choices(names, weights)[0])()
        if self.r.random() < 0.12:      # the user does not always write carefully
            q = q.lower()
            if self.r.random() < 0.5:
                q = q.rstrip("?.!")
        elif self.r.random() < 0.06 and q[0].isalpha() and q[-1] == "?":
            q = "Please tell me: " + q[0].lower() + q[1:]
        return q, ans

    def dialogue(self) -> tuple[str, list[QA]]:
        """System text (often empty) and turns."""
        r = self.r.random()
        if r < 0.05:
            return "", self.my_name()
        if r < 0.07:
            return "", self.favourite()
        if r < 0.15:
            return "", self.subject()
        if r < 0.19:
            return "", self.sums()
        if r < 0.22:
            return "", self.story_and_question()
        system = ""
        if self.r.random() < 0.12:
            system = self.x("[You are a helpful assistant.|You are cadre, a small language model.|You are a helpful assistant. Answer in simple English.|Be kind and helpful.|Answer in simple sentences.|You are a friendly assistant.]")
        turns = [self.one() for _ in range(self.r.choice([1, 1, 1, 1, 1, 1, 2, 2, 3, 4]))]
        if self.r.random() < 0.04:
            n = self.pick(NAMES)
            return f"Your name is {n}.", [(self.x("[What is your name?|Who are you?]"), f"My name is {n}.")] + turns[1:]
        return system, turns


SKILLS = {"hello": 4, "how": 2, "who": 6, "polite": 4, "feeling": 4, "like": 3, "add": 14, "sub": 6, "mul": 3, "count": 6, "number": 4,
          "problem": 5, "compare": 2, "describe": 6, "routine": 3, "because": 3, "odd_one_out": 2, "rhyme": 1.5, "choice": 2, "opposite": 6, "colour": 5, "animal": 8, "capital": 4, "calendar": 3, "fact": 6, "define": 5, "group": 5,
          "grammar": 2, "spell": 3, "sentence": 4, "reading": 8, "repeat": 3, "tell_story": 22, "poem": 2, "joke": 1.5, "recipe": 1.5, "unknown": 3}
