"""Talk that stays with one subject: descriptions of several sentences, questions that follow one another.

A mixin of skills.Gen, which has the random source `r`, `x` (expands choices) and `pick`.
"""
from __future__ import annotations

from lexicon import (ANIMALS, BOYS, CAUSES, DEFS, DETAILS, GIRLS, GROUPS, RHYMES, ROUTINES, a, plural, words)
from stories import cap

NAMES = GIRLS + BOYS
QA = tuple[str, str]


class Subjects:
    """Animals, things, days and reasons."""

    def _animal_facts(self, n: str) -> list[tuple[str, str]]:
        """Follow-up questions about an animal with "it" in them, and their answers."""
        snd, home, food, baby, legs, _, can, _ = ANIMALS[n]
        return [("[What does it eat?|And what does it eat?|What does it like to eat?]", f"It eats {food}."),
                ("[Where does it live?|And where does it live?]", f"It lives {home}."),
                ("[What sound does it make?|What does it say?]", f"It {snd}."),
                ("[How many legs does it have?|And how many legs does it have?]", f"It has {words(legs) if legs else 'no'} legs."),
                ("[What can it do?|What is it good at?]", f"It can {can}."),
                ("[What is its baby called?|What do you call its baby?]", f"Its baby is called {a(baby)}.")]

    def describe(self) -> QA:
        """Three to five sentences about one thing."""
        if self.r.random() < 0.5:
            n = self.pick(ANIMALS)
            head = f"{cap(a(n))} is {ANIMALS[n][7]}."
            rest = [ans for _, ans in self.r.sample(self._animal_facts(n), self.r.randrange(2, 5))]
            asked = plural(n) if self.r.random() < 0.6 else a(n)
        else:
            n = self.pick(DETAILS)
            article, definition = DEFS[n]
            name = (article + " " + n).strip()
            head = f"{cap(name)} is {definition}."
            rest = self.r.sample(DETAILS[n], min(len(DETAILS[n]), self.r.randrange(2, 4)))
            asked = name
        q = self.x(f"[Tell me about {asked}.|Tell me about {asked}.|Can you tell me about {asked}?|What do you know about {asked}?|Tell me more about {asked}.|Describe {asked}.|I want to know about {asked}.|Write a few sentences about {asked}.]")
        return q, " ".join([head] + rest)

    def subject(self) -> list[QA]:
        """A question about an animal, and more about the same."""
        n = self.pick(ANIMALS)
        first = self.x(f"[What is {a(n)}?|Tell me about {plural(n)}.|Do you know what {a(n)} is?]")
        turns = [(first, ("Yes. " if first.startswith("Do") else "") + f"{cap(a(n))} is {ANIMALS[n][7]}.")]
        for q, ans in self.r.sample(self._animal_facts(n), self.r.randrange(1, 4)):
            turns.append((self.x(q), ans))
        if self.r.random() < 0.3:
            m = self.pick([k for k in ANIMALS if ANIMALS[k][5] != ANIMALS[n][5]])
            word = "bigger" if ANIMALS[n][5] > ANIMALS[m][5] else "smaller"
            turns.append((self.x(f"[Is it bigger than {a(m)}?]"), f"{'Yes' if word == 'bigger' else 'No'}, {a(n)} is {word} than {a(m)}."))
        if self.r.random() < 0.3:
            turns.append((self.x("[What are we talking about?|Which animal are we talking about?]"), f"We are talking about {plural(n)}."))
        return turns

    def routine(self) -> QA:
        """What somebody does, step by step."""
        kind = self.pick(ROUTINES)
        steps = ROUTINES[kind]
        n = self.pick(NAMES)
        he = "she" if n in GIRLS else "he"
        if self.r.random() < 0.5:
            text = self.x(f"First, {n} {steps[0][1]}. Then {he} {steps[1][1]}. [After that|Next], {he} {steps[2][1]}. [At last|In the end], {he} {steps[3][1]}.")
            return self.x(f"[What does {n} do {kind}?|Tell me what {n} does {kind}.|Write about what {n} does {kind}.]"), text
        text = self.x(f"First, you {steps[0][0]}. Then you {steps[1][0]}. [After that|Next], you {steps[2][0]}. [At last|In the end], you {steps[3][0]}.")
        return self.x(f"[What do you do {kind}?|What do people do {kind}?|What should I do {kind}?]"), text

    def because(self) -> QA:
        """Why somebody feels as they do, from what was told."""
        n = self.pick(NAMES)
        he, his = ("She", "her") if n in GIRLS else ("He", "his")
        feeling = self.pick(CAUSES)
        cause = self.pick(CAUSES[feeling]).replace("{his}", his)
        return self.pick([
            (self.x(f"{n} {cause}. How does {he.lower()} feel?"), self.x(f"[{he} is {feeling}.|{n} is {feeling} because {he.lower()} {cause}.]")),
            (f"{n} is {feeling} because {he.lower()} {cause}. Why is {n} {feeling}?", f"{n} is {feeling} because {he.lower()} {cause}."),
            (f"{n} {cause}. {he} is {feeling}. How is {n}?", f"{n} is {feeling}."),
        ])

    def odd_one_out(self) -> QA:
        g, h = self.r.sample([k for k in GROUPS if k not in ("animal", "toy")], 2)
        odd = self.pick([w for w in GROUPS[h] if w not in GROUPS[g]])
        items = self.r.sample([w for w in GROUPS[g] if w not in GROUPS[h]], 3)
        shown = items + [odd]
        self.r.shuffle(shown)
        return self.x(f"[Which word does not belong: {', '.join(shown)}?|Which one is different: {', '.join(shown)}?|Find the odd one out: {', '.join(shown)}.]"), \
            f"{cap(odd)} does not belong, because the others are {plural(g)}."

    def rhyme(self) -> QA:
        group = self.pick(RHYMES)
        w, v = self.r.sample(group, 2)
        other = self.pick(self.pick([k for k in RHYMES if k is not group]))
        return self.pick([(self.x(f"[What rhymes with {w}?|Tell me a word that rhymes with {w}.|Which word rhymes with {w}?]"), f"{cap(v)} rhymes with {w}."),
                          (f"Does {w} rhyme with {v}?", f"Yes, {w} rhymes with {v}."), (f"Does {w} rhyme with {other}?", f"No, {w} does not rhyme with {other}.")])

    def choice(self) -> QA:
        """Which of two things is of a kind."""
        g, h = self.r.sample([k for k in GROUPS if k not in ("animal", "toy")], 2)
        x = self.pick([w for w in GROUPS[g] if w not in GROUPS[h]])
        y = self.pick([w for w in GROUPS[h] if w not in GROUPS[g]])
        two = [x, y]
        self.r.shuffle(two)
        return f"Which is {a(g)}: {two[0]} or {two[1]}?", f"{cap(x)} is {a(g)}."
