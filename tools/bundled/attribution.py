#!/usr/bin/python3
"""List title, author, source and licence of every book used (ATTRIBUTION.md of the model folder)."""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "corpus"))

from assemble import rows   # noqa: E402

MAKERS = {"asp-source": "African Storybook (Global African Storybook Project text, github.com/global-asp/asp-source)",
          "pb-source": "Pratham Books StoryWeaver (Global Pratham Books Project text, github.com/global-asp/pb-source)"}


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--data", type=Path, required=True, help="folder with childrens-books.jsonl.xz")
    ap.add_argument("--out", type=Path, required=True, help="model folder")
    args = ap.parse_args()
    lines = ["# Texts the model was trained on", "",
             "Whitespace and quotation marks were simplified and the texts cut into tokens; nothing else was changed. A few documents of each",
             "source were held out of the training at random.", "",
             "- Task dialogues: the Schema-Guided Dialogue data set (Google Research; Rastogi, Zang, Sunkara, Gupta, Khaitan 2020), training part,",
             "  utterances only, github.com/google-research-datasets/dstc8-schema-guided-dialogue, CC-BY-SA-4.0.",
             "- Questions about tales: FairytaleQA (github.com/uci-soe/FairytaleQAData), training split, Apache-2.0.",
             "- Word problems: GSM8K (github.com/openai/grade-school-math), training split, MIT, Copyright (c) 2021 OpenAI.",
             "- Requests of many kinds: seed tasks of Self-Instruct (github.com/yizhongw/self-instruct), Apache-2.0.",
             "- Fairy tales: Project Gutenberg texts (public domain) as collected for FairytaleQA (github.com/uci-soe/FairytaleQAData, Apache-2.0).",
             "- Children's books below: CC-BY-4.0 (creativecommons.org/licenses/by/4.0).", ""]
    for key, maker in MAKERS.items():
        lines += [f"## {maker}", "", "| title | author |", "| --- | --- |"]
        for r in rows(args.data / "childrens-books.jsonl.xz"):
            if r["src"].startswith(key):
                title, author = (str(r.get(k) or "not given").replace("|", "/").replace("\n", " ") for k in ("title", "author"))
                lines.append(f"| {title} | {author} |")
        lines.append("")
    (args.out / "ATTRIBUTION.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
