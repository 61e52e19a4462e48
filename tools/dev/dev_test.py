#!/usr/bin/env python3
"""./dev on imagined machines: every program that it would install or build with is a stand-in."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

# What any Debian has, even the smallest.
PLAIN_TOOLS = ("bash env readlink dirname basename cat awk grep tail touch mkdir mv rm nproc tee sort sed "
               "xargs printf chmod true").split()

# Programs of the imagined machine. $MACHINE is a folder: `installed` lists its packages, `calls` what was done.
STAND_INS = {
    "dpkg-query": r"""
for package in "$@"; do
  case $package in -*) continue ;; esac
  if grep -qxF -- "$package" "$MACHINE/installed"; then echo "$package installed"; else missing=1; fi
done
exit ${missing:-0}""",
    "apt-get": r"""
echo "apt-get $*" >> "$MACHINE/calls"
case " $* " in
  *" update "*) touch "$MACHINE/updated"; exit 0 ;;
esac
if [ -f "$MACHINE/needs_update" ] && [ ! -f "$MACHINE/updated" ]; then echo "E: 404"; exit 100; fi
if [ -f "$MACHINE/broken" ]; then echo "E: no such package"; exit 100; fi
for word in "$@"; do echo "$word" >> "$MACHINE/installed"; done""",
    "find": r"""
if [ "$1" = /var/lib/apt/lists ]; then
  [ ! -f "$MACHINE/lists_are_fresh" ] || echo "$1/x_Packages"
  exit 0
fi
exec "$MACHINE/bin/real_find" "$@" """,
    "id": 'cat "$MACHINE/uid"',
    "sudo": r"""
echo "sudo $*" >> "$MACHINE/calls"
[ "$1" = -n ] && shift
if [ -f "$MACHINE/sudo_refuses" ]; then echo "sudo: a password is required" >&2; exit 1; fi
exec "$@" """,
    "cmake": r"""
echo "cmake $*" >> "$MACHINE/calls"
if [ "$1" = --preset ]; then
  touch "build/$2/build.ninja" "build/$2/CMakeCache.txt"
else
  echo CADRE_BENCH:BOOL=ON > "$2/CMakeCache.txt"
fi""",
    "ninja": r"""
echo "ninja $*" >> "$MACHINE/calls"
if [ -f "$MACHINE/does_not_compile" ]; then echo "error: expected ';'"; exit 1; fi
mkdir -p "$2/bin" "$2/bench"
printf '#!/bin/sh\necho "bench $*"\n' > "$2/bench/kernel_bench"
chmod +x "$2/bench/kernel_bench"
printf '#!/bin/sh\necho "cadre $*"\npwd\nexit 7\n' > "$2/bin/cadre"
chmod +x "$2/bin/cadre" """,
    "ctest": r"""
