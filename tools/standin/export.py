#!/usr/bin/python3
"""Write the newest checkpoint as a Hugging Face style folder (bf16 safetensors, config, tokenizer)."""
from __future__ import annotations

import argparse
import json
import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model import Cadre, Config
from tokenizer import BOS, EOS, PAD, SPECIALS, Tokenizer

MAX_POSITIONS = 256   # the training length
TEMPLATE = (
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
    "{% set ns = namespace(system='') %}"
    "{%- for message in messages %}{%- if message['role'] == 'system' %}"
    "{%- if ns.system %}{% set ns.system = ns.system + '\\n\\n' + message['content'] %}{%- else %}{% set ns.system = message['content'] %}{%- endif %}"
    "{%- endif %}{%- endfor %}"
    "{{ bos_token }}{{ ns.system }}"
    "{%- for message in messages %}"
    "{%- if message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}{%- endif %}"
    "{%- if message['role'] == 'assistant' %}{{ '<｜Assistant｜>' + message['content'] + eos_token }}{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<｜Assistant｜>' }}{%- endif %}")


def tensors(model: Cadre) -> dict[str, Tensor]:
    """Checkpoint tensors under their DeepSeek-V3 names."""
    out = {"model.embed_tokens.weight": model.embed, "model.norm.weight": model.norm.weight}

    def mlp(name: str, w13: Tensor, w2: Tensor) -> None:
        f = w13.shape[0] // 2
        out[f"{name}.gate_proj.weight"], out[f"{name}.up_proj.weight"], out[f"{name}.down_proj.weight"] = w13[:f], w13[f:], w2

    for i, layer in enumerate(model.layers):
        p = f"model.layers.{i}"
        out[f"{p}.input_layernorm.weight"] = layer.norm1.weight
        out[f"{p}.post_attention_layernorm.weight"] = layer.norm2.weight
        out[f"{p}.self_attn.q_proj.weight"] = layer.attn.q
        out[f"{p}.self_attn.kv_a_proj_with_mqa.weight"] = layer.attn.kv_a
        out[f"{p}.self_attn.kv_a_layernorm.weight"] = layer.attn.kv_norm.weight
        out[f"{p}.self_attn.kv_b_proj.weight"] = layer.attn.kv_b
        out[f"{p}.self_attn.o_proj.weight"] = layer.attn.o
        m = layer.mlp
        if i < model.c.first_k_dense_replace:
            mlp(f"{p}.mlp", m.w13, m.w2)
            continue
        out[f"{p}.mlp.gate.weight"] = m.gate
        out[f"{p}.mlp.gate.e_score_correction_bias"] = m.bias
        for e in range(model.c.n_routed_experts):
            mlp(f"{p}.mlp.experts.{e}", m.w13[e], m.w2[e])
        mlp(f"{p}.mlp.shared_experts", m.shared.w13, m.shared.w2)
    return {k: v.detach() for k, v in out.items()}


def bf16_bits(x: Tensor) -> bytes:
    """Round-to-nearest-even bfloat16, little endian."""
    return x.to(torch.bfloat16).contiguous().view(torch.int16).numpy().astype("<i2").tobytes()


