#!/usr/bin/env python3
"""Times training steps of a small sparse model in PyTorch on the CPU: the shape of training_bench.

Width 256, 6 layers, 8 heads, 16 SwiGLU experts of 512 of which 4 serve a token (a loop over experts), vocabulary
4096, 16 sequences of 256 tokens; forward, backward and AdamW in f32. Prints the median step and its tokens/s.

Debian's PyTorch (python3-torch) multiplies f32 matrices with OpenBLAS; set OPENBLAS_CORETYPE=SkylakeX on a processor
with AVX-512, or the comparison is not fair.
"""

import argparse
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

WIDTH, LAYERS, HEADS, EXPERTS, TOP_K, HIDDEN, VOCABULARY = 256, 6, 8, 16, 4, 512, 4096


class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.router = nn.Linear(WIDTH, EXPERTS, bias=False)
        self.gate, self.up = (nn.Parameter(torch.randn(EXPERTS, WIDTH, HIDDEN) / WIDTH**0.5) for _ in range(2))
        self.down = nn.Parameter(torch.randn(EXPERTS, HIDDEN, WIDTH) / HIDDEN**0.5)

    def forward(self, x):
        weights, chosen = torch.softmax(self.router(x), -1).topk(TOP_K)
        weights = weights / weights.sum(-1, keepdim=True)
        y = torch.zeros_like(x)
        for expert in range(EXPERTS):
            token, slot = torch.where(chosen == expert)
            rows = x.index_select(0, token)
            hidden = F.silu(rows @ self.gate[expert]) * (rows @ self.up[expert])
            y = y.index_add(0, token, (hidden @ self.down[expert]) * weights[token, slot].unsqueeze(1))
        return y


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.experts = Experts()

    def forward(self, x, mask):
        rows, length, _ = x.shape
        q, k, v = (
            part.view(rows, length, HEADS, -1).transpose(1, 2) for part in self.qkv(self.norms[0](x)).chunk(3, -1)
        )
        scores = torch.softmax(q @ k.transpose(2, 3) / q.shape[-1] ** 0.5 + mask, -1)
        x = x + self.out((scores @ v).transpose(1, 2).reshape(rows, length, WIDTH))
        return x + self.experts(self.norms[1](x).view(-1, WIDTH)).view_as(x)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, tokens):
        x = self.embedding(tokens)
        mask = torch.full((tokens.shape[1],) * 2, float("-inf")).triu(1)
        for block in self.blocks:
            x = block(x, mask)
        return self.head(self.norm(x))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--sequences", type=int, default=16)
    parser.add_argument("--length", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    model = Model()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    times = []
    for step in range(options.steps + 1):
        tokens = torch.randint(VOCABULARY, (options.sequences, options.length + 1))
        start = time.perf_counter()
        loss = F.cross_entropy(model(tokens[:, :-1]).reshape(-1, VOCABULARY), tokens[:, 1:].reshape(-1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step > 0:  # the first warms up
            times.append(time.perf_counter() - start)
        print(f"step {step}: loss {loss.item():.4f}", flush=True)
    step = statistics.median(times)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters, median {step:.2f} s, "
          f"{options.sequences * options.length / step:.0f} tokens/s")


if __name__ == "__main__":
    main()
