#!/usr/bin/env python3
"""Tests of the text generator: what it says is right, and the same seed gives the same bytes."""
from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from generate import calculations               # noqa: E402
from lexicon import ANIMALS, DEFS, DETAILS, words   # noqa: E402
from skills import SKILLS, Gen                      # noqa: E402
from stories import PLOTS, story                    # noqa: E402

OPERATIONS = {"+": lambda p, q: p + q, "-": lambda p, q: p - q, "*": lambda p, q: p * q, "x": lambda p, q: p * q}


def generate(seed: int, hash_seed: str) -> bytes:
    """A small corpus, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.jsonl"
        subprocess.run([sys.executable, HERE / "generate.py", "--out", out, "--megabytes", "0.2", "--seed", str(seed)], check=True,
                       stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONHASHSEED": hash_seed})
        return out.read_bytes()


class Generated(unittest.TestCase):
    def test_same_seed_same_bytes(self):
        one = generate(5, "1")
        self.assertEqual(one, generate(5, "2"))
        self.assertNotEqual(one, generate(6, "1"))
        self.assertGreaterEqual(len(one), 200_000)

    def test_records_are_what_cadre_data_reads(self):
        for line in generate(7, "1").decode().splitlines():
            record = json.loads(line)
            if "text" in record:
                self.assertTrue(record["text"].strip())
                continue
            roles = [m["role"] for m in record["messages"]]
            self.assertEqual([r for r in roles if r != "system"], ["user", "assistant"] * ((len(roles)) // 2))
            self.assertTrue(all(m["content"].strip() == m["content"] != "" for m in record["messages"]), record)

    def test_every_skill_fills_its_templates(self):
        gen = Gen(random.Random(1))
        for name in SKILLS:
            for _ in range(200):
                for text in getattr(gen, name)():
                    self.assertNotRegex(text, r"[\[\]{}|]|  |None", name)

    def test_equations_are_true(self):
        gen = Gen(random.Random(2))
        seen = 0
        for _ in range(5000):
            for _, answer in [gen.add(), gen.sub(), gen.mul(), gen.problem(), *gen.sums()]:
                for p, op, q, z in re.findall(r"(\d+) ([-+*x]) (\d+) = (\d+)", answer):
                    self.assertEqual(OPERATIONS[op](int(p), int(q)), int(z), answer)
                    seen += 1
        self.assertGreater(seen, 20_000)

    def test_calculations_are_true_and_of_every_length(self):
        lengths = set()
        for record, _ in zip(calculations(1), range(300)):
            answers = [m["content"] for m in record["messages"][1::2]]
            lengths.add(len(answers))
            for answer in answers:
                for p, op, q, z in re.findall(r"(\d+) ([-+*x]) (\d+) = (\d+)", answer):
                    self.assertEqual(OPERATIONS[op](int(p), int(q)), int(z), answer)
        self.assertEqual(lengths, {1, 2, 3, 4, 5})

    def test_sums_cover_two_digits_in_both_orders(self):
        gen = Gen(random.Random(3))
        pairs = set()
        for _ in range(60_000):
            match = re.match(r"(\d+) \+ (\d+) =", gen.add()[1])
            if match:
                pairs.add((int(match[1]), int(match[2])))
        self.assertGreater(len(pairs), 9000)   # of 10,000
        self.assertGreater(sum((q, p) in pairs for p, q in pairs), 8500)

    def test_stories_of_every_plot_keep_their_names(self):
        rng = random.Random(4)
        for _ in range(300 * len(PLOTS) // 10):
            text = story(rng, "owl", "fox")
            self.assertNotRegex(text, r"[\[\]{}|]|\ba (owl|eagle|ant|elephant)\b|\bin the (hill|bridge|island|lake)\b")

    def test_lexicon(self):
        self.assertTrue(all(word in DEFS for word in DETAILS))
        self.assertTrue(all(len(facts) == 8 for facts in ANIMALS.values()))
        self.assertEqual([words(n) for n in (0, 20, 47, 100, 147)],
                         ["zero", "twenty", "forty-seven", "one hundred", "one hundred and forty-seven"])


if __name__ == "__main__":
    unittest.main()
