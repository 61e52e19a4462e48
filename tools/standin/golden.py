#!/usr/bin/python3
"""Reference logits of an exported model in float32, to check another engine against.

Writes PREFIX.json (ids, last-position logits, greedy continuation) and
PREFIX.safetensors (logits.0, logits.1, logits.2: all positions, F32).
"""
from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from export import load_export, write_safetensors
from generate import generate
from tokenizer import ASSISTANT, BOS, USER, Tokenizer

TEXTS = ["What is the opposite of hot?", "Tell me a story about a cat."]
PLAIN = "Once upon a time, there was a little girl named Mia. One day, she went to the forest with her red ball."


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--model", type=Path, required=True)
    ap.add_argument("--prefix", type=Path, required=True, help="path without suffix")
    args = ap.parse_args()
    torch.set_num_threads(1)
    model = load_export(args.model)
    tok = Tokenizer.load(args.model / "tokenizer.json")
    seqs = [[BOS, USER, *tok.encode(t), ASSISTANT] for t in TEXTS] + [[BOS, *tok.encode(PLAIN)]]
    cases, items = [], {}
    for i, ids in enumerate(seqs):
        with torch.no_grad():
            logits = model.logits(torch.tensor([ids]))[0]
        items[f"logits.{i}"] = logits
        new = generate(model, [ids], 40, [0.0], 1, [0])[0]
        cases.append({"text": tok.decode(ids), "ids": ids, "last_logits": [float(x) for x in logits[-1]], "argmax": [int(x) for x in logits.argmax(1)],
                      "greedy": new, "greedy_text": tok.decode(new)})
    args.prefix.with_suffix(".json").write_text(json.dumps({"cases": cases}, ensure_ascii=False) + "\n", encoding="utf-8")
    write_safetensors(args.prefix.with_suffix(".safetensors"), items, set(items))
    for c in cases:
        print(len(c["ids"]), c["text"], "->", c["greedy_text"])


if __name__ == "__main__":
    main()
