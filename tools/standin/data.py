#!/usr/bin/python3
"""Build the tokenizer and the encoded corpus: tokenizer.json, train.npz, held.npz.

Sources: children's books, task dialogues (--data) and text made by the grammar
of tools/corpus.  Everything follows from --seed.
"""
from __future__ import annotations

import argparse
import json
import lzma
import random
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Iterator

import numpy as np

sys.path.append(str(Path(__file__).parent.parent / "corpus"))   # the text generator

from skills import Gen
from stories import story
from tokenizer import SPECIALS, Tokenizer, train_bpe

B, E, _, U, A = SPECIALS


def rows(path: Path) -> Iterator[dict]:
    """Records of a .jsonl.xz file."""
    with lzma.open(path, "rt", encoding="utf-8") as f:
        for line in f:
            yield json.loads(line)


def chat(system: str, turns: list[tuple[str, str]]) -> str:
    """The chat template of the model."""
    return B + system + "".join(f"{U}{q}{A}{ans}{E}" for q, ans in turns)


def clean(text: str) -> str:
    """Plain quotes and blanks."""
    for x, y in (("\u201c", '"'), ("\u201d", '"'), ("\u2018", "'"), ("\u2019", "'"), ("\u2013", "-"), ("\u2014", "-"), ("\u2026", "...")):
        text = text.replace(x, y)
    return re.sub(r"[ \t]+", " ", text).strip()


def books(data: Path) -> dict[str, list[str]]:
    """Documents of the book file, open-licensed and public domain apart."""
    out: dict[str, list[str]] = {"books": [], "tales": []}
    for r in rows(data / "childrens-books.jsonl.xz"):
        text = clean(r["text"])
        if r["license"].startswith("CC-BY"):
            out["books"].append(B + text + E)
            if len(text) < 1500:   # short ones also as an answer to a request by title
                out["books"].append(chat("", [(f"Tell me the story \"{r['title']}\".", text)]))
        else:
            out["tales"].append(B + text + E)
    return out


def dialogues(data: Path) -> list[str]:
    """Task dialogues in chat form."""
    out = []
    for r in rows(data / "sgd-dialogues.jsonl.xz"):
        m = r["messages"]
        turns = [(clean(x["content"]), clean(y["content"])) for x, y in zip(m[::2], m[1::2]) if x["role"] == "user" and y["role"] == "assistant"]
        if turns:
            out.append(chat("", turns[:8]))
    return out


def generated(seed: int, n_chat: int, n_story: int) -> tuple[list[str], list[str]]:
    """Chats and plain stories of the grammar."""
    rng = random.Random(seed)
    gen = Gen(rng)
    return [chat(*gen.dialogue()) for _ in range(n_chat)], [B + story(rng) + E for _ in range(n_story)]


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--data", type=Path, required=True, help="folder with childrens-books.jsonl.xz and sgd-dialogues.jsonl.xz")
    ap.add_argument("--out", type=Path, required=True, help="work folder")
    ap.add_argument("--seed", type=int, default=20261124)
    ap.add_argument("--chats", type=int, default=90000, help="generated chats")
    ap.add_argument("--stories", type=int, default=4000, help="generated plain stories")
    ap.add_argument("--vocab", type=int, default=4096)
    args = ap.parse_args()
    t0 = time.time()
    args.out.mkdir(parents=True, exist_ok=True)
    sets = books(args.data)
    sets["dialogues"] = dialogues(args.data)
    sets["chat"], sets["stories"] = generated(args.seed, args.chats, args.stories)

    rng = random.Random(args.seed + 1)
    train: dict[str, list[str]] = {}
    held: dict[str, list[str]] = {}
    for name, docs in sets.items():
        seen = sorted(set(docs), key=docs.index) if len(docs) < 20000 else list(dict.fromkeys(docs))
        rng.shuffle(seen)
        n = min(max(4, len(seen) // 40), 400)
        held[name], train[name] = seen[:n], seen[n:]
    # A chat is held out only if its text does not occur among the training chats: dict.fromkeys above made texts unique.

    from tokenizer import PreTokenizer
    pre = PreTokenizer()
    split = re.compile("|".join(map(re.escape, SPECIALS)))
    counts: Counter[str] = Counter()
    share = {"books": 2.0, "tales": 0.7, "dialogues": 0.25, "chat": 0.35, "stories": 0.7}
    for name, docs in train.items():
        part: Counter[str] = Counter()
        for d in docs[: 25000 if name == "chat" else 3000]:
            for s in split.split(d):
                part.update(pre.split(s))
        scale = share[name] * 1e6 / sum(part.values())
        for w, n in part.items():
            counts[w] += max(1, round(n * scale))
    print(f"{len(counts)} distinct pieces, {time.time() - t0:.0f} s", flush=True)
    tok = Tokenizer(train_bpe(counts, args.vocab))
    tok.save(args.out / "tokenizer.json")
    print(f"tokenizer of {len(tok.bytes)} tokens, {time.time() - t0:.0f} s", flush=True)

    for kind, part_sets in (("train", train), ("held", held)):
        arrays: dict[str, np.ndarray] = {}
        for name, docs in part_sets.items():
            ids: list[int] = []
            starts = []
            for d in docs:
                starts.append(len(ids))
                ids += tok.encode_all(d)
            arrays[name] = np.array(ids, np.uint16)
            arrays[name + "_starts"] = np.array(starts, np.int64)
            size = sum(len(split.sub("", d).encode()) for d in docs)
            arrays[name + "_bytes"] = np.array(size)
            print(f"{kind} {name}: {len(docs)} documents, {len(ids)} tokens, {size} bytes", flush=True)
        np.savez(args.out / f"{kind}.npz", **arrays)
    print(f"done, {time.time() - t0:.0f} s")


if __name__ == "__main__":
    main()
