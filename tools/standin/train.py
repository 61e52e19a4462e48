#!/usr/bin/python3
"""Train the stand-in model on the corpus made by data.py, timed by the wall clock.

Muon for the hidden matrices, AdamW for the rest; learning rate: warm-up,
constant, linear to zero at the end time.  Writes ckpt.pt and log.jsonl to --out
every --save seconds and continues from ckpt.pt if it exists.
"""
from __future__ import annotations

import argparse
import json
import math
import os
import signal
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model import Cadre, Config, loss
from tokenizer import ASSISTANT, BOS, EOS, USER

SHARE = {"chat": 0.62, "stories": 0.08, "books": 0.10, "tales": 0.07, "dialogues": 0.13}


class Stream:
    """Documents of one source in a shuffled order, without end."""

    def __init__(self, ids: np.ndarray, starts: np.ndarray, rng: np.random.Generator) -> None:
        self.ids, self.starts, self.rng = ids, np.append(starts, len(ids)), rng
        self.order: list[int] = []
        self.rest: np.ndarray = ids[:0]
        self.tokens = 0

    def take(self, n: int) -> np.ndarray:
        """The next n tokens, documents packed one after another."""
        out, have = [], 0
        while have < n:
            if not len(self.rest):
                if not self.order:
                    self.order = self.rng.permutation(len(self.starts) - 1).tolist()
                d = self.order.pop()
                self.rest = self.ids[self.starts[d]:self.starts[d + 1]]
            part, self.rest = self.rest[: n - have], self.rest[n - have:]
            out.append(part)
            have += len(part)
        self.tokens += n
        return np.concatenate(out)


def asked(row: np.ndarray) -> np.ndarray:
    """True for each token that the user wrote, and for the marker that ends it."""
    marker = row <= ASSISTANT
    at = np.maximum.accumulate(np.where(marker, np.arange(len(row)), -1))
    first = int(np.argmax(marker)) if marker.any() else 0
    last = np.where(at >= 0, row[at], USER if row[first] == ASSISTANT else EOS)
    end = (row == ASSISTANT) & (np.append(EOS, last[:-1]) == USER)
    return ((last == USER) & (row > ASSISTANT)) | end


