"""Skills with numbers: sums in both orders, differences, products, counting, comparing, word problems.

A mixin of skills.Gen, which has the random source `r`, `x` (expands choices) and `pick`.
"""
from __future__ import annotations

from lexicon import BOYS, FOODS, GIRLS, TOYS, plural, words
from stories import cap

NAMES = GIRLS + BOYS
QA = tuple[str, str]


class Arithmetic:
    """Questions about whole numbers up to 198."""

    def _two(self) -> tuple[int, int]:
        """Two numbers below 100: one digit, or two for either or both."""
        kind = self.r.random()
        if kind < 0.35:
            return self.r.randrange(10), self.r.randrange(10)
        if kind < 0.5:
            pair = [self.r.randrange(10), self.r.randrange(10, 100)]
            self.r.shuffle(pair)
            return pair[0], pair[1]
        return self.r.randrange(10, 100), self.r.randrange(10, 100)

    def add(self) -> QA:
        p, q = self._two()
        return self._ask(p, q, "+", p + q)

    def sub(self) -> QA:
        q, p = sorted(self._two())
        return self._ask(p, q, "-", p - q)

    def mul(self) -> QA:
        p, q = self.r.randrange(11), self.r.randrange(11)
        return self._ask(p, q, "*", p * q)

    def _ask(self, p: int, q: int, op: str, z: int) -> QA:
        name = {"+": "plus", "-": "minus", "*": "times"}[op]
        sym = op if op != "*" else self.pick(["*", "x"])
        if self.r.random() < 0.12 and max(p, q, z) <= 100:
            return self.x(f"[What is|How much is] {words(p)} {name} {words(q)}?"), f"{cap(words(p))} {name} {words(q)} is {words(z)}."
        if self.r.random() < 0.2:
            q_ = self.x({"+": f"[Add {p} and {q}.|What is the sum of {p} and {q}?|What do {p} and {q} make?]",
                         "-": f"[Take {q} from {p}.|Subtract {q} from {p}.|What is the difference between {p} and {q}?]",
                         "*": f"[Multiply {p} by {q}.|What is the product of {p} and {q}?]"}[op])
            return q_, f"{p} {sym} {q} = {z}."
        q_ = self.x(f"[What is {p} {sym} {q}?|What is {p} {sym} {q}?|What is {p} {sym} {q}?|What is {p}{sym}{q}?|How much is {p} {sym} {q}?"
                    f"|What is {p} {name} {q}?|{p} {sym} {q} = ?|{p} {sym} {q}|{p}{sym}{q}|Calculate {p} {sym} {q}.|Can you tell me what {p} {sym} {q} is?]")
        if name in q_:
            return q_, f"{p} {name} {q} is {z}."
        return q_, f"{p} {sym} {q} = {z}."

    def sums(self) -> list[QA]:
        """A sum in both orders, or a sum and the difference that undoes it."""
        p, q = self._two()
        turns = [(self.x(f"[What is {p} + {q}?|{p} + {q} = ?|How much is {p} + {q}?]"), f"{p} + {q} = {p + q}.")]
        if self.r.random() < 0.5:
            turns.append((self.x(f"[And {q} + {p}?|And what is {q} + {p}?|What is {q} + {p}?]"), f"{q} + {p} = {p + q}."))
        if self.r.random() < 0.5:
            turns.append((self.x(f"[And {p + q} - {q}?|What is {p + q} - {q}?]"), f"{p + q} - {q} = {p}."))
        for _ in range(self.r.randrange(4)):
            turns.append(self.add())
        return turns

    def compare(self) -> QA:
        p, q = self._two()
        if p == q:
            q += 1
        hi, lo = max(p, q), min(p, q)
        return self.pick([
            (self.x(f"[Is {p} more than {q}?|Is {p} bigger than {q}?|Is {p} greater than {q}?]"), f"Yes, {p} is more than {q}." if p > q else f"No, {p} is less than {q}."),
            (self.x(f"[Is {p} less than {q}?|Is {p} smaller than {q}?]"), f"Yes, {p} is less than {q}." if p < q else f"No, {p} is more than {q}."),
            (self.x(f"[Which is more, {p} or {q}?|What is more, {p} or {q}?]"), f"{hi} is more than {lo}."),
            (f"How much more is {hi} than {lo}?", f"{hi} - {lo} = {hi - lo}, so {hi} is {hi - lo} more than {lo}."),
        ])

    def count(self) -> QA:
        lo = 1 if self.r.random() < 0.6 else self.r.randrange(1, 90)
        step = 1 if self.r.random() < 0.8 else self.pick([2, 5, 10])
        if step > 1:
            lo = self.pick([step, step, 2 * step])
        seq = list(range(lo, lo + step * self.r.randrange(3, 12), step))
        back = self.r.random() < 0.15
        if back:
            seq.reverse()
        f = words if self.r.random() < 0.5 and max(seq) <= 20 else str
        by = "" if step == 1 else self.x(f" by {words(step)}[s|s]") if step > 1 else ""
        if step == 1 and seq[0] == 1 and self.r.random() < 0.3:
            q = self.x(f"[Count to {f(seq[-1])}.|Can you count to {f(seq[-1])}?|Please count to {f(seq[-1])}.]")
        else:
            q = self.x(f"[Count|Count|Please count|Can you count]") + (" back" if back and self.r.random() < 0.5 else "") + f" from {f(seq[0])} to {f(seq[-1])}{by}"
            q += "?" if q.startswith("Can") else "."
        return q, cap(", ".join(f(i) for i in seq)) + "."

    def number(self) -> QA:
        n = self.r.randrange(1, 30 if self.r.random() < 0.5 else 99)
        m = self.r.randrange(1, 99)
        three = self.r.sample(range(1, 100), 3)
        return self.pick([
            (f"What number comes after {n}?", f"The number {n + 1} comes after {n}."),
            (f"What number comes before {n}?", f"The number {n - 1} comes before {n}."),
            (f"Write {n} in words.", f"{n} is written {words(n)}."),
            (f"Write {words(n)} as a number.", f"{cap(words(n))} is {n}."),
            (f"Which number is bigger, {n} or {m}?", f"{max(n, m)} is bigger than {min(n, m)}." if n != m else "Both numbers are the same."),
            (f"Which number is smaller, {n} or {m}?", f"{min(n, m)} is smaller than {max(n, m)}." if n != m else "Both numbers are the same."),
            (f"Is {n} an even number?", f"{'Yes' if n % 2 == 0 else 'No'}, {n} is an {'even' if n % 2 == 0 else 'odd'} number."),
            (f"Is {n} an odd number?", f"{'No' if n % 2 == 0 else 'Yes'}, {n} is an {'even' if n % 2 == 0 else 'odd'} number."),
            (f"What is half of {2 * (n % 50)}?", f"Half of {2 * (n % 50)} is {n % 50}."),
            (f"What is double {n % 50}?", f"Double {n % 50} is {2 * (n % 50)}."),
            (f"Put these numbers in order: {three[0]}, {three[1]}, {three[2]}.", f"{', '.join(map(str, sorted(three)))}."),
            (f"Which number is the biggest: {three[0]}, {three[1]} or {three[2]}?", f"The biggest number is {max(three)}."),
        ])

    def problem(self) -> QA:
        n, m = self.r.sample(NAMES, 2)
        he, him = ("She", "her") if n in GIRLS else ("He", "him")
        one = self.pick(FOODS + TOYS)
        t = plural(one)
        p, q = self._two()
        p, q = p + 2, q + 2
        kind = self.r.randrange(5)
        if kind == 0:
            return (self.x(f"{n} has {p} {t}. {m} gives {him} {q} more. How many {t} does {n} have [now?|in all?]"), f"{p} + {q} = {p + q}. {n} has {p + q} {t} now.")
        if kind == 1:
            return (self.x(f"{n} has {p} {t} and {m} has {q}. How many {t} do they have [together?|in all?]"), f"{p} + {q} = {p + q}. They have {p + q} {t} together.")
        if kind == 2:
            return (f"There are {p} {t} in one box and {q} in another. How many {t} are there?", f"{p} + {q} = {p + q}. There are {p + q} {t}.")
        p, q = max(p, q) + 2, min(p, q)
        left = f"{p - q} {t if p - q != 1 else one}"
        if kind == 3:
            return (f"{n} has {p} {t}. {he} gives {q} to {m}. How many {t} does {n} have now?", f"{p} - {q} = {p - q}. {n} has {left} now.")
        return (f"{n} has {p} {t} and {m} has {q}. How many more {t} does {n} have?", f"{p} - {q} = {p - q}. {n} has {p - q} more.")
