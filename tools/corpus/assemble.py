#!/usr/bin/env python3
"""Assemble the bundled model's corpus as JSONL files for `cadre data`, one for each source.

  assemble.py --data DIR --out DIR [--seed N] [--megabytes N]

DIR of --data has text/*.jsonl.xz and eval/gsm8k/train.jsonl. Writes books, tales, tale_questions, dialogues,
instructions, word_problems, generated and calculations (.jsonl), and sources.json, which says what each is, how much, and under
which licence. The same input, seed and size give the same bytes. Needs only the standard library.
"""
from __future__ import annotations

import argparse
import json
import lzma
import os
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from generate import calculations, records, write_records

PLAIN = str.maketrans({"\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'", "\u2013": "-", "\u2014": "-", "\u2026": "...", "\u00a0": " "})


def clean(text: str) -> str:
    """Plain quotes and dashes, single blanks, no blanks at the ends of lines."""
    text = re.sub(r"[ \t]+", " ", text.translate(PLAIN))
    return re.sub(r" ?\n ?", "\n", text).strip()


def rows(path: Path) -> Iterator[dict]:
    """Records of a .jsonl or .jsonl.xz file."""
    with (lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else open(path, encoding="utf-8")) as lines:
        for line in lines:
            yield json.loads(line)


def turns(*pairs: tuple[str, str]) -> dict:
    """A conversation of (request, answer) pairs."""
    messages = []
    for request, answer in pairs:
        messages += [{"role": "user", "content": request}, {"role": "assistant", "content": answer}]
    return {"messages": messages}


def sentence(answer: str) -> str:
    """A capital at the start and a mark at the end."""
    answer = answer[:1].upper() + answer[1:]
    return answer if answer.endswith((".", "!", "?", '"')) else answer + "."


def books(data: Path, rng: random.Random) -> Iterator[dict]:
    """The openly licensed stories; short ones a second time, as the answer to a request."""
    for r in rows(data / "text" / "childrens-books.jsonl.xz"):
        text = clean(r["text"])
        if not r["license"].startswith("CC-BY"):
            continue
        yield {"text": text}
        if len(text) < 1500:
            ask = rng.choice(["Tell me the story \"{}\".", "Please tell me the story \"{}\".", "Can you tell me the story \"{}\"?"])
            yield turns((ask.format(clean(r["title"])), text))


def tales(data: Path, _: random.Random) -> Iterator[dict]:
    """Fairy tales in the public domain."""
    for r in rows(data / "text" / "childrens-books.jsonl.xz"):
        if not r["license"].startswith("CC-BY"):
            yield {"text": clean(r["text"])}


def tale_questions(data: Path, _: random.Random) -> Iterator[dict]:
    """A passage, and all questions about it, in the order of the file."""
    passage, pairs = None, []
    for r in rows(data / "text" / "fairytaleqa-train-qa.jsonl.xz"):
        if r["context"] != passage:
            if pairs:
                yield turns(*pairs)
            passage, pairs = r["context"], []
        question, answer = clean(r["question"]), sentence(clean(r["answer"]))
        pairs.append((f"{clean(passage)}\n\n{question}" if not pairs else question, answer))
    if pairs:
        yield turns(*pairs)


def alternating(path: Path) -> Iterator[dict]:
    """Conversations whose turns alternate, from the user's first to the assistant's last."""
    for r in rows(path):
        pairs = []
        for asked, said in zip(r["messages"][::2], r["messages"][1::2]):
            if (asked["role"], said["role"]) != ("user", "assistant"):
                break
            pairs.append((clean(asked["content"]), clean(said["content"])))
        if pairs:
            yield turns(*pairs)


def dialogues(data: Path, _: random.Random) -> Iterator[dict]:
    """Task dialogues."""
    yield from alternating(data / "text" / "sgd-dialogues.jsonl.xz")


def instructions(data: Path, _: random.Random) -> Iterator[dict]:
    """Requests of many kinds, written by people."""
    yield from alternating(data / "text" / "self-instruct-seeds.jsonl.xz")


def word_problems(data: Path, _: random.Random) -> Iterator[dict]:
    """School mathematics, without the marks of its calculator."""
    for r in rows(data / "eval" / "gsm8k" / "train.jsonl"):
        steps, _, result = clean(re.sub(r"<<[^>]*>>", "", r["answer"])).partition("\n#### ")
        yield turns((clean(r["question"]), f"{steps}\nThe answer is {result}."))


SOURCES = [
    (books, "African Storybook and Pratham Books StoryWeaver (Global Storybooks texts)", "CC-BY-4.0, authors in the input"),
    (tales, "Project Gutenberg tales as collected for FairytaleQA", "public domain; collection Apache-2.0"),
    (tale_questions, "FairytaleQA, training split", "Apache-2.0"),
    (dialogues, "Schema-Guided Dialogue, training split, utterances only", "CC-BY-SA-4.0"),
    (instructions, "Self-Instruct seed tasks", "Apache-2.0"),
    (word_problems, "GSM8K, training half", "MIT"),
]


CALCULATIONS_SHARE = 0.2   # of the generated part's size, beside it


def write(path: Path, records: Iterator[dict]) -> tuple[int, int]:
    """JSONL under a temporary name, renamed when it is complete. -> (records, bytes)"""
    temporary = path.with_name(path.name + ".partial")
    count = 0
    try:
        with open(temporary, "w", encoding="utf-8", newline="\n") as out:
            for record in records:
                out.write(json.dumps(record, ensure_ascii=False) + "\n")
                count += 1
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return count, path.stat().st_size


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with text/ and eval/gsm8k/")
    parser.add_argument("--out", type=Path, required=True, help="folder for the JSONL files")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--megabytes", type=float, default=20, help="size of the generated part (default 20)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    listed = []
    try:
        for make, source, licence in SOURCES:
            rng = random.Random(f"{args.seed} {make.__name__}")
            count, size = write(args.out / f"{make.__name__}.jsonl", make(args.data, rng))
            listed.append({"file": f"{make.__name__}.jsonl", "source": source, "licence": licence, "records": count, "bytes": size})
        size = int(args.megabytes * 1e6)
        for name, source, share in [("generated", records(args.seed, 0.2), 1), ("calculations", calculations(args.seed), CALCULATIONS_SHARE)]:
            count, written = write_records(args.out / f"{name}.jsonl", source, int(size * share))
            listed.append({"file": f"{name}.jsonl", "source": f"tools/corpus/generate.py, seed {args.seed}", "licence": "Apache-2.0", "records": count, "bytes": written})
        (args.out / "sources.json").write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
    except (OSError, lzma.LZMAError, json.JSONDecodeError, KeyError) as error:
        print(f"assemble.py: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    for entry in listed:
        print(f"{entry['file']:<22} {entry['records']:>8} records {entry['bytes']:>10} bytes  {entry['licence']}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
