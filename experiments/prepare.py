#!/usr/bin/env python3
"""Make what experiments are trained and measured on: the same bytes from the same data.

  prepare.py --cadre PROGRAM --data DIR --work DIR

DIR of --data has text/ and eval/gsm8k/ (see tools/corpus/assemble.py). Writes to the work folder `tokenizer` (1024
tokens), `shards` (prose, dialogues, word problems and generated text, a quarter each, with a held-out part), and
`text.txt`, from records that are in neither, for measuring models with `cadre perplexity`.
"""
from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = ["tales", "dialogues", "word_problems", "generated"]
BYTES_OF_EACH = 1_500_000
KEPT_BACK = 50  # one record of so many goes to text.txt


def plain(record: dict) -> str:
    return record["text"] if "text" in record else "\n".join(m["content"] for m in record["messages"])


def divide(source: Path, train: Path) -> list[str]:
    """The beginning of a source without every KEPT_BACK-th record, and those as plain text."""
    kept, size = [], 0
    with open(source, encoding="utf-8") as lines, open(train, "w", encoding="utf-8") as out:
        for number, line in enumerate(lines):
            if size > BYTES_OF_EACH:
                break
            size += len(line.encode())
            if number % KEPT_BACK == KEPT_BACK - 1:
                kept.append(plain(json.loads(line)))
            else:
                out.write(line)
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cadre", required=True, help="the program")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    corpus = args.work / "corpus"
    train = args.work / "train"
    train.mkdir(parents=True, exist_ok=True)

    def run(*command: str | Path) -> None:
        if subprocess.run(command).returncode != 0:
            sys.exit(f"prepare.py: failed: {' '.join(map(str, command))}")

    run(sys.executable, HERE.parent / "tools" / "corpus" / "assemble.py", "--data", args.data, "--out", corpus, "--megabytes", "2")
    kept = [text for source in SOURCES for text in divide(corpus / f"{source}.jsonl", train / f"{source}.jsonl")]
    (args.work / "text.txt").write_text("\n\n".join(kept) + "\n", encoding="utf-8")
    files = [train / f"{source}.jsonl" for source in SOURCES]
    run(args.cadre, "data", "tokenizer", "--size", "1024", "--out", args.work / "tokenizer", *files)
    run(args.cadre, "data", "prepare", "--tokenizer", args.work / "tokenizer", "--out", args.work / "shards", "--held-out", "0.03",
        "--seed", "1", *files)


if __name__ == "__main__":
    main()
