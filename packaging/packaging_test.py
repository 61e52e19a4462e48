#!/usr/bin/env python3
"""What a package installs beside the program is in order.

  packaging_test.py CADRE

The manual and the completions that CADRE prints, the systemd unit and the dashboard. What a tool would check that is
not there (man, zsh, fish, systemd-analyze) is skipped.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
CADRE = None


def run(*command, text=None, rc=0):
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != rc:
        raise AssertionError(f"{command}: exit code {done.returncode}, not {rc}\n{done.stderr}")
    return done.stdout


def needs(program):
    return unittest.skipUnless(shutil.which(program), f"no {program}")


def commands():
    """The commands of --help that exist already."""
    listed = run(CADRE, "--help").partition("Subcommands:")[2]
    return [line.split()[0] for line in listed.splitlines() if line.startswith("  ") and "(not there yet)" not in line]


def flags(*command):
    """The flags at the beginning of the lines of a command's --help."""
    rows = re.findall(r"^  (-\S.*)$", run(CADRE, *command, "--help"), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"--[a-z][\w-]*", row.split("  ")[0])}


class Manual(unittest.TestCase):
    def test_names_every_command_and_flag(self):
        page = run(CADRE, "man").replace("\\-", "-").replace("\\fB", "").replace("\\fR", "")
        for command in commands():
            self.assertRegex(page, rf'\.SS "cadre {command}\b')
            for flag in flags(command) - {"--help"}:
                self.assertRegex(page, rf"(?m)^(-\w, )?.*{flag}\b", f"{command} {flag}")
        self.assertNotIn("(not there yet)", page)
        self.assertIn("CADRE_KV_TYPE", page)

    @needs("groff")
    def test_is_sound_roff(self):
        done = subprocess.run(["groff", "-ww", "-man", "-Tutf8"], input=run(CADRE, "man"), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(done.stderr, "")
        self.assertIn("cadre data prepare", re.sub(r"\x1b\[[\d;]*m|.\x08", "", done.stdout))


class Completions(unittest.TestCase):
    def complete(self, *words):
        script = run(CADRE, "completion", "bash")
        line = " ".join(f"'{word}'" for word in words)
        script += f'\nCOMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _cadre; printf "%s\\n" "${{COMPREPLY[@]}}"\n'
        return run("bash", "-eu", text=script).split()

    def test_bash_completes_commands(self):
        self.assertEqual(set(self.complete("cadre", "")), set(commands()))
        self.assertEqual(self.complete("cadre", "ser"), ["serve"])
        self.assertEqual(set(self.complete("cadre", "data", "")), {"tokenizer", "prepare"})

    def test_bash_completes_flags(self):
        for command in commands():
            self.assertLessEqual(flags(command), set(self.complete("cadre", command, "--")), command)
        self.assertEqual(self.complete("cadre", "run", "--model", "serve", "--raw", "--kv-t"), ["--kv-type"])
        self.assertIn("--version", self.complete("cadre", "--"))

    def test_bash_leaves_file_names_to_the_shell(self):
        self.assertEqual(self.complete("cadre", "run", "./mod"), [])

    @needs("zsh")
    def test_zsh_reads_its_own(self):
        run("zsh", "-n", "/dev/stdin", text=run(CADRE, "completion", "zsh"))

    @needs("fish")
    def test_fish_completes(self):
        script = run(CADRE, "completion", "fish")
        run("fish", "-n", text=script)
        script += "complete -C 'cadre ser'\ncomplete -C 'cadre serve --kv-t'\ncomplete -C 'cadre data '\n"
        offered = {line.split("\t")[0] for line in run("fish", "--no-config", text=script).splitlines()}
        self.assertLessEqual({"serve", "--kv-type", "tokenizer", "prepare"}, offered)

    def test_another_shell_is_wrong_usage(self):
        run(CADRE, "completion", "tcsh", rc=2)


class Files(unittest.TestCase):
    @needs("systemd-analyze")
    def test_unit(self):
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(ROOT / "packaging" / "cadre.service")],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        told = [line for line in done.stdout.splitlines() if "is not executable" not in line]
        self.assertEqual([line for line in told if "cadre.service" in line], [])

    def test_dashboard_asks_for_metrics_that_exist(self):
        board = json.loads((ROOT / "docs" / "grafana.json").read_text())
        known = (ROOT / "src" / "cadre" / "server" / "metrics.cc").read_text()
        asked = set(re.findall(r"\bcadre_[a-z_]+", json.dumps(board["panels"])))
        self.assertGreater(len(asked), 15)
        for name in sorted(asked):
            self.assertIn(f'"{re.sub("_bucket$", "", name)}"', known.replace("{{", '"'), name)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    CADRE = sys.argv.pop(1)
    unittest.main()
