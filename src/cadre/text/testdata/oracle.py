#!/usr/bin/python3
"""Fills in the expected outputs of jinja_cases.json and chat_template_cases.json.

    oracle.py jinja_cases.json
    oracle.py chat_template_cases.json FOLDER_OF_TEMPLATES

Needs Jinja2 3.1 (Debian: python3-jinja2). The environment has the settings of Hugging Face's
apply_chat_template. Two additions: `from_json`, which templates in circulation use, and a tojson that takes
the lazy results of map() and its like.
"""
import copy
import datetime
import json
import sys
import types

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = datetime.datetime(2025, 7, 26, 14, 0, 0)
BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"


class Generation(Extension):
    """{% generation %}, which prints its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def lazy(value):
        if isinstance(value, types.GeneratorType):
            return list(value)
        raise TypeError(type(value).__name__)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys, default=lazy)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[Generation, "jinja2.ext.loopcontrols"])
    env.filters["tojson"] = tojson
    env.filters["from_json"] = json.loads
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


def render(text, variables):
    """The output, or None for an error."""
    try:
        return environment().from_string(text).render(**copy.deepcopy(variables))
    except Exception:  # whatever goes wrong in a template is an error of the template
        return None


def main():
    path = sys.argv[1]
    data = json.load(open(path, encoding="utf-8"))
    if "context" in data:
        data["cases"] = [[text, render(text, data["context"])] for text, _ in data["cases"]]
    else:
        for case in data["cases"]:
            text = open(f"{sys.argv[2]}/{case['template']}", encoding="utf-8").read()
            request = data["requests"][case["request"]]
            variables = {"tools": None, "documents": None, "bos_token": BOS, "eos_token": EOS,
                         "add_generation_prompt": True, **request, **case["options"]}
            case["output"] = render(text, variables)
    lines = ",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in data.pop("cases"))
    head = json.dumps(data, ensure_ascii=False, indent=1)[:-2]
    open(path, "w", encoding="utf-8").write(f'{head},\n "cases": [\n{lines}\n ]\n}}\n')


main()
