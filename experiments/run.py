#!/usr/bin/env python3
"""Run an experiment: the same training with one thing changed, several seeds of each arm, and a table of what came out.

  run.py NAME --cadre PROGRAM --work DIR [--seeds N] [--threads N] [--docs FILE]

NAME.json beside this file has for each arm what differs in it from base.json, a configuration of `cadre train`. DIR is what
prepare.py made. Every run goes to DIR/NAME/ARM-SEED (DIR/base/SEED if nothing differs) and is not repeated when it is there; an
interrupted one goes on. The table has means over seeds with 95 % intervals (Student's t). With --docs, it replaces the
experiment's section of that document, and its plot is written to images/experiment-NAME.svg beside it. Needs only the standard
library and the program.
"""
from __future__ import annotations

import argparse
import functools
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
# Two-sided 95 % points of Student's t for 1, 2, ... degrees of freedom.
STUDENT = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262]
COLOURS = ["#3b7dd8", "#d9662c", "#3a9a5b", "#9b59b6", "#b8860b", "#555555", "#c0397b", "#2aa198"]


def merged(base: dict, patch: dict) -> dict:
    """A JSON merge patch (RFC 7396)."""
    result = dict(base)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


class Run:
    """One finished run of training."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        self.checkpoint = max(folder.glob("step-*"))
        self.state = json.loads((self.checkpoint / "training.json").read_text(encoding="utf-8"))

    def held_out(self) -> float:
        return [x["held_out_loss"] for x in self.log if "held_out_loss" in x][-1]

    def routing(self, name: str) -> float:
        return self.log[-1]["routing"][name] if "routing" in self.log[-1] else math.nan

    def dead(self) -> float:
        """Experts that got less than a tenth of their layer's mean over the whole run."""
        return float(sum(10 * c * len(layer) < sum(layer) for layer in self.state["routing"]["total"] for c in layer))

    def drop_rate(self) -> float:
        return statistics.fmean(x["routing"]["drop_rate"] for x in self.log) if "routing" in self.log[-1] else math.nan


class Experiment:
    def __init__(self, name: str, args: argparse.Namespace) -> None:
        self.name, self.args = name, args
        self.plan = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
        self.base = json.loads((HERE / "base.json").read_text(encoding="utf-8"))
        self.folder = args.work / name

    def config(self, arm: dict, seed: int, out: Path) -> dict:
        return merged(self.base, arm) | {"tokenizer": str(self.args.work.resolve() / "tokenizer"), "data": str(self.args.work.resolve() / "shards"),
                         "seed": seed, "out": str(out.resolve())}

    def train(self, arm: str, seed: int) -> Run:
        changes = self.plan["arms"][arm]
        # Most experiments have an arm that changes nothing: one run serves them all.
        out = self.folder / f"{arm}-{seed}" if changes else self.args.work / "base" / str(seed)
        config = self.config(changes, seed, out)
        if not (out / f"step-{config['steps']:08d}").exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            path = out.with_name(f"{out.name}.json")
            path.write_text(json.dumps(config, indent=1), encoding="utf-8")
            print(f"{self.name}: {arm}, seed {seed}", file=sys.stderr)
            subprocess.run([self.args.cadre, "train", str(path), "--resume", "-t", str(self.args.threads)], check=True)
        return Run(out)

    def measure(self, command: str, run: Run, *arguments: str) -> dict:
        """What the program says of a run's model and the text kept back."""
        program = [self.args.cadre, command, str(run.checkpoint), str(self.args.work / "text.txt"), "--ctx", "256",
                   "-t", str(self.args.threads), "--json"]
        return json.loads(subprocess.run([*program, *arguments], check=True, capture_output=True, text=True).stdout)

    def loss(self, run: Run, *arguments: str) -> float:
        """Nats a token."""
        return math.log(self.measure("perplexity", run, *arguments)["perplexity"])

    @functools.cache
    def falling_back(self, run: Run, rate: float) -> dict:
        with tempfile.TemporaryDirectory() as folder:
            return self.measure("calibrate", run, "--rate", str(rate), "--random", "--out", f"{folder}/model")

    def cost(self, run: Run, rate: float, how: str) -> float:
        found = self.falling_back(run, rate)
        return found[f"nats_per_token_with_{how}"] - found["nats_per_token"]

    def columns(self) -> dict[str, Callable[[Run], float]]:
        measures: dict[str, Callable[[Run], float]] = {
            "held-out loss": Run.held_out, "MaxVio of the run": lambda r: r.routing("max_vio_global"), "dead experts": Run.dead,
            "drop rate": Run.drop_rate}
        columns = {name: measures[name] for name in self.plan["measures"]}
        for k in self.plan.get("experts", []):
            columns[f"loss at k = {k}"] = lambda run, k=k: self.loss(run, "--experts", str(k))
        for rate in self.plan.get("fallback_rates", []):
            columns[f"cost of {rate:.0%} falling back"] = lambda run, rate=rate: self.cost(run, rate, "fallback")
            columns[f"of {rate:.0%} at random"] = lambda run, rate=rate: self.cost(run, rate, "random_fallback")
        if "fallback_rates" in self.plan:
            columns["of all"] = lambda run: self.loss(run, "--fallback", "force") - self.loss(run)
        return columns