echo "ctest $*" >> "$MACHINE/calls"
if [ -f "$MACHINE/test_fails" ]; then echo "50% tests passed, 1 tests failed out of 2"; exit 8; fi
mkdir -p "$2/Testing/Temporary"
printf 'x_test.cc:3: Skipped\nno data here\n\n' > "$2/Testing/Temporary/LastTest.log"
echo "100% tests passed, 0 tests failed out of 2"; echo; echo "Total Test time (real) = 1 sec" """,
}


class DevTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name, "tree")
        self.machine = pathlib.Path(folder.name, "machine")
        self.bin = self.machine / "bin"
        self.bin.mkdir(parents=True)
        for name in PLAIN_TOOLS:
            path = shutil.which(name)
            if path:
                (self.bin / name).symlink_to(path)
        (self.bin / "real_find").symlink_to(shutil.which("find"))
        for name, body in STAND_INS.items():
            (self.bin / name).write_text("#!/bin/sh\n" + body.strip() + "\n")
            (self.bin / name).chmod(0o755)
        (self.machine / "installed").write_text("")
        (self.machine / "calls").write_text("")
        (self.machine / "uid").write_text("0\n")
        shutil.copytree(ROOT / "tools" / "dev", self.root / "tools" / "dev")
        shutil.copy(ROOT / "dev", self.root / "dev")
        for name in ("src/a.cc", "cmake/b.cmake", "CMakeLists.txt", "CMakePresets.json"):
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text("")

    def dev(self, *arguments, cwd=None, **environment):
        run = subprocess.run([self.root / "dev", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, cwd=cwd or self.root,
                             env={"PATH": str(self.bin), "MACHINE": str(self.machine), **environment})
        return run.returncode, run.stdout, run.stderr

    def calls(self, program):
        calls = (self.machine / "calls").read_text().splitlines()
        (self.machine / "calls").write_text("")
        return [call for call in calls if call.startswith(program + " ")]

    def mark(self, name):
        (self.machine / name).touch()

    def test_run_on_a_bare_machine_installs_builds_and_runs(self):
        code, output, errors = self.dev("run", "-p", "two words", cwd="/")
        self.assertEqual(code, 7, errors)  # the program's own exit code
        self.assertEqual(output, "cadre run -p two words\n/\n")  # nothing else on stdout; the caller's folder
        install = [call for call in self.calls("apt-get") if " install " in call]
        self.assertEqual(len(install), 1)
        self.assertIn(" g++ cmake ninja-build ", install[0])
        self.assertNotIn("clang", install[0])

    def test_second_run_touches_nothing(self):
        self.dev("run")
        self.calls("")
        code, output, errors = self.dev("run")
        self.assertEqual((code, output, errors), (7, f"cadre run\n{self.root}\n", ""))
        self.assertEqual((self.machine / "calls").read_text(), "")

    def test_run_builds_again_after_a_change(self):
        self.dev("run")
        self.calls("ninja")
        stamp = (self.root / "build/release/run.stamp").stat().st_mtime
        os.utime(self.root / "src/a.cc", (stamp + 5, stamp + 5))
        self.dev("run")
        self.assertEqual(len(self.calls("ninja")), 1)

    def test_only_missing_packages_are_installed(self):
        self.dev("build")
        (self.machine / "calls").write_text("")
        installed = [p for p in (self.machine / "installed").read_text().split("\n") if p != "libedit-dev"]
        (self.machine / "installed").write_text("\n".join(installed))
        self.dev("build")
        install = [call for call in self.calls("apt-get") if " install " in call]
        self.assertEqual([call.split("--no-install-recommends")[1] for call in install], [" libedit-dev"])

    def test_package_lists_are_fetched_first_where_there_are_none(self):
        self.mark("needs_update")
        code, _, errors = self.dev("build")
        self.assertEqual(code, 0, errors)
        self.assertEqual([" update" in call for call in self.calls("apt-get")], [True, False])

    def test_fresh_package_lists_are_used_as_they_are(self):
        self.mark("lists_are_fresh")
        self.dev("build")
        self.assertEqual([" update" in call for call in self.calls("apt-get")], [False])

    def test_failed_installation_is_retried_once_with_fresh_lists(self):
        self.mark("lists_are_fresh")
        self.mark("needs_update")
        code, _, errors = self.dev("build")
        self.assertEqual(code, 0, errors)
        self.assertEqual([" update" in call for call in self.calls("apt-get")], [False, True, False])

    def test_failed_installation_says_what_and_shows_the_log(self):
        self.mark("broken")
        code, _, errors = self.dev("build")
        self.assertEqual(code, 1)
        self.assertIn("apt-get could not install: g++ cmake", errors)
        self.assertIn("E: no such package", errors)
        self.assertEqual(self.calls("ninja"), [])

    def test_ordinary_user_goes_through_sudo(self):
        (self.machine / "uid").write_text("1000\n")
        code, _, errors = self.dev("build")
        self.assertEqual(code, 0, errors)
        self.assertIn("sudo -n true", self.calls("sudo"))

    def test_sudo_that_wants_a_password_without_a_terminal(self):
        (self.machine / "uid").write_text("1000\n")
        self.mark("sudo_refuses")
        code, _, errors = self.dev("build")
        self.assertEqual(code, 1)
        self.assertIn("sudo refused; these packages are missing:\n  g++ cmake", errors)

    def test_neither_root_nor_sudo(self):
        (self.machine / "uid").write_text("1000\n")
        (self.bin / "sudo").unlink()
        code, _, errors = self.dev("build")
        self.assertEqual(code, 1)
        self.assertIn("neither root nor sudo", errors)
        self.assertIn("apt-get install g++ cmake", errors)

    def test_another_system_is_told_what_it_needs(self):
        (self.bin / "dpkg-query").unlink()
        code, _, errors = self.dev("test")
        self.assertEqual(code, 1)
        self.assertIn("does not use Debian packages", errors)
        self.assertIn("libgtest-dev", errors)
        code, _, errors = self.dev("test", CADRE_NO_INSTALL="1")
        self.assertEqual(code, 0, errors)

    def test_test_ends_with_the_closing_line(self):
        code, output, errors = self.dev("test", "asan", "-R", "Mla")
        self.assertEqual(code, 0, errors)
        self.assertEqual(output.rstrip().splitlines()[-1], "100% tests passed, 0 tests failed out of 2")
        self.assertIn("     1  no data here", output)
        self.assertRegex(self.calls("ctest")[0], r"build/asan .* -LE \^slow\$ -R Mla$")

    def test_test_fails_when_a_test_fails(self):
        self.mark("test_fails")
        code, output, _ = self.dev("test", "--all")
        self.assertEqual(code, 1)
        self.assertEqual(output.rstrip().splitlines()[-1], "50% tests passed, 1 tests failed out of 2")
        self.assertNotIn("-LE", self.calls("ctest")[0])

    def test_build_failure(self):
        self.mark("does_not_compile")
        code, output, errors = self.dev("run")
        self.assertEqual((code, output), (1, ""))
        self.assertIn("error: expected ';'", errors)

    def test_bench_turns_the_benchmarks_on_once(self):
        code, output, errors = self.dev("bench", "--benchmark_filter=matmul")
        self.assertEqual((code, output), (0, "bench --benchmark_filter=matmul\n"), errors)
        self.assertEqual(len(self.calls("cmake")), 2)
        self.dev("bench")
        self.assertEqual(self.calls("cmake"), [])

    def test_jobs(self):
        self.dev("build", CADRE_JOBS="5")
        self.assertIn(" -j 5", self.calls("ninja")[0])
        code, _, errors = self.dev("build", CADRE_JOBS="many")
        self.assertEqual(code, 2, errors)

    def test_sanitizers_take_clang(self):
        self.dev("build", "asan")
        self.assertIn(" clang libclang-rt-14-dev", " ".join(self.calls("apt-get")))

    def test_usage(self):
        self.assertEqual(self.dev("help")[0], 0)
        self.assertIn("usage: ./dev", self.dev("--help")[1])
        for wrong in ([], ["fly"], ["build", "fast"], ["build", "debug", "asan"], ["test", "fast"], ["lint", "x"]):
            code, output, errors = self.dev(*wrong)
            self.assertEqual((code, output), (2, ""), (wrong, errors))

    def test_clean(self):
        self.dev("build")
        self.dev("build", "asan")
        self.dev("clean", "asan")
        self.assertFalse((self.root / "build/asan").exists())
        self.dev("clean")
        self.assertFalse((self.root / "build").exists())


if __name__ == "__main__":
    unittest.main()
