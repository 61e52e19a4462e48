// Any text as a chat template: an error with its origin, or the same text each time, whatever is in it.
#include "cadre/base/check.h"
#include "cadre/text/jinja_template.h"
#include "cadre/text/utf8.h"

namespace {

cadre::Json variables() {
  return *cadre::parse_json(R"({"messages": [{"role": "system", "content": "Be \"brief\""},
      {"role": "user", "content": "héllo\n wörld 你好 😀", "n": 3},
      {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"x": [1, 2.5]}}}]}],
      "tools": [{"type": "function", "function": {"name": "f", "parameters": {"a": 1, "b": {}}}}],
      "bos_token": "<s>", "add_generation_prompt": true, "x": 5, "s": "a b,c", "l": [3, 1, 2], "none": null})",
                            "variables");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const cadre::Json kVariables = variables();
  const cadre::jinja::Limits limits{.template_bytes = 1 << 16, .output_bytes = 1 << 20, .steps = 20'000};
  const auto program =
      cadre::jinja::Template::parse({reinterpret_cast<const char*>(data), size}, "fuzz", limits);
  if (!program) {
    CADRE_CHECK(program.error().message.starts_with("fuzz: "), "{}", program.error().message);
    return 0;
  }
  const auto text = program->render(kVariables, std::tm{});
  const auto again = program->render(kVariables, std::tm{});
  CADRE_CHECK(text.has_value() == again.has_value());
  if (!text) {
    CADRE_CHECK(text.error().message.starts_with("fuzz: ") && text.error().message == again.error().message,
                "{}", text.error().message);
    return 0;
  }
  CADRE_CHECK(*text == *again && cadre::is_valid_utf8(*text), "{}", *text);
  return 0;
}
