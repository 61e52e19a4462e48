#!/usr/bin/env python3
"""Write text made by the grammar: JSONL of chats ({"messages"}) and plain stories ({"text"}), for `cadre data`.

The same seed and size give the same bytes. Needs only the standard library.
"""
from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from skills import Gen
from stories import story


def chat_record(system: str, turns: list[tuple[str, str]]) -> dict:
    """One conversation."""
    messages = [{"role": "system", "content": system}] if system else []
    for request, answer in turns:
        messages += [{"role": "user", "content": request}, {"role": "assistant", "content": answer}]
    return {"messages": messages}


def records(seed: int, stories: float) -> Iterator[dict]:
    """Endless; `stories` is the share of plain stories."""
    rng = random.Random(seed)
    gen = Gen(rng)
    while True:
        yield {"text": story(rng)} if rng.random() < stories else chat_record(*gen.dialogue())


def calculations(seed: int) -> Iterator[dict]:
    """Endless chats of one to five sums, differences and products."""
    rng = random.Random(f"{seed} calculations")
    gen = Gen(rng)
    while True:
        turns = [rng.choices([gen.add, gen.sub, gen.mul], [7, 3, 1])[0]() for _ in range(rng.randint(1, 5))]
        yield chat_record("", turns)


def write_records(path: Path, source: Iterator[dict], size: int) -> tuple[int, int]:
    """Writes at least `size` bytes of records under a temporary name and renames. -> (records, bytes)"""
    temporary = path.with_name(path.name + ".partial")
    count = written = 0
    try:
        with open(temporary, "w", encoding="utf-8", newline="\n") as out:
            for record in source:
                if written >= size:
                    break
                line = json.dumps(record, ensure_ascii=False) + "\n"
                out.write(line)
                written += len(line.encode())
                count += 1
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return count, written


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSONL file to write")
    parser.add_argument("--megabytes", type=float, default=10, help="size, at least (default 10)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stories", type=float, default=0.2, help="share of records that are plain stories (default 0.2)")
    args = parser.parse_args()
    if args.megabytes <= 0 or not 0 <= args.stories <= 1:
        parser.error("--megabytes above 0 and --stories from 0 to 1 expected")
    try:
        count, written = write_records(args.out, records(args.seed, args.stories), int(args.megabytes * 1e6))
    except OSError as error:
        print(f"generate.py: {error}", file=sys.stderr)
        return 1
    print(f"{args.out}: {count} records, {written} bytes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
