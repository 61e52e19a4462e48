"""Byte-level BPE with the DeepSeek-V3 pre-tokenizer: training, encoding, tokenizer.json.

Needs only the standard library.  `\\p{..}` classes are built from unicodedata
because `re` does not know them.
"""
from __future__ import annotations

import heapq
import json
import re
import sys
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path
from typing import Iterable

SPECIALS = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>", "<｜User｜>", "<｜Assistant｜>"]
BOS, EOS, PAD, USER, ASSISTANT = range(5)

RX_DIGITS = r"\p{N}{1,3}"
RX_CJK = "[一-龥\u3040-ゟ゠-ヿ]+"
RX_WORDS = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"""
            r"|\s*[\r\n]+|\s+(?!\S)|\s+")
PRE_TOKENIZER = {"type": "Sequence", "pretokenizers": [
    {"type": "Split", "pattern": {"Regex": rx.replace("\\r", "\r").replace("\\n", "\n")}, "behavior": "Isolated", "invert": False} for rx in (RX_DIGITS, RX_CJK, RX_WORDS)
] + [{"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}
WHITE = "\\t\\n\\x0b\\x0c\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"


def _class(major: str) -> str:
    """Inside of a character class for one Unicode major category."""
    out, start, prev = [], None, None
    for c in range(sys.maxunicode + 2):
        hit = c <= sys.maxunicode and unicodedata.category(chr(c))[0] == major
        if hit and start is None:
            start = c
        if not hit and start is not None:
            out.append(f"\\U{start:08x}-\\U{prev:08x}" if prev != start else f"\\U{start:08x}")
            start = None
        prev = c
    return "".join(out)


def _to_re(pattern: str) -> re.Pattern[str]:
    for m in "LNPSM":
        if f"\\p{{{m}}}" in pattern:
            body = _class(m)
            pattern = pattern.replace(f"[\\p{{{m}}}]", f"[{body}]") if f"[\\p{{{m}}}]" in pattern else pattern
            pattern = re.sub(r"(?<![\w\[])\\p\{%s\}(?=\{)" % m, lambda _: f"[{body}]", pattern)
            pattern = pattern.replace(f"\\p{{{m}}}", body)
    return re.compile(pattern.replace("\\s", f"[{WHITE}]").replace("\\S", f"[^{WHITE}]"))


class PreTokenizer:
    """Sequential Isolated splits."""

    def __init__(self) -> None:
        self.rx = [_to_re(p) for p in (RX_DIGITS, RX_CJK, RX_WORDS)]

    def split(self, text: str) -> list[str]:
        """Pieces of a text without special tokens."""
        pieces = [text]
        for rx in self.rx:
            nxt: list[str] = []
            for p in pieces:
                at = 0
                for m in rx.finditer(p):
                    if m.start() > at:
                        nxt.append(p[at:m.start()])
                    if m.end() > m.start():
                        nxt.append(m.group())
                    at = m.end()
                if at < len(p):
                    nxt.append(p[at:])
            pieces = nxt
        return pieces


def byte_chars() -> list[str]:
    """GPT-2 byte to printable character table."""
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table, n = [""] * 256, 0
    for b in range(256):
        if b in keep:
            table[b] = chr(b)
        else:
            table[b] = chr(256 + n)
            n += 1
    return table


def train_bpe(counts: Counter[str], size: int) -> list[tuple[int, int]]:
    """Merges as id pairs; ids are 5 specials, 256 bytes, then merges. Digits are never merged."""
    words, freq = [], []
    for w, n in counts.items():
        if not any(ch.isdigit() for ch in w):
            words.append([5 + b for b in w.encode()])
            freq.append(n)
    pairs: Counter[tuple[int, int]] = Counter()
    where: dict[tuple[int, int], set[int]] = defaultdict(set)
    for i, w in enumerate(words):
        for p in zip(w, w[1:]):
            pairs[p] += freq[i]
            where[p].add(i)
    heap = [(-n, p) for p, n in pairs.items()]
    heapq.heapify(heap)
    merges: list[tuple[int, int]] = []
    while len(merges) < size - 261 and heap:
        n, p = heapq.heappop(heap)
        if pairs.get(p, 0) != -n:
            if pairs.get(p, 0) > 0:
                heapq.heappush(heap, (-pairs[p], p))
            continue
        new = 261 + len(merges)
        merges.append(p)
        touched: set[tuple[int, int]] = set()
        for i in where.pop(p):
            w, f = words[i], freq[i]
            for q in zip(w, w[1:]):
                pairs[q] -= f
                touched.add(q)
            out, k = [], 0
            while k < len(w):
                if k + 1 < len(w) and w[k] == p[0] and w[k + 1] == p[1]:
                    out.append(new)
                    k += 2
                else:
                    out.append(w[k])
                    k += 1
            words[i] = out
            for q in zip(out, out[1:]):
                pairs[q] += f
                where[q].add(i)
                touched.add(q)
        for q in touched:
            if pairs[q] > 0:
                heapq.heappush(heap, (-pairs[q], q))
        pairs.pop(p, None)
    return merges


class Tokenizer:
    """Encoder/decoder for trained merges."""

    def __init__(self, merges: list[tuple[int, int]]) -> None:
        self.merges = merges
        self.rank = {p: i for i, p in enumerate(merges)}
        self.bytes = [s.encode() for s in SPECIALS] + [bytes([b]) for b in range(256)]
        for x, y in merges:
            self.bytes.append(self.bytes[x] + self.bytes[y])
        self.pre = PreTokenizer()
        self.cache: dict[str, list[int]] = {}
        self.special = re.compile("(" + "|".join(map(re.escape, SPECIALS)) + ")")

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Read a tokenizer.json written by `save`."""
        model = json.loads(path.read_text(encoding="utf-8"))["model"]
        return cls([tuple(model["vocab"][s] for s in m.split(" ")) for m in model["merges"]])  # type: ignore[misc]

    def word(self, w: str) -> list[int]:
        """BPE of one piece."""
        hit = self.cache.get(w)
        if hit is not None:
            return hit
        ids = [5 + b for b in w.encode()]
        while len(ids) > 1:
            r, i = min((self.rank.get(p, 1 << 30), i) for i, p in enumerate(zip(ids, ids[1:])))
            if r == 1 << 30:
                break
            ids[i:i + 2] = [261 + r]
        self.cache[w] = ids
        return ids

    def encode(self, text: str) -> list[int]:
        """Ids of a text without special tokens."""
        out: list[int] = []
        for w in self.pre.split(text):
            out += self.word(w)
        return out

    def encode_all(self, text: str) -> list[int]:
        """Ids of a text in which special tokens are written out."""
        out: list[int] = []
        for part in self.special.split(text):
            out += [SPECIALS.index(part)] if part in SPECIALS else self.encode(part)
        return out

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids, specials included."""
        return b"".join(self.bytes[i] for i in ids).decode("utf-8", "replace")

    def save(self, path: Path) -> None:
        """Write tokenizer.json."""
        table = byte_chars()
        text = [*SPECIALS] + ["".join(table[b] for b in w) for w in self.bytes[5:]]
        added = [{"id": i, "content": s, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
                 for i, s in enumerate(SPECIALS)]
        doc = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
               "normalizer": {"type": "Sequence", "normalizers": []}, "pre_tokenizer": PRE_TOKENIZER,
               "post_processor": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
               "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
               "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                         "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                         "vocab": {s: i for i, s in enumerate(text)},
                         "merges": [f"{text[x]} {text[y]}" for x, y in self.merges]}}
        path.write_text(json.dumps(doc, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
