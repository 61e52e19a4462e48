#!/usr/bin/python3
"""Measure an exported model and write its model card (README.md). Every figure comes from this run or the training log."""
from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import random
import sys
from pathlib import Path

import numpy as np
import torch

import generate as gen_mod
from export import load_export
from model import Cadre, LossFn
from skills import Gen
from tokenizer import ASSISTANT, BOS, EOS, USER, Tokenizer
from train import SHARE

EXACT = ["add", "sub", "mul", "count", "number", "problem", "opposite", "colour", "animal", "capital", "calendar", "fact", "define",
         "grammar", "spell", "reading", "repeat"]
WHAT = {"chat": "generated chats", "stories": "generated stories", "books": "children's books (CC-BY)", "tales": "fairy tales (public domain)",
        "dialogues": "task dialogues (SGD)"}


@torch.no_grad()
def held_out(model: Cadre, held: dict[str, np.ndarray], seq: int, limit: int) -> tuple[list[str], list[float], list[int]]:
    """Table rows, MaxVio and dead experts per MoE layer on all held-out tokens."""
    rows, nats, toks, size = [], 0.0, 0, 0
    for m in model.moes():
        m.counts.zero_()
    for name in SHARE:
        ids = held[name].astype(np.int64)[:limit]
        total, count = 0.0, 0
        for i in range(0, len(ids) - 1, seq * 8):
            for j in range(i, min(i + seq * 8, len(ids) - 1), seq):
                row = torch.from_numpy(ids[j:j + seq + 1])
                h = model.hidden(row[None, :-1])[0]
                total += float(LossFn.apply(h, model.embed, row[1:], 256)) * (len(row) - 1)
                count += len(row) - 1
        b = int(held[name + "_bytes"]) * count / len(held[name])
        rows.append(f"| {WHAT[name]} | {count:,} | {total / count:.3f} | {math.exp(total / count):.2f} | {total / math.log(2) / b:.3f} |")
        nats, toks, size = nats + total, toks + count, size + b
    rows.append(f"| all together | {toks:,} | {nats / toks:.3f} | {math.exp(nats / toks):.2f} | {nats / math.log(2) / size:.3f} |")
    vio = [float(m.counts.max() / m.counts.mean() - 1) for m in model.moes()]
    dead = [int((m.counts < 0.1 * m.counts.mean()).sum()) for m in model.moes()]
    return rows, vio, dead


@torch.no_grad()
def beyond(model: Cadre, held: dict[str, np.ndarray], seq: int) -> str:
    """Mean loss of held-out chats by position, in quarters of twice the trained length."""
    ids, span = torch.from_numpy(held["chat"].astype(np.int64)[:seq * 14 + 1]), 2 * seq
    rows = [ids[i:i + span + 1] for i in range(0, len(ids) - span, span)]
    nll = sum(torch.nn.functional.cross_entropy(model.logits(r[None, :-1])[0], r[1:], reduction="none") for r in rows) / len(rows)
    return ", ".join(f"{i * seq // 2}-{(i + 1) * seq // 2 - 1}: {float(nll[i * seq // 2:(i + 1) * seq // 2].mean()):.3f}" for i in range(4))


