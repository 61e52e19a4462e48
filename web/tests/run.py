#!/usr/bin/env python3
"""Runs a part of the web page's tests, or says why it cannot.

  run.py unit|dist|page

unit: the parts without a browser; dist: the committed page is what the sources give; page: the page in a browser,
against the mock server or the one that CADRE_URL names. Exits with 77, as a skip, where node, the installed npm
packages (`./dev web` installs them) or chromium are missing.
"""

import pathlib
import re
import shutil
import subprocess
import sys

WEB = pathlib.Path(__file__).resolve().parent.parent
NODE = (20, 19)
COMMANDS = {
    "unit": ["--test", "tests/unit/"],
    "dist": ["tests/reproducible.js"],
    "page": ["--test", "--test-reporter=spec", "tests/browser/"],
}


def missing(part):
    """Why the part cannot run; None if it can."""
    if not shutil.which("node"):
        return "no node"
    found = subprocess.run(["node", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    if tuple(int(number) for number in re.findall(r"\d+", found)[:2]) < NODE:
        return f"node {'.'.join(map(str, NODE))} or newer needed, {found} found"
    if not (WEB / "node_modules" / ".package-lock.json").is_file():
        return "the web page's npm packages are not installed (./dev web)"
    if part == "page":
        ask = "import('./tests/browser/browser.js').then(({ haveChromium }) => process.exit(haveChromium() ? 0 : 1))"
        if subprocess.run(["node", "--eval", ask], cwd=WEB).returncode != 0:
            return "no chromium"
    return None


def main(arguments):
    if len(arguments) != 2 or arguments[1] not in COMMANDS:
        print(__doc__, file=sys.stderr)
        return 2
    reason = missing(arguments[1])
    if reason:
        # In the form that tools/dev/test.sh collects reasons from.
        print(f"{pathlib.Path(__file__).name}:1: Skipped\n{reason}")
        return 77
    return subprocess.run(["node", *COMMANDS[arguments[1]]], cwd=WEB).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv))
