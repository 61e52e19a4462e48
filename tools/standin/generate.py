#!/usr/bin/python3
"""Answer requests with an exported model: greedy, and sampled with a seed. Reference for the engine."""
from __future__ import annotations

import argparse
from pathlib import Path

import torch

from export import load_export
from model import Cadre
from tokenizer import ASSISTANT, BOS, EOS, PAD, USER, Tokenizer

REQUESTS = [
    "Hello!", "Who are you?", "What is 3 + 4?", "What is 17 + 25?", "What is the opposite of hot?", "Count from one to five.",
    "What colour is the sky?", "Tell me a story about a cat.", "What is the capital of France?", "What does a cow say?",
    "Tom has a red ball. Mia has a blue kite. What does Mia have?", "Name three fruits.", "I am sad.", "How do I make tea?",
    "Write a short poem.", "What is the weather like today?", "Tell me a story about a robot and a dog.", "Can you help me find a restaurant?",
]


@torch.no_grad()
def generate(model: Cadre, prompts: list[list[int]], limit: int, temperature: list[float], top_p: float, seeds: list[int]) -> list[list[int]]:
    """New tokens up to EOS or `limit` for several prompts at once; temperature 0 is greedy.

    Rows are padded on the right, which causal attention does not see.
    """
    gens = [torch.Generator().manual_seed(s) for s in seeds]
    out: list[list[int]] = [[] for _ in prompts]
    live = list(range(len(prompts)))
    for _ in range(limit):
        rows = [prompts[i] + out[i] for i in live]
        width = max(map(len, rows))
        h = model.hidden(torch.tensor([r + [PAD] * (width - len(r)) for r in rows]))
        logits = torch.stack([h[j, len(r) - 1] for j, r in enumerate(rows)]) @ model.embed.t()
        nxt = []
        for i, row in zip(live, logits):
            if temperature[i] <= 0:
                t = int(row.argmax())
            else:
                p, idx = torch.sort(torch.softmax(row / temperature[i], 0), descending=True)
                keep = int((torch.cumsum(p, 0) - p < top_p).sum())
                t = int(idx[torch.multinomial(p[:keep], 1, generator=gens[i])])
            if t != EOS:
                out[i].append(t)
                nxt.append(i)
        live = nxt
        if not live:
            break
    return out


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--model", type=Path, required=True, help="exported folder")
    ap.add_argument("--seed", type=int, default=0, help="sampling seed; each request uses seed + its index")
    ap.add_argument("--limit", type=int, default=160, help="new tokens")
    ap.add_argument("--temperature", type=float, default=0.7)
    ap.add_argument("--top-p", type=float, default=0.9)
    ap.add_argument("request", nargs="*", default=[], help="requests (default: a fixed list)")
    args = ap.parse_args()
    torch.set_num_threads(1)
    model = load_export(args.model)
    tok = Tokenizer.load(args.model / "tokenizer.json")
    requests = args.request or REQUESTS
    prompts = [[BOS, USER, *tok.encode(text), ASSISTANT] for text in requests]
    n = len(prompts)
    answers = generate(model, prompts * 2, args.limit, [0.0] * n + [args.temperature] * n, args.top_p, [args.seed + i % n for i in range(2 * n)])
    for i, text in enumerate(requests):
        print(f"**{text}**\n\n- greedy: {tok.decode(answers[i])}\n- sampled (seed {args.seed + i}): {tok.decode(answers[n + i])}\n", flush=True)


if __name__ == "__main__":
    main()
