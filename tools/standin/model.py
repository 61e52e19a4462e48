"""The `cadre` architecture in PyTorch: MLA attention, sigmoid-gated MoE, shared expert.

Written for speed on one CPU thread: fused weights, tokens sorted by expert,
hand-written backward passes for the parts that would create many temporaries.
"""
from __future__ import annotations

from dataclasses import dataclass, asdict

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class Config:
    """Sizes; names as in config.json."""
    vocab_size: int = 4096
    hidden_size: int = 192
    intermediate_size: int = 512
    moe_intermediate_size: int = 96
    num_hidden_layers: int = 6
    num_attention_heads: int = 4
    kv_lora_rank: int = 64
    qk_nope_head_dim: int = 32
    qk_rope_head_dim: int = 16
    v_head_dim: int = 48
    n_routed_experts: int = 16
    num_experts_per_tok: int = 4
    first_k_dense_replace: int = 1
    routed_scaling_factor: float = 1.0
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0

    def dict(self) -> dict:
        """Plain dictionary."""
        return asdict(self)


class RmsFn(torch.autograd.Function):
    """y = x * rsqrt(mean x^2 + eps) * w."""

    @staticmethod
    def forward(ctx, x: Tensor, w: Tensor, eps: float) -> Tensor:
        r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
        n = x * r
        ctx.save_for_backward(n, r, w)
        return n * w

    @staticmethod
    def backward(ctx, g: Tensor):
        n, r, w = ctx.saved_tensors
        gn = g * n
        dw = gn.reshape(-1, n.shape[-1]).sum(0)
        m = torch.mv(gn.reshape(-1, n.shape[-1]), w).view(r.shape).div_(n.shape[-1])
        dx = (g * w).sub_(n * m).mul_(r)
        return dx, dw, None