def write_safetensors(path: Path, items: dict[str, Tensor], f32: set[str]) -> None:
    """Header length, JSON padded so that the data start on 64 bytes, data."""
    header: dict[str, dict] = {"__metadata__": {"format": "pt"}}
    blobs, at = [], 0
    for name, t in items.items():
        blob = t.contiguous().float().numpy().astype("<f4").tobytes() if name in f32 else bf16_bits(t)
        header[name] = {"dtype": "F32" if name in f32 else "BF16", "shape": list(t.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % 64)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors as float32."""
    raw = path.read_bytes()
    n = struct.unpack("<Q", raw[:8])[0]
    out = {}
    for name, d in json.loads(raw[8:8 + n]).items():
        if name == "__metadata__":
            continue
        a, b = d["data_offsets"]
        part = raw[8 + n + a:8 + n + b]
        if d["dtype"] == "F32":
            x = np.frombuffer(part, "<f4")
        else:
            x = (np.frombuffer(part, "<u2").astype(np.uint32) << 16).view(np.float32)
        out[name] = torch.from_numpy(x.copy()).view(d["shape"])
    return out


def load_export(folder: Path) -> Cadre:
    """The model of an exported folder, in float32."""
    cfg = json.loads((folder / "config.json").read_text())
    known = Config().dict()
    model = Cadre(Config(**{k: v for k, v in cfg.items() if k in known})).eval()
    src = read_safetensors(folder / "model.safetensors")
    dst = tensors(model)
    assert set(src) == set(dst), set(src) ^ set(dst)
    for name, t in src.items():   # dst are views of the parameters
        dst[name].copy_(t)
    return model


def config(c: Config) -> dict:
    """config.json."""
    return {
        "architectures": ["CadreForCausalLM"], "model_type": "cadre", "torch_dtype": "bfloat16",
        "vocab_size": c.vocab_size, "hidden_size": c.hidden_size, "intermediate_size": c.intermediate_size,
        "moe_intermediate_size": c.moe_intermediate_size, "num_hidden_layers": c.num_hidden_layers,
        "num_attention_heads": c.num_attention_heads, "num_key_value_heads": c.num_attention_heads,
        "q_lora_rank": None, "kv_lora_rank": c.kv_lora_rank, "qk_nope_head_dim": c.qk_nope_head_dim,
        "qk_rope_head_dim": c.qk_rope_head_dim, "v_head_dim": c.v_head_dim,
        "n_routed_experts": c.n_routed_experts, "n_shared_experts": 1, "num_experts_per_tok": c.num_experts_per_tok,
        "first_k_dense_replace": c.first_k_dense_replace, "moe_layer_freq": 1, "topk_method": "noaux_tc",
        "n_group": 1, "topk_group": 1, "scoring_func": "sigmoid", "norm_topk_prob": True,
        "routed_scaling_factor": c.routed_scaling_factor, "rms_norm_eps": c.rms_norm_eps, "rope_theta": c.rope_theta,
        "rope_scaling": None, "max_position_embeddings": MAX_POSITIONS, "hidden_act": "silu", "attention_bias": False,
        "tie_word_embeddings": True, "bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD,
        "gate": {"type": "linear", "score": "sigmoid"},
    }


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--work", type=Path, required=True, help="folder with ckpt.pt and tokenizer.json")
    ap.add_argument("--out", type=Path, required=True, help="model folder")
    args = ap.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    state = torch.load(args.work / "ckpt.pt")
    model = Cadre(Config(**state["config"]))
    model.load_state_dict(state["model"])
    items = tensors(model)
    f32 = {n for n in items if n.endswith("e_score_correction_bias") or n.endswith("mlp.gate.weight")}
    write_safetensors(args.out / "model.safetensors", items, f32)

    def dump(name: str, doc: dict) -> None:
        (args.out / name).write_text(json.dumps(doc, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")

    dump("config.json", config(model.c))
    dump("generation_config.json", {"do_sample": True, "temperature": 0.7, "top_p": 0.9, "bos_token_id": BOS, "eos_token_id": EOS})
    dump("tokenizer_config.json", {"add_bos_token": False, "add_eos_token": False, "bos_token": SPECIALS[BOS], "eos_token": SPECIALS[EOS],
                                   "pad_token": SPECIALS[PAD], "unk_token": None, "clean_up_tokenization_spaces": False,
                                   "model_max_length": MAX_POSITIONS, "tokenizer_class": "PreTrainedTokenizerFast", "chat_template": TEMPLATE})
    Tokenizer.load(args.work / "tokenizer.json").save(args.out / "tokenizer.json")
    back = load_export(args.out)
    worst = max(float((a - b).abs().max()) for a, b in zip(tensors(back).values(), items.values()))
    print(f"step {state['step']}: {sum(t.numel() for t in items.values())} values, largest rounding {worst:.2e}")


if __name__ == "__main__":
    main()