class Muon:
    """Momentum with orthogonalised updates on stacks of matrices."""

    def __init__(self, params: list[torch.nn.Parameter], decay: float) -> None:
        self.params, self.decay = params, decay
        self.mom = [torch.zeros_like(p) for p in params]

    @staticmethod
    def orthogonal(g: Tensor) -> Tensor:
        """Five Newton-Schulz steps on [n, r, c]."""
        x = g / (g.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
        flip = x.shape[1] > x.shape[2]
        x = x.transpose(1, 2).contiguous() if flip else x
        for _ in range(5):
            s = x.bmm(x.transpose(1, 2))
            x = 3.4445 * x + torch.bmm(torch.baddbmm(s, s, s, beta=-4.7750, alpha=2.0315), x)
        return x.transpose(1, 2) if flip else x

    def step(self, lr: float) -> None:
        """One update."""
        for p, m in zip(self.params, self.mom):
            m.mul_(0.95).add_(p.grad)
            g = (p.grad + 0.95 * m).view(-1, *p.shape[-2:])
            if p.fused_rows:    # gate and up are two matrices
                g = g.reshape(-1, p.shape[-2] // 2, p.shape[-1])
            scale = 0.2 * max(g.shape[1:]) ** 0.5
            p.data.mul_(1 - lr * self.decay).sub_(self.orthogonal(g).reshape(p.shape), alpha=lr * scale)


def optimisers(model: Cadre) -> tuple[Muon, torch.optim.AdamW]:
    """Split the parameters: 2-D hidden matrices to Muon, others to AdamW."""
    hidden, other, plain = [], [], []
    for name, p in model.named_parameters():
        p.fused_rows = name.endswith("w13")
        if p.dim() >= 2 and name != "embed" and not name.endswith("gate"):
            hidden.append(p)
        else:
            (other if p.dim() >= 2 else plain).append(p)
    groups = [{"params": other, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    return Muon(hidden, 0.1), torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8)


@torch.no_grad()
def evaluate(model: Cadre, held: dict[str, np.ndarray], seq: int, limit: int) -> dict[str, dict[str, float]]:
    """Nats per token and bits per byte for each held-out source."""
    from model import LossFn
    model.eval()
    out = {}
    for name in SHARE:
        ids = held[name].astype(np.int64)[: limit]
        n = (len(ids) - 1) // seq
        total, count = 0.0, 0
        for i in range(0, n, 16):
            rows = torch.from_numpy(np.stack([ids[j * seq:j * seq + seq + 1] for j in range(i, min(i + 16, n))]))
            h = model.hidden(rows[:, :-1])
            t = rows[:, 1:].reshape(-1)
            total += float(LossFn.apply(h.reshape(-1, h.shape[-1]), model.embed, t, 256)) * t.numel()
            count += t.numel()
        nll = total / count
        bytes_per_token = float(held[name + "_bytes"]) / len(held[name])
        out[name] = {"nll": nll, "bpb": nll / math.log(2) / bytes_per_token, "tokens": count}
    model.train()
    return out


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out", type=Path, required=True, help="work folder made by data.py")
    ap.add_argument("--minutes", type=float, default=75, help="length of the run")
    ap.add_argument("--until", type=float, default=0, help="end as Unix time (instead of --minutes)")
    ap.add_argument("--share", default="", help="share of the rows per source, such as chat=0.7,books=0.3 (default: see SHARE)")
    ap.add_argument("--answers", type=float, default=0, help="share of the rows in which the user's words are not learned")
    ap.add_argument("--seq", type=int, default=256)
    ap.add_argument("--batch", type=int, default=24, help="sequences per step")
    ap.add_argument("--micro", type=int, default=12, help="sequences per backward pass")
    ap.add_argument("--lr", type=float, default=3e-3)
    ap.add_argument("--adam-lr", type=float, default=3e-3)
    ap.add_argument("--warmup", type=int, default=60, help="steps")
    ap.add_argument("--decay", type=float, default=0.35, help="share of the time with falling rate")
    ap.add_argument("--bias-u", type=float, default=2e-3)
    ap.add_argument("--aux", type=float, default=1e-4)
    ap.add_argument("--save", type=float, default=300, help="seconds between checkpoints")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--stop", type=float, default=1, help="leave at this share of the time, to continue with other options")
    ap.add_argument("--steps", type=int, default=0, help="stop after so many steps (for tests)")
    args = ap.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    model = Cadre(Config()).train()
    muon, adam = optimisers(model)
    step = 0
    start = time.time()
    ckpt = args.out / "ckpt.pt"
    seen = {k: 0 for k in SHARE}
    totals = [torch.zeros(m.c.n_routed_experts) for m in model.moes()]
    if ckpt.exists():
        state = torch.load(ckpt)
        model.load_state_dict(state["model"])
        adam.load_state_dict(state["adam"])
        muon.mom, step, seen, totals = state["muon"], state["step"], state["seen"], state["totals"]
        start = time.time() - state["elapsed"]
    end = args.until or start + args.minutes * 60
    train, held = np.load(args.out / "train.npz"), dict(np.load(args.out / "held.npz"))
    streams = {k: Stream(train[k], train[k + "_starts"], np.random.default_rng([args.seed, step, i])) for i, k in enumerate(SHARE)}
    rng = np.random.default_rng([args.seed, step])
    log = (args.out / "log.jsonl").open("a")
    saved = window = time.time()
    wloss, wtok = [], 0

    def note(**kw) -> None:
        log.write(json.dumps(kw) + "\n")
        log.flush()
        print(json.dumps(kw), flush=True)

    def save() -> None:
        tmp = ckpt.with_suffix(".tmp")
        torch.save({"model": model.state_dict(), "adam": adam.state_dict(), "muon": muon.mom, "step": step, "seen": seen, "totals": totals,
                    "elapsed": time.time() - start, "config": model.c.dict(), "args": {k: str(v) for k, v in vars(args).items() if k != "out"}}, tmp)
        os.replace(tmp, ckpt)

    share = {k: float(v) for k, v in (x.split("=") for x in args.share.split(","))} if args.share else SHARE
    names, probs = list(share), np.array(list(share.values())) / sum(share.values())
    stopped: list[int] = []     # a SIGTERM saves and leaves
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    while time.time() < end and not stopped and (not args.steps or step < args.steps):
        part = (time.time() - start) / (end - start)
        if part > args.stop:
            break
        fall = min(1.0, max(0.0, (1 - part) / args.decay))
        rate = min(1.0, (step + 1) / args.warmup) * fall
        grads = args.batch // args.micro
        total = 0.0
        for _ in range(grads):
            rows = []
            for k in rng.choice(names, args.micro, p=probs):
                rows.append(streams[k].take(args.seq + 1))
                seen[k] += args.seq
            ids = torch.from_numpy(np.stack(rows).astype(np.int64))
            target = ids[:, 1:].clone()
            for i, row in enumerate(rows):
                if rng.random() < args.answers:
                    target[i][torch.from_numpy(asked(row)[1:])] = -1
            l = loss(model, ids[:, :-1], target, 256)
            (l / grads + args.aux / grads * sum(m.seq_aux for m in model.moes())).backward()
            total += l.item() / grads
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        muon.step(args.lr * rate)
        for g in adam.param_groups:
            g["lr"] = args.adam_lr * rate
        adam.step()
        model.zero_grad(set_to_none=True)
        u = args.bias_u * min(1.0, (1 - part) / 0.1)
        vio = []
        for m, t in zip(model.moes(), totals):
            m.bias += u * torch.sign(m.counts.mean() - m.counts)
            vio.append(float(m.counts.max() / m.counts.mean() - 1))
            t += m.counts
            m.counts.zero_()
        step += 1
        wloss.append(total)
        wtok += args.batch * args.seq
        if step % 20 == 0:
            now = time.time()
            note(step=step, s=round(now - start), loss=round(float(np.mean(wloss)), 4), lr=round(args.lr * rate, 6), norm=round(float(norm), 3),
                 tok_s=round(wtok / (now - window)), maxvio=round(max(vio), 3), tokens=sum(seen.values()))
            wloss, wtok, window = [], 0, now
        if time.time() - saved > args.save:
            save()
            ev = evaluate(model, held, args.seq, 6200)
            note(step=step, s=round(time.time() - start), held={k: round(v["nll"], 4) for k, v in ev.items()},
                 maxvio_global=[round(float(t.max() / t.mean() - 1), 4) for t in totals])
            for m in model.moes():
                m.counts.zero_()    # evaluation does not count
            saved = window = time.time()
            wtok = 0
    save()
    if stopped:
        return
    ev = evaluate(model, held, args.seq, 6200)
    note(step=step, s=round(time.time() - start), final=True, held=ev, seen=seen,
         maxvio_global=[round(float(t.max() / t.mean() - 1), 4) for t in totals],
         dead=[int((t < 0.1 * t.mean()).sum()) for t in totals])


if __name__ == "__main__":
    main()