def skills(model: Cadre, tok: Tokenizer, n: int, seed: int) -> list[str]:
    """Share of exactly right greedy answers per skill, requests drawn from a fresh seed."""
    out = []
    for name in EXACT:
        g, right = Gen(random.Random(f"{seed}-{name}")), 0
        for _ in range(n):
            q, ans = getattr(g, name)()
            head, tail = [BOS, USER, *tok.encode(q), ASSISTANT], [*tok.encode(ans), EOS]
            # greedy decoding gives the answer exactly if each of its tokens is the most likely one after the tokens before
            with torch.no_grad():
                best = model.logits(torch.tensor([head + tail[:-1]]))[0, len(head) - 1:].argmax(1)
            right += best.tolist() == tail
        out.append(f"| {name} | {right} of {n} |")
        print(out[-1], flush=True)
    return out


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--work", type=Path, required=True, help="folder of data.py and train.py")
    ap.add_argument("--model", type=Path, required=True, help="exported folder; README.md is written there")
    ap.add_argument("--per-skill", type=int, default=40)
    ap.add_argument("--held-tokens", type=int, default=15000, help="at most so many tokens of each held-out source")
    ap.add_argument("--limit", type=int, default=160, help="longest sample")
    ap.add_argument("--seed", type=int, default=2026)
    args = ap.parse_args()
    torch.set_num_threads(1)
    model = load_export(args.model)
    cfg = json.loads((args.model / "config.json").read_text())
    tok = Tokenizer.load(args.model / "tokenizer.json")
    log = [json.loads(x) for x in (args.work / "log.jsonl").read_text().splitlines()]
    steps = [x for x in log if "loss" in x]
    evals = [x for x in log if "held" in x and "final" not in x]
    state = torch.load(args.work / "ckpt.pt")
    seen, totals = state["seen"], state["totals"]
    rows, vio, dead = held_out(model, dict(np.load(args.work / "held.npz")), cfg["max_position_embeddings"], args.held_tokens)
    print("\n".join(rows), vio, dead, flush=True)
    far = beyond(model, dict(np.load(args.work / "held.npz")), cfg["max_position_embeddings"])
    exact = skills(model, tok, args.per_skill, args.seed)
    buf = io.StringIO()
    with contextlib.redirect_stdout(buf):
        sys.argv = ["generate.py", "--model", str(args.model), "--limit", str(args.limit)]
        gen_mod.main()
    curve = steps[:: max(1, len(steps) // 16)]
    curve = curve if curve[-1] is steps[-1] else curve + [steps[-1]]
    total = sum(p.numel() for p in model.parameters())
    c = model.c
    routed = (c.n_routed_experts - c.num_experts_per_tok) * 3 * c.hidden_size * c.moe_intermediate_size * len(model.moes())
    text = (Path(__file__).parent / "card.md.in").read_text(encoding="utf-8")
    values = {
        "total": f"{total / 1e6:.2f} M", "active": f"{(total - routed) / 1e6:.2f} M",
        "bytes": f"{(args.model / 'model.safetensors').stat().st_size:,}",
        "tokens": f"{sum(seen.values()):,}", "minutes": f"{state['elapsed'] / 60:.1f}", "steps": str(state["step"]),
        "speed": f"{sum(seen.values()) / state['elapsed']:.0f}",
        "positions": str(cfg["max_position_embeddings"]),
        "mix": "\n".join(f"| {WHAT[k]} | {v:,} | {100 * v / sum(seen.values()):.1f} % |" for k, v in seen.items()),
        "curve": "\n".join(f"| {x['step']} | {x['tokens']:,} | {x['s'] / 60:.1f} | {x['loss']:.3f} | {x['lr']:.5f} |" for x in curve),
        "evals": "\n".join("| " + " | ".join([str(x["step"])] + [f"{x['held'][k]:.3f}" for k in SHARE]) + " |" for x in evals),
        "held": "\n".join(rows), "exact": "\n".join(exact), "samples": buf.getvalue().strip(),
        "vio_global": ", ".join(f"{float(t.max() / t.mean() - 1):.3f}" for t in totals),
        "vio_held": ", ".join(f"{v:.3f}" for v in vio), "dead_train": str(sum(int((t < 0.1 * t.mean()).sum()) for t in totals)),
        "vio_batch": f"{float(np.mean([x['maxvio'] for x in steps[-20:]])):.3f}",
        "dead_held": str(sum(dead)), "experts": str(c.n_routed_experts * len(model.moes())), "n": str(args.per_skill), "far": far, "limit": str(args.limit),
    }
    for k, v in values.items():
        text = text.replace("@" + k + "@", v)
    assert "@" not in text.replace("@ ", ""), "unfilled field"
    (args.model / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