class Norm(nn.Module):
    """RMSNorm."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return RmsFn.apply(x, self.weight, self.eps)


class SwiGluFn(torch.autograd.Function):
    """silu(gate) * up of a fused [gate | up]."""

    @staticmethod
    def forward(ctx, h: Tensor) -> Tensor:
        ctx.save_for_backward(h)
        g, u = h.chunk(2, -1)
        return F.silu(g).mul_(u)

    @staticmethod
    def backward(ctx, dy: Tensor) -> Tensor:
        (h,) = ctx.saved_tensors
        g, u = h.chunk(2, -1)
        s = torch.sigmoid(g)
        gs = g * s
        dh = torch.empty_like(h)
        f = g.shape[-1]
        torch.mul(dy, gs, out=dh[..., f:])
        gs.mul_(1 - s).add_(s).mul_(u).mul_(dy)   # silu' = s + g s (1-s)
        dh[..., :f] = gs
        return dh


class ExpertsFn(torch.autograd.Function):
    """sum over chosen experts of weight * down(silu(gate x) * (up x)), tokens sorted by expert."""

    @staticmethod
    def forward(ctx, x: Tensor, w13: Tensor, w2: Tensor, tok: Tensor, wt: Tensor, bounds: list[int]) -> Tensor:
        n, f2 = tok.numel(), w13.shape[1]
        xs = x.index_select(0, tok)
        h = x.new_empty(n, f2)
        y = x.new_empty(n, x.shape[1])
        for e, (i, j) in enumerate(zip(bounds, bounds[1:])):
            if j > i:
                torch.mm(xs[i:j], w13[e].t(), out=h[i:j])
        g, u = h.chunk(2, -1)
        act = F.silu(g).mul_(u)
        for e, (i, j) in enumerate(zip(bounds, bounds[1:])):
            if j > i:
                torch.mm(act[i:j], w2[e].t(), out=y[i:j])
        out = torch.zeros_like(x).index_add_(0, tok, y * wt[:, None])
        ctx.save_for_backward(xs, h, act, y, w13, w2, tok, wt)
        ctx.bounds = bounds
        return out

    @staticmethod
    def backward(ctx, go: Tensor):
        xs, h, act, y, w13, w2, tok, wt = ctx.saved_tensors
        bounds = ctx.bounds
        gs = go.index_select(0, tok)
        dwt = (gs * y).sum(1)
        gs.mul_(wt[:, None])
        dact = torch.empty_like(act)
        dw13, dw2 = torch.zeros_like(w13), torch.zeros_like(w2)
        for e, (i, j) in enumerate(zip(bounds, bounds[1:])):
            if j > i:
                torch.mm(gs[i:j], w2[e], out=dact[i:j])
                torch.mm(gs[i:j].t(), act[i:j], out=dw2[e])
        g, u = h.chunk(2, -1)
        f = g.shape[1]
        s = torch.sigmoid(g)
        p = g * s
        dh = torch.empty_like(h)
        torch.mul(dact, p, out=dh[:, f:])
        p.mul_(1 - s).add_(s).mul_(u).mul_(dact)
        dh[:, :f] = p
        dxs = gs
        for e, (i, j) in enumerate(zip(bounds, bounds[1:])):
            if j > i:
                torch.mm(dh[i:j], w13[e], out=dxs[i:j])
                torch.mm(dh[i:j].t(), xs[i:j], out=dw13[e])
        dx = torch.zeros_like(go).index_add_(0, tok, dxs)
        return dx, dw13, dw2, None, dwt, None


def linear(x: Tensor, w: Tensor) -> Tensor:
    """x W^T on flattened rows."""
    return x.reshape(-1, x.shape[-1]).mm(w.t()).view(*x.shape[:-1], w.shape[0])


def weight(*shape: int, std: float) -> nn.Parameter:
    """Normal initial weights."""
    return nn.Parameter(torch.randn(*shape) * std)


class Attention(nn.Module):
    """Multi-head latent attention, direct query projection."""

    def __init__(self, c: Config, out_std: float) -> None:
        super().__init__()
        self.c = c
        h = c.num_attention_heads
        self.q = weight(h * (c.qk_nope_head_dim + c.qk_rope_head_dim), c.hidden_size, std=0.04)
        self.kv_a = weight(c.kv_lora_rank + c.qk_rope_head_dim, c.hidden_size, std=0.04)
        self.kv_norm = Norm(c.kv_lora_rank, c.rms_norm_eps)
        self.kv_b = weight(h * (c.qk_nope_head_dim + c.v_head_dim), c.kv_lora_rank, std=0.06)
        self.o = weight(c.hidden_size, h * c.v_head_dim, std=out_std)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        c, (b, t, _) = self.c, x.shape
        h, dn, dr, dv = c.num_attention_heads, c.qk_nope_head_dim, c.qk_rope_head_dim, c.v_head_dim
        q = linear(x, self.q).view(b, t, h, dn + dr)
        kv = linear(x, self.kv_a)
        k_pe = rope(kv[..., c.kv_lora_rank:].unsqueeze(2), cos, sin)
        lat = linear(self.kv_norm(kv[..., : c.kv_lora_rank]), self.kv_b).view(b, t, h, dn + dv)
        q = torch.cat((q[..., :dn], rope(q[..., dn:], cos, sin)), -1)
        k = torch.cat((lat[..., :dn], k_pe.expand(b, t, h, dr)), -1)
        q = q.transpose(1, 2).reshape(b * h, t, dn + dr)
        k = k.transpose(1, 2).reshape(b * h, t, dn + dr)
        v = lat[..., dn:].transpose(1, 2).reshape(b * h, t, dv)
        s = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=(dn + dr) ** -0.5)
        o = torch.bmm(torch.softmax(s, -1), v).view(b, h, t, dv).transpose(1, 2).reshape(b, t, h * dv)
        return linear(o, self.o)


def rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate adjacent pairs; x is [b, t, heads, dr]."""
    p = x.unflatten(-1, (-1, 2))
    even, odd = p[..., 0], p[..., 1]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Mlp(nn.Module):
    """SwiGLU with fused gate and up."""

    def __init__(self, dim: int, hidden: int, out_std: float) -> None:
        super().__init__()
        self.w13 = weight(2 * hidden, dim, std=0.04)
        self.w2 = weight(dim, hidden, std=out_std)

    def forward(self, x: Tensor) -> Tensor:
        return linear(SwiGluFn.apply(linear(x, self.w13)), self.w2)


