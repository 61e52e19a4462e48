#!/usr/bin/env python3
"""Each rule of check_layout and check_docs is seen to fail on a small tree that breaks it."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parent


class TreeTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run_tool(self, tool, *arguments):
        run = subprocess.run([sys.executable, TOOLS / tool, self.root, *arguments], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
        return run.returncode, run.stdout

    def assert_found(self, tool, message, *arguments):
        code, output = self.run_tool(tool, *arguments)
        self.assertIn(message, output)
        self.assertEqual(code, 1)

    def assert_clean(self, tool, *arguments):
        code, output = self.run_tool(tool, *arguments)
        self.assertEqual((code, "nothing found" in output), (0, True), output)


class CheckLayoutTest(TreeTest):
    def setUp(self):
        super().setUp()
        self.write("src/cadre/base/result.h", "#include <nlohmann/json.hpp>\n")

    def test_downward_includes_are_accepted(self):
        self.write("src/cadre/model/layers/moe.cc", '#include "cadre/model/routing_plan.h"\n'
                                                    '#include "cadre/ops/ops.h"\n#include "cadre/base/result.h"\n')
        self.write("src/cadre/model/transformer.h", '#include "cadre/model/layers/moe.h"\n')
        self.write("src/cadre/model/families/deepseek_v3.cc", '#include "cadre/formats/safetensors.h"\n')
        self.write("src/cadre/kernels/conformance_test.cc", '#include "cadre/kernels/cpu/table.h"\n')
        self.assert_clean("check_layout")

    def test_upward_include(self):
        self.write("src/cadre/ops/ops.cc", '#include "cadre/model/config.h"\n')
        self.assert_found("check_layout", "src/cadre/ops/ops.cc:1: ops must not include model/config")

    def test_sideways_include(self):
        self.write("src/cadre/eval/perplexity.cc", '\n#include "cadre/bench/bench.h"\n')
        self.assert_found("check_layout", "perplexity.cc:2: eval must not include bench")

    def test_layer_must_not_include_the_decoder(self):
        self.write("src/cadre/model/layers/mla.cc", '#include "cadre/model/transformer.h"\n')
        self.assert_found("check_layout", "model/layers must not include model (")

    def test_operation_must_not_include_an_implementation_of_kernels(self):
        self.write("src/cadre/ops/matmul.cc", '#include "cadre/kernels/cpu/table.h"\n')
        self.assert_found("check_layout", "ops must not include kernels/cpu")

    def test_only_tests_may_read_reference_data(self):
        self.write("src/cadre/model/rope_test.cc", '#include "cadre/formats/safetensors.h"\n')
        self.assert_clean("check_layout")
        self.write("src/cadre/model/rope.cc", '#include "cadre/formats/safetensors.h"\n')
        self.assert_found("check_layout", "rope.cc:1: model/rope must not include formats")

    def test_file_outside_the_table(self):
        self.write("src/cadre/misc/helpers.cc", "\n")
        self.assert_found("check_layout", "helpers.cc:1: in no folder of the table")

    def test_relative_include(self):
        self.write("src/cadre/base/file.cc", '#include "file.h"\n')
        self.assert_found("check_layout", "'file.h': write the path from src")

    def test_library_outside_its_folder(self):
        self.write("src/cadre/runtime/engine.cc", "#include <nlohmann/json.hpp>\n")
        self.assert_found("check_layout", "<nlohmann/json.hpp> is for base, formats only")

    def test_upward_link(self):
        self.write("src/cadre/tensor/CMakeLists.txt", "cadre_library(tensor DEPS cadre_base cadre_ops)\n")
        self.assert_found("check_layout", "tensor must not link cadre_ops")

    def test_unused_using_declaration(self):
        self.write("src/cadre/base/hash.cc", "using std::size_t;\nusing std::chrono::seconds;\nsize_t count = 0;\n")
        self.assert_found("check_layout", "hash.cc:2: 'seconds' is used nowhere in this file")
        self.write("src/cadre/base/hash.cc", "using std::size_t;\nsize_t count = 0;\n")
        self.assert_clean("check_layout")

    def test_long_file(self):
        self.write("src/cadre/base/long.cc", "//\n" * 601)
        self.assert_found("check_layout", "601 lines, at most 600")

    def test_generated_table_may_be_long(self):
        self.write("src/cadre/base/table.inc", "1,\n" * 601)
        self.assert_clean("check_layout")

    def test_unfinished_work(self):
        self.write("src/cadre/base/file.cc", "// TO" + "DO: later\n")
        self.assert_found("check_layout", "file.cc:1: a mark of unfinished work")

    def test_term_in_a_document(self):
        self.write("docs/speed.md", "12 tok" + "/s\n")
        self.assert_found("check_layout", "we write 'tokens/s'")


class CheckDocsTest(TreeTest):
    def setUp(self):
        super().setUp()
        self.write("dev", "usage\n  run [ARGS]  build\n  test  test\n")
        self.write("tools/dev/packages.sh", "packages_of_group() {\n  build) echo g++ \\\n  cmake ;;\n esac\n}\n")
        self.write("docs/dependencies.md", "| `g++` | x |\n| `cmake` | x |\n")
        self.write("src/cadre/runtime/engine.cc", "Status Engine::step(Batch batch) {}\n// only_in_comment()\n")
        self.write("docs/life-of-a-request.md", "1. `runtime/engine.cc: Engine::step`\n")

    def test_clean(self):
        self.write("README.md", "See [the request](docs/life-of-a-request.md), `src/cadre/runtime`, `./dev run`.\n")
        self.assert_clean("check_docs")

    def test_broken_link(self):
        self.write("README.md", "\n[gone](docs/gone.md)\n")
        self.assert_found("check_docs", "README.md:2: link to 'docs/gone.md': not there")

    def test_missing_path(self):
        self.write("docs/map.md", "`src/cadre/gone.cc`\n")
        self.assert_found("check_docs", "docs/map.md:1: 'src/cadre/gone.cc': not there")

    def test_document_named_by_a_source(self):
        self.write("src/cadre/base/x.h", "// see docs/gone.md\n")
        self.assert_found("check_docs", "src/cadre/base/x.h:1: 'docs/gone.md': not there")

    def test_unknown_command(self):
        self.write("README.md", "./dev fly\n")
        self.assert_found("check_docs", "./dev has no command 'fly'")

    def test_commands_and_flags_of_the_program(self):
        self.write("cadre", "#!/bin/sh\n[ $1 = run ] && echo '  -p,--prompt TEXT   answer   --mla-form'\n")
        (self.root / "cadre").chmod(0o755)
        binary = ("--binary", self.root / "cadre")
        self.write("README.md", "```sh\ncadre run -p 'x' --prompt y   # --any comment\n```\nand `cadre run`\n")
        self.assert_clean("check_docs", *binary)
        self.write("README.md", "Try `cadre run --mla auto`.\n")
        self.assert_found("check_docs", "README.md:1: cadre run has no flag '--mla'", *binary)
        self.write("README.md", "```sh\ncadre fly\n```\n")
        self.assert_found("check_docs", "README.md:2: cadre has no command 'fly'", *binary)

    def test_hop_without_file(self):
        self.write("docs/life-of-a-request.md", "`runtime/gone.cc: Engine::step`\n")
        self.assert_found("check_docs", "'src/cadre/runtime/gone.cc': not there")

    def test_hop_without_function(self):
        self.write("docs/life-of-a-request.md", "`runtime/engine.cc: Engine::only_in_comment`\n")
        self.assert_found("check_docs", "'Engine::only_in_comment': not in src/cadre/runtime/engine.cc")

    def test_no_hops(self):
        self.write("docs/life-of-a-request.md", "Nothing.\n")
        self.assert_found("check_docs", "no hop is written")

    def test_unexplained_package(self):
        self.write("docs/dependencies.md", "| `g++` | x |\n")
        self.assert_found("check_docs", "no row says what `cmake` is for")

    def test_explained_but_not_installed(self):
        self.write("docs/dependencies.md", "| `g++` | x |\n| `cmake` | x |\n| `zlib1g-dev` | x |\n")
        self.assert_found("check_docs", "`zlib1g-dev` is not installed")


if __name__ == "__main__":
    unittest.main()
