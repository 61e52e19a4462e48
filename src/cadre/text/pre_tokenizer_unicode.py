#!/usr/bin/env python3
"""Writes pre_tokenizer_unicode.inc: stand-ins for characters that PCRE2 10.42 classifies differently.

usage: pre_tokenizer_unicode.py DerivedGeneralCategory.txt   (of Unicode 16.0, from unicode.org)

Needs a Python whose `unicodedata` is of Unicode 14.0 (3.11), the version of PCRE2 10.42's tables. Each range
of code points whose general category differs gets one stand-in: the nearest code point that had the wanted
category already, takes as many UTF-8 bytes, and lies in the same of the literal ranges that the published
pre-tokenizer patterns name, so that replacing one by the other changes nothing else.
"""
import sys
import unicodedata

# CJK, kana, "U+0800 to U+4E00" and Hangul, ASCII-like punctuation: the ranges written out in the patterns.
RANGES = [(0x0800, 0x4E00), (0x4E00, 0x9FA5), (0xAC00, 0xD7FF), (0x3000, 0x3002), (0x3040, 0x30FF),
          (0x2018, 0x201F), (0xFF01, 0xFF5E)]
# The pattern of deepseek-llm lists most cased letters one by one, and no new one: a cased stand-in is chosen
# among these, which are not in that list.
CASED = ("Lu", "Ll", "Lt")
CASED_STAND_INS = {0x10C7, 0x2D00, 0xA7AE, 0xAB30, 0x1D400, 0x1D41A}


def membership(code_point):
    return tuple(first <= code_point <= last for first, last in RANGES)


def main():
    if unicodedata.unidata_version != "14.0.0":
        sys.exit(f"need the tables of Unicode 14.0.0, this Python has {unicodedata.unidata_version}")
    wanted = {}
    for line in open(sys.argv[1], encoding="utf-8"):
        fields = line.split("#")[0].split(";")
        if len(fields) == 2:
            first, _, last = fields[0].strip().partition("..")
            for code_point in range(int(first, 16), int(last or first, 16) + 1):
                wanted[code_point] = fields[1].strip()
    known = [unicodedata.category(chr(c)) for c in range(0x110000)]
    # `\s` of PCRE2 includes U+180E, which is white space neither for Unicode nor for Oniguruma.
    changed = [c for c in range(0x110000) if known[c] != wanted.get(c, "Cn")] + [0x180E]
    rows = []
    for code_point in sorted(changed):
        category = wanted[code_point]
        if rows and rows[-1][1] == code_point - 1 and rows[-1][2] == category and (
                membership(rows[-1][0]) == membership(code_point)):
            rows[-1][1] = code_point
        else:
            rows.append([code_point, code_point, category])
    print("// Written by pre_tokenizer_unicode.py: first, last and stand-in of each range; see there.")
    for first, last, category in rows:
        size = len(chr(first).encode())
        candidates = [c for c in range(0x80, 0x110000)
                      if known[c] == category and wanted[c] == category and c != 0x180E
                      and len(chr(c).encode()) == size and membership(c) == membership(first)
                      and (category not in CASED or c in CASED_STAND_INS)]
        stand_in = min(candidates, key=lambda c: abs(c - first))
        print(f"{{0x{first:05X}, 0x{last:05X}, 0x{stand_in:05X}}},  // {category}")



if __name__ == "__main__":
    main()