class Moe(nn.Module):
    """Sigmoid gate with selection bias, routed experts, one shared expert."""

    def __init__(self, c: Config, out_std: float) -> None:
        super().__init__()
        self.c = c
        n, f, d = c.n_routed_experts, c.moe_intermediate_size, c.hidden_size
        self.gate = weight(n, d, std=0.02)
        self.w13 = weight(n, 2 * f, d, std=0.04)
        self.w2 = weight(n, d, f, std=out_std)
        self.shared = Mlp(d, f, out_std)
        self.register_buffer("bias", torch.zeros(n))
        self.counts = torch.zeros(n)          # tokens per expert since the last read
        self.seq_aux = torch.zeros(())        # auxiliary loss of the last forward
        self.ties = 0

    def route(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores, chosen experts (ties to the lower index) and weights."""
        s = torch.sigmoid(x.mm(self.gate.t()))
        with torch.no_grad():
            k = self.c.num_experts_per_tok
            idx = torch.topk(s + self.bias, k, dim=1)[1] if self.training else torch.sort(s + self.bias, dim=1, descending=True, stable=True)[1][:, :k]
        w = s.gather(1, idx)
        return s, idx, w / (w.sum(1, keepdim=True) + 1e-20) * self.c.routed_scaling_factor

    def forward(self, x: Tensor) -> Tensor:
        b, t, d = x.shape
        flat = x.reshape(-1, d)
        s, idx, w = self.route(flat)
        n, k = self.c.n_routed_experts, self.c.num_experts_per_tok
        with torch.no_grad():
            flat_idx = idx.reshape(-1)
            cnt = torch.bincount(flat_idx, minlength=n)
            order = torch.sort(flat_idx.to(torch.uint8), stable=True)[1]
            bounds = [0] + torch.cumsum(cnt, 0).tolist()
            self.counts += cnt
        if self.training:
            hot = torch.zeros(b * t, n).scatter_(1, idx, 1.0).view(b, t, n).mean(1) * (n / k)
            q = (s / s.sum(1, keepdim=True)).view(b, t, n).mean(1)
            self.seq_aux = (hot * q).sum(1).mean()
        wt = w.reshape(-1).index_select(0, order)
        y = ExpertsFn.apply(flat, self.w13, self.w2, torch.div(order, k, rounding_mode="floor"), wt, bounds)
        return y.view(b, t, d) + self.shared(x)


class Layer(nn.Module):
    """Pre-norm block."""

    def __init__(self, c: Config, index: int) -> None:
        super().__init__()
        std = 0.04 / (2 * c.num_hidden_layers) ** 0.5
        self.norm1 = Norm(c.hidden_size, c.rms_norm_eps)
        self.norm2 = Norm(c.hidden_size, c.rms_norm_eps)
        self.attn = Attention(c, std)
        self.mlp: nn.Module = Mlp(c.hidden_size, c.intermediate_size, std) if index < c.first_k_dense_replace else Moe(c, std)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x), cos, sin, mask)
        return x + self.mlp(self.norm2(x))


class Cadre(nn.Module):
    """The whole model; the output head is the embedding."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.c = c
        self.embed = weight(c.vocab_size, c.hidden_size, std=0.02)
        self.layers = nn.ModuleList(Layer(c, i) for i in range(c.num_hidden_layers))
        self.norm = Norm(c.hidden_size, c.rms_norm_eps)

    def moes(self) -> list[Moe]:
        """The MoE blocks in layer order."""
        return [m.mlp for m in self.layers if isinstance(m.mlp, Moe)]

    def tables(self, t: int) -> tuple[Tensor, Tensor, Tensor]:
        """cos, sin [t, 1, dr/2] and the causal mask."""
        dr = self.c.qk_rope_head_dim
        inv = self.c.rope_theta ** (-torch.arange(0, dr, 2, dtype=torch.float64) / dr)
        ang = torch.arange(t, dtype=torch.float64)[:, None] * inv
        mask = torch.full((t, t), float("-inf")).triu(1)
        return ang.cos().float()[:, None], ang.sin().float()[:, None], mask

    def hidden(self, ids: Tensor) -> Tensor:
        """Final normed hidden states [b, t, d]."""
        cos, sin, mask = self.tables(ids.shape[1])
        x = F.embedding(ids, self.embed)
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        return self.norm(x)

    def logits(self, ids: Tensor) -> Tensor:
        """Logits [b, t, V]."""
        return linear(self.hidden(ids), self.embed)


class LossFn(torch.autograd.Function):
    """Mean cross entropy of tied logits, computed in chunks; ignores targets < 0."""

    @staticmethod
    def forward(ctx, h: Tensor, w: Tensor, target: Tensor, chunk: int) -> Tensor:
        n = int((target >= 0).sum())
        dh, dw, total = torch.empty_like(h), torch.zeros_like(w), 0.0
        for i in range(0, h.shape[0], chunk):
            hc, tc = h[i:i + chunk], target[i:i + chunk]
            logits = hc.mm(w.t())
            ok, t = tc >= 0, tc.clamp(min=0)[:, None]
            own = logits.gather(1, t)
            top = logits.amax(1, keepdim=True)
            p = logits.sub_(top).exp_()
            z = p.sum(1, keepdim=True)
            total += float(((z.log() + top - own)[:, 0] * ok).sum(dtype=torch.float64))
            scale = ok[:, None] / (z * n)
            p.mul_(scale).scatter_add_(1, t, (ok[:, None] / -float(n)).to(p.dtype))
            torch.mm(p, w, out=dh[i:i + chunk])
            dw.addmm_(p.t(), hc)
        ctx.save_for_backward(dh, dw)
        return h.new_tensor(total / n)

    @staticmethod
    def backward(ctx, g: Tensor):
        dh, dw = ctx.saved_tensors
        return dh * g, dw * g, None, None


def loss(model: Cadre, ids: Tensor, target: Tensor, chunk: int = 1024) -> Tensor:
    """Training loss with gradients; targets < 0 do not count."""
    h = model.hidden(ids)
    h, t = h.reshape(-1, h.shape[-1]), target.reshape(-1)
    keep = (t >= 0).nonzero()[:, 0]
    if keep.numel() < t.numel():
        h, t = h.index_select(0, keep), t.index_select(0, keep)
    return LossFn.apply(h, model.embed, t, chunk)
