#!/usr/bin/env python3
"""Runs clang-tidy over the program's sources in a build folder's compile_commands.json.

Tests, fuzz targets and benchmarks are left to the compilers' warnings: checking them would take longer than
running them.

What was clean once is not checked again until something that can change the verdict does: the source, a
header of ours that it includes (directly or not), its compile command, .clang-tidy, or clang-tidy itself.
"""

import argparse
import concurrent.futures
import functools
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


@functools.lru_cache(maxsize=None)
def digest_and_includes(path):
    data = path.read_bytes()
    includes = []
    for name in INCLUDE.findall(data.decode("utf-8", "replace")):
        for candidate in (ROOT / "src" / name, path.parent / name):
            if candidate.is_file():
                includes.append(candidate.resolve())
                break
    return hashlib.sha256(data).hexdigest(), includes


def closure(path):
    """`path` and all of our files it includes, with their digests, in a fixed order."""
    seen = {}
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen[file], includes = digest_and_includes(file)
            waiting.extend(includes)
    return sorted((str(file), digest) for file, digest in seen.items())


def read_commands(build):
    """Source -> its compile command; a source compiled for two targets once."""
    commands = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = pathlib.Path(entry["directory"], entry["file"]).resolve()
        program = ROOT / "src" in path.parents and not path.name.endswith("_test.cc")
        if path.suffix == ".cc" and program and path.is_file():
            commands.setdefault(path, entry["command"])
    return commands


def check(build, path):
    start = time.monotonic()
    run = subprocess.run(["clang-tidy", "-p", str(build), "--quiet", str(path)], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    report = run.stdout.strip()
    if run.returncode != 0 and not report:
        report = run.stderr.strip()
    return run.returncode == 0 and not report, report, time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--slowest", type=int, default=0, metavar="N", help="name the N slowest sources")
    options = parser.parse_args()

    version = subprocess.run(["clang-tidy", "--version"], check=True, stdout=subprocess.PIPE).stdout
    common = hashlib.sha256(version + (ROOT / ".clang-tidy").read_bytes()).hexdigest()
    stamps = options.build / "tidy"
    stamps.mkdir(exist_ok=True)

    pending = []
    commands = read_commands(options.build)
    for path, command in sorted(commands.items()):
        key = hashlib.sha256(json.dumps([common, command, closure(path)]).encode()).hexdigest()
        stamp = stamps / key
        if not stamp.exists():
            pending.append((path, stamp))

    start = time.monotonic()
    failed, times = 0, []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        running = {pool.submit(check, options.build, path): (path, stamp) for path, stamp in pending}
        for done, future in enumerate(concurrent.futures.as_completed(running), 1):
            path, stamp = running[future]
            clean, report, seconds = future.result()
            times.append((seconds, path))
            if clean:
                stamp.touch()
            else:
                failed += 1
                print(report, flush=True)
            if done % 20 == 0:
                print(f"    {done}/{len(pending)} sources", file=sys.stderr, flush=True)
    for seconds, path in sorted(times, reverse=True)[:options.slowest]:
        print(f"    {seconds:6.1f} s  {path.relative_to(ROOT)}")
    print(f"clang-tidy: {len(commands)} sources, {len(pending)} of them changed, checked in "
          f"{time.monotonic() - start:.0f} s: findings in {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
