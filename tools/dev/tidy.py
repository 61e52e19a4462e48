#!/usr/bin/env python3
"""Runs clang-tidy over the program's sources in a build folder's compile_commands.json.

Tests, fuzz targets and benchmarks are left to the compilers' warnings: checking them would take longer than
running them.

What was clean once is not checked again until something that can change the verdict does: the source, a
header of ours that it includes (directly or not), its compile command, .clang-tidy, or clang-tidy itself.

Nearly all the time goes into the headers of others, so sources of the same options are checked several at a time,
as one source that includes them. Those in which that finds something are then checked alone: it may only be that two
of them define the same name.
"""

import argparse
import concurrent.futures
import functools
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BATCH = 8  # sources
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


def read_options(build):
    """Source -> what it is compiled with, less its own name; a source compiled for two targets once."""
    found = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = pathlib.Path(entry["directory"], entry["file"]).resolve()
        program = ROOT / "src" in path.parents and not path.name.endswith("_test.cc")
        if path.suffix == ".cc" and program and path.is_file():
            options = shlex.split(entry["command"])[1:]
            for flag in "-o", "-c":
                at = options.index(flag)
                del options[at:at + 2]
            found.setdefault(path, tuple(options))
    return found


def batches(options_of, pending):
    """Lists of up to BATCH of the `pending` sources, of one folder and with the same options."""
    groups = {}
    for path in pending:
        groups.setdefault((path.parent, options_of[path]), []).append(path)
    return [group[at:at + BATCH] for group in groups.values() for at in range(0, len(group), BATCH)]


def check(source, options):
    """Whether clang-tidy finds nothing, and what it reports."""
    # -w: warnings of the compiler come from the builds; here one source's name may shadow another's.
    run = subprocess.run(["clang-tidy", "--quiet", source, "--", *options, "-w"], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    report = run.stdout.strip()
    if run.returncode != 0 and not report:
        report = run.stderr.strip()
    return run.returncode == 0 and not report, report


def check_batch(folder, batch, options):
    """(source, report) of each source that is not clean."""
    if len(batch) == 1:
        clean, report = check(batch[0], options)
        return [] if clean else [(batch[0], report)]
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".cc") as together:  # below .clang-tidy
        together.write("".join(f'#include "{path}"\n' for path in batch))
        together.flush()
        clean, report = check(together.name, options)
    if clean:
        return []
    alone = [path for path in batch if f"{path}:" in report] or batch
    others = [path for path in batch if path not in alone]
    parts = [[path] for path in alone] + ([others] if others else [])
    return [finding for part in parts for finding in check_batch(folder, part, options)]


def timed(function, *arguments):
    start = time.monotonic()
    return function(*arguments), time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--slowest", type=int, default=0, metavar="N", help="name the N slowest batches of sources")
    arguments = parser.parse_args()

    version = subprocess.run(["clang-tidy", "--version"], check=True, stdout=subprocess.PIPE).stdout
    common = hashlib.sha256(version + (ROOT / ".clang-tidy").read_bytes()).hexdigest()
    stamps = arguments.build / "tidy"
    stamps.mkdir(exist_ok=True)

    pending = {}
    options_of = read_options(arguments.build)
    for path, options in sorted(options_of.items()):
        key = hashlib.sha256(json.dumps([common, options, closure(path)]).encode()).hexdigest()
        if not (stamps / key).exists():
            pending[path] = stamps / key

    start = time.monotonic()
    failed, done, times = 0, 0, []
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        running = {pool.submit(timed, check_batch, stamps, batch, options_of[batch[0]]): batch
                   for batch in batches(options_of, pending)}
        for future in concurrent.futures.as_completed(running):
            batch = running[future]
            reports, seconds = future.result()
            for path in set(batch) - {path for path, _ in reports}:
                pending[path].touch()
            for _, report in reports:
                print(report, flush=True)
            failed += len(reports)
            done += len(batch)
            times.append((seconds, batch))
            print(f"    {done}/{len(pending)} sources", file=sys.stderr, flush=True)
    for seconds, batch in sorted(times, reverse=True)[:arguments.slowest]:
        print(f"    {seconds:6.1f} s  {batch[0].parent.relative_to(ROOT)}: {' '.join(path.name for path in batch)}")
    print(f"clang-tidy: {len(options_of)} sources, {len(pending)} of them changed, checked in "
          f"{time.monotonic() - start:.0f} s: findings in {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