def interval(values: list[float]) -> str:
    """Mean and half-width of its 95 % interval."""
    mean = statistics.fmean(values)
    if math.isnan(mean):
        return "-"
    if len(values) < 2:
        return f"{mean:.4g}"
    half = STUDENT[min(len(values) - 2, len(STUDENT) - 1)] * statistics.stdev(values) / math.sqrt(len(values))
    digits = 1 if mean >= 100 else 4 if mean < 10 and mean != round(mean) else 2
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


def dense_equivalent(losses: dict[float, list[float]], loss: list[float]) -> str:
    """The size n at which dense models have the MoE's loss, by a fit of loss = a - b ln n; the interval is a bootstrap's over seeds."""
    def size(seeds: Sequence[int]) -> float:
        points = [(math.log(n), of_size[seed]) for n, of_size in losses.items() for seed in seeds]
        slope, intercept = statistics.linear_regression(*zip(*points))
        log_size = (statistics.fmean(loss[seed] for seed in seeds) - intercept) / slope
        return math.exp(log_size) if slope < 0 and log_size < 10 else math.inf

    rng = random.Random(1)
    seeds = range(len(loss))
    drawn = sorted(size(rng.choices(seeds, k=len(seeds))) for _ in range(2000))
    number = lambda x: f"{x:.2f}" if math.isfinite(x) else "no bound"
    return (f"By a fit of loss = a - b ln n through the dense arms, the MoE is worth a dense model of {number(size(seeds))} times its active "
            f"width (95 % of bootstraps over seeds: {number(drawn[50])} to {number(drawn[-51])}).\n")


def curves(title: str, lines: dict[str, list[tuple[float, float]]]) -> str:
    """Held-out loss by step as SVG."""
    width, height, left, bottom, top = 760, 300, 56, 36, 34
    xs = [x for line in lines.values() for x, _ in line]
    ys = [y for line in lines.values() for _, y in line]
    low, high = min(ys), sorted(ys)[int(0.98 * (len(ys) - 1))]
    high = max(high, low + 1e-6)
    place = lambda x, y: (left + x / max(xs) * (width - left - 16), height - bottom - (min(y, high) - low) / (high - low) * (height - top - bottom))
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
           f'<rect width="{width}" height="{height}" fill="white"/>', f'<text x="{left}" y="18" font-size="13" font-weight="600">{title}</text>']
    for i in range(5):
        y = low + (high - low) * i / 4
        svg.append(f'<line x1="{left}" x2="{width - 16}" y1="{place(0, y)[1]:.1f}" y2="{place(0, y)[1]:.1f}" stroke="#ddd"/>'
                   f'<text x="{left - 6}" y="{place(0, y)[1] + 4:.1f}" text-anchor="end" fill="#667">{y:.2f}</text>')
    svg.append(f'<text x="{width - 16}" y="{height - 8}" text-anchor="end" fill="#667">step, to {max(xs):g}</text>')
    for i, (name, line) in enumerate(lines.items()):
        points = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in line)
        svg.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[i % len(COLOURS)]}" stroke-width="1.6"/>'
                   f'<text x="{width - 24}" y="{top + 16 + 14 * i}" text-anchor="end" fill="{COLOURS[i % len(COLOURS)]}">{name}</text>')
    return "\n".join(svg + ["</svg>", ""])


def mean_curve(runs: list[Run]) -> list[tuple[float, float]]:
    lines = [[(x["step"], x["held_out_loss"]) for x in run.log if "held_out_loss" in x] for run in runs]
    return [(points[0][0], statistics.fmean(y for _, y in points)) for points in zip(*lines)]


def replace_section(document: Path, name: str, section: str) -> None:
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    text = document.read_text(encoding="utf-8")
    before, found, rest = text.partition(begin)
    if not found:
        sys.exit(f"{document}: there is no line {begin.strip()}")
    temporary = document.with_name(document.name + ".partial")
    temporary.write_text(before + begin + section + end + rest.partition(end)[2], encoding="utf-8")
    temporary.replace(document)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="an experiment: " + ", ".join(sorted(p.stem for p in HERE.glob("*.json") if p.stem != "base")))
    parser.add_argument("--cadre", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--docs", type=Path)
    args = parser.parse_args()
    if not (HERE / f"{args.name}.json").exists():
        parser.error(f"no experiment '{args.name}'")
    experiment = Experiment(args.name, args)
    runs = {arm: [experiment.train(arm, seed) for seed in range(1, args.seeds + 1)] for arm in experiment.plan["arms"]}
    columns = experiment.columns()
    rows = ["| arm | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
    for arm, of_arm in runs.items():
        rows.append(f"| {arm} | " + " | ".join(interval([measure(run) for run in of_arm]) for measure in columns.values()) + " |")
    table = "\n".join(rows) + "\n"
    if fit := experiment.plan.get("equivalent"):
        losses = {arm: [run.held_out() for run in of_arm] for arm, of_arm in runs.items()}
        table += "\n" + dense_equivalent({n: losses[arm] for arm, n in fit["sizes"].items()}, losses[fit["arm"]])
    print(table)
    if args.docs:
        plot = f"experiment-{args.name}.svg"
        (args.docs.parent / "images").mkdir(exist_ok=True)
        (args.docs.parent / "images" / plot).write_text(
            curves(experiment.plan["title"] + ": held-out loss", {arm: mean_curve(of_arm) for arm, of_arm in runs.items()}), encoding="utf-8")
        replace_section(args.docs, args.name, f"{table}\n![held-out loss by step](images/{plot})\n")


if __name__ == "__main__":
    main()
