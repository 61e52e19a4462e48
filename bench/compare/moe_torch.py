#!/usr/bin/env python3
"""Times a sparse MoE layer in PyTorch on the CPU: the loop over experts that most models are published with.

The layer is that of kernel_bench's `moe_2048x1408_top4of64`: 64 SwiGLU experts of 1408 hidden channels on 2048,
four experts a token, random routing. Prints one line per number of tokens: the median of the repeats, in ms.

Debian's PyTorch (python3-torch) multiplies f32 matrices with OpenBLAS, which does not know every processor; set
OPENBLAS_CORETYPE=SkylakeX on one with AVX-512, or the comparison is not fair.
"""

import argparse
import statistics
import time

import torch

WIDTH, HIDDEN, EXPERTS, TOP_K = 2048, 1408, 64, 4


def moe(x, gate, up, down, chosen, weights):
    y = torch.zeros_like(x)
    for expert in range(EXPERTS):
        token, slot = torch.where(chosen == expert)
        if token.numel() == 0:
            continue
        rows = x.index_select(0, token)
        hidden = torch.nn.functional.silu(rows @ gate[expert].T) * (rows @ up[expert].T)
        y.index_add_(0, token, (hidden @ down[expert].T) * weights[token, slot].unsqueeze(1))
    return y


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--type", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--tokens", type=int, nargs="+", default=[1, 128, 1024])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    dtype = getattr(torch, options.type)
    gate, up = (torch.randn(EXPERTS, HIDDEN, WIDTH).to(dtype) / WIDTH**0.5 for _ in range(2))
    down = torch.randn(EXPERTS, WIDTH, HIDDEN).to(dtype) / HIDDEN**0.5
    with torch.no_grad():
        for tokens in options.tokens:
            times = []
            for repeat in range(options.repeat + 1):
                x = torch.randn(tokens, WIDTH).to(dtype)
                chosen = torch.rand(tokens, EXPERTS).topk(TOP_K).indices
                weights = torch.softmax(torch.randn(tokens, TOP_K), 1).to(dtype)
                start = time.perf_counter()
                moe(x, gate, up, down, chosen, weights)
                if repeat > 0:  # the first run warms up
                    times.append(time.perf_counter() - start)
            print(f"{options.type} tokens {tokens}: {1e3 * statistics.median(times):.1f} ms"
                  f" ({1e3 * min(times):.1f} - {1e3 * max(times):.1f})", flush=True)


if __name__ == "__main__":
    main()
