#!/usr/bin/env python3
"""Measure the bundled model and write its model card (README.md). Every figure comes from this run or from the logs of training.

  card.py --cadre PROGRAM --work DIR --model DIR --name NAME

DIR of --work is that of train.sh. Needs only the standard library and the program.
"""
from __future__ import annotations

import argparse
import json
import math
import random
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "corpus"))

from skills import Gen      # noqa: E402
from stories import story   # noqa: E402

EXACT = ["count", "number", "opposite", "colour", "animal", "capital", "calendar", "fact", "define", "grammar", "spell", "reading", "repeat"]
REQUESTS = ["Hello!", "Who are you?", "What can you do?", "Tell me a story about a cat.", "Tell me a story about a brave girl and a dragon.",
            "What is the opposite of hot?", "Why do we sleep?", "What is 7 + 8?", "What is 46 + 37?", "Tell me about the sun.",
            "I am sad today.", "Tom has 3 apples and buys 4 more. How many apples does he have?", "What is the capital of France?",
            "Write a short poem.", "What should I cook today?", "Explain how a car works."]
SOURCES = {"generated": "generated chats and stories", "calculations": "generated calculations", "books": "children's books", "tales": "fairy tales",
           "tale_questions": "questions about tales", "dialogues": "task dialogues", "word_problems": "word problems", "instructions": "requests of many kinds"}
K_VALUES = [1, 2, 3, 4, 6, 8]


class Measured:
    """The program, run on one model."""

    def __init__(self, cadre: str, work: Path, model: Path) -> None:
        self.cadre, self.work, self.model = cadre, work, model

    def run(self, *args: str, text: str | None = None) -> str:
        return subprocess.run([self.cadre, *args], input=text, check=True, capture_output=True, text=True).stdout

    def json(self, *args: str) -> dict:
        return json.loads(self.run(*args, "--json"))

    def answer(self, request: str, *flags: str) -> str:
        flags = flags or ("--temp", "0")
        return self.run("run", "-q", "-t", "1", "-n", "160", *flags, "-p", request, str(self.model)).strip()

    def answers(self, requests: list[str]) -> list[str]:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(self.answer, requests))

    def held_out(self, source: str) -> float:
        """Nats a learned token of the held-out split: the check that a run of training makes, with a rate of 0."""
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            config = {"start_from": str(self.model.resolve()), "tokenizer": str((self.work / "tokenizer").resolve()), "out": "out", "steps": 1,
                      "data": str((self.work / "shards" / source).resolve()), "batch": {"sequences": 8, "length": 512},
                      "optimiser": {"learning_rate": 0}, "validate": {"every": 1, "batches": 100}}
            (Path(folder) / "run.json").write_text(json.dumps(config), encoding="utf-8")
            self.run("train", str(Path(folder) / "run.json"))
            return json.loads((Path(folder) / "out" / "log.jsonl").read_text(encoding="utf-8"))["held_out_loss"]


def result_of(answer: str) -> int | None:
    """The last number of an answer."""
    numbers = re.findall(r"\d+", answer)
    return int(numbers[-1]) if numbers else None


def sums(model: Measured, pairs: list[tuple[int, int]]) -> str:
    right = [result_of(a) == p + q for (p, q), a in zip(pairs, model.answers([f"What is {p} + {q}?" for p, q in pairs]))]
    return f"{sum(right)} of {len(right)} ({100 * sum(right) / len(right):.1f} %)"


def skill(model: Measured, name: str, count: int, seed: int) -> str:
    gen = Gen(random.Random(f"{seed} {name}"))
    asked = [getattr(gen, name)() for _ in range(count)]
    right = sum(answer == expected for (_, expected), answer in zip(asked, model.answers([request for request, _ in asked])))
    return f"| {name} | {right} of {count} |"


def by_experts(model: Measured, seed: int) -> list[str]:
    """Loss of new stories of the grammar with k experts a token."""
    rng = random.Random(f"{seed} stories")
    with tempfile.TemporaryDirectory(dir=model.work) as folder:
        text = Path(folder) / "stories.txt"
        text.write_text("\n\n".join(story(rng) for _ in range(300)), encoding="utf-8")
        rows = []
        for k in K_VALUES:
            report = model.json("perplexity", str(model.model), str(text), "--ctx", "512", "--experts", str(k))
            rows.append(f"| {k} | {math.log(report['perplexity']):.4f} | {report['perplexity']:.3f} |")
        return rows


def phase(work: Path, name: str) -> dict[str, str]:
    log = [json.loads(line) for line in (work / name / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    state, last = json.loads(next(reversed(sorted((work / name).glob("step-*")))).joinpath("training.json").read_text(encoding="utf-8")), log[-1]
    total = state["routing"]["total"]
    held = [(x["step"], x["held_out_loss"]) for x in log if "held_out_loss" in x]
    return {"steps": str(last["step"]), "tokens": f"{last['tokens'] / 1e6:.2f} M", "minutes": f"{sum(x['seconds'] for x in log) / 60:.0f}",
            "loss": f"{sum(x['loss'] for x in log[-50:]) / len(log[-50:]):.3f}", "held": f"{held[-1][1]:.3f}",
            "vio": f"{last['routing']['max_vio_global']:.3f}",
            "dead": str(sum(10 * c * len(layer) < sum(layer) for layer in total for c in layer)), "experts": str(sum(len(layer) for layer in total)),
            "curve": ", ".join(f"{step}: {loss:.3f}" for step, loss in held[:: max(1, len(held) // 10)])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cadre", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--per-skill", type=int, default=20)
    parser.add_argument("--seed", type=int, default=2026)
    args = parser.parse_args()
    model = Measured(args.cadre, args.work, args.model)
    facts = model.json("inspect", str(args.model))
    rng = random.Random(args.seed)
    samples = []
    for request in REQUESTS:
        samples.append(f"**{request}**\n\n- greedy: {model.answer(request)}")
        samples += [f"- seed {seed}: {model.answer(request, '--seed', str(seed))}" for seed in (0, 1)]
        samples.append("")
    values = {
        "name": args.name, "total": f"{facts['parameters'] / 1e6:.2f} M", "active": f"{facts['active_parameters'] / 1e6:.2f} M",
        "bytes": f"{(args.model / 'model.safetensors').stat().st_size:,}",
        "held": "\n".join(f"| {text} | {loss:.3f} | {math.exp(loss):.2f} |" for text, loss in
                          ((text, model.held_out(source)) for source, text in SOURCES.items())),
        "one_digit": sums(model, [(p, q) for p in range(10) for q in range(10)]),
        "two_digits": sums(model, [(rng.randrange(10, 100), rng.randrange(10, 100)) for _ in range(400)]),
        "exact": "\n".join(skill(model, name, args.per_skill, args.seed) for name in EXACT),
        "experts": "\n".join(by_experts(model, args.seed)), "samples": "\n".join(samples).strip(),
    }
    for name in ("pretrain", "chat"):
        values |= {f"{name}_{key}": value for key, value in phase(args.work, name).items()}
    text = (HERE / "card.md.in").read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    unfilled = re.findall(r"@\w+@", text)
    if unfilled:
        sys.exit(f"card.py: card.md.in asks for {unfilled}")
    (args.model / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
