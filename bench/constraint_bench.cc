// Time of the masks of constrained decoding: constraint_bench TOKENIZER.JSON
// For each grammar, the tokens of a text are fed one after another; printed are the first mask, and the
// median, 99th percentile and maximum of the later ones.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "cadre/base/file.h"
#include "cadre/text/constrained_decoding.h"

namespace {

/// Processor time of this thread: other programs on the machine do not count.
double microseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

constexpr const char* kSchema = R"({"type": "object", "properties": {
    "name": {"type": "string", "minLength": 1, "maxLength": 80}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
    "email": {"type": "string", "format": "email"}, "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}},
    "note": {"type": "string"}}, "required": ["name", "age", "email", "tags", "note"], "additionalProperties": false})";
constexpr const char* kText =
    R"({"name": "Ada Lovelace, Countess", "age": 36, "email": "ada.l@analytical.example", "tags": ["red", "blue"], )"
    R"("note": "She wrote the first program, for a machine that was never built, and saw further than its maker."})";

void measure(const char* name, const std::shared_ptr<const cadre::TokenTrie>& tokens,
             const cadre::JsonGrammar& grammar, const std::vector<int32_t>& ids) {
  const auto constraint = cadre::constrain(tokens, grammar);
  std::vector<uint64_t> mask((static_cast<size_t>(tokens->vocab_size()) + 63) / 64);
  std::vector<double> times;
  for (const int32_t id : ids) {
    const double start = microseconds();
    constraint->allow(mask);
    times.push_back(microseconds() - start);
    constraint->accept(id);
  }
  const double first = times.front();
  std::sort(times.begin(), times.end());
  fmt::print(
      "{:<12} {:>4} tokens   first {:8.1f} us   median {:8.1f} us   p99 {:8.1f} us   most {:8.1f} us\n", name,
      ids.size(), first, times[times.size() / 2], times[times.size() * 99 / 100], times.back());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: constraint_bench TOKENIZER.JSON\n");
    return 2;
  }
  const auto text = cadre::read_text_file(argv[1]);
  if (!text) return fmt::print(stderr, "{}\n", text.error().message), 1;
  const auto tokenizer = cadre::Tokenizer::from_json(*text, argv[1]);
  if (!tokenizer) return fmt::print(stderr, "{}\n", tokenizer.error().message), 1;
  double start = microseconds();
  const auto tokens = cadre::TokenTrie::create(*tokenizer);
  fmt::print("{} tokens, {} nodes, made in {:.0f} ms\n", tokens->vocab_size(), tokens->nodes().size(),
             (microseconds() - start) / 1000);
  start = microseconds();
  const auto schema = cadre::JsonGrammar::from_schema(*cadre::parse_json(kSchema, "schema"), "schema");
  fmt::print("schema compiled in {:.1f} ms\n", (microseconds() - start) / 1000);
  const auto ids = tokenizer->encode(kText);
  measure("schema", tokens, *schema, *ids);
  measure("any object", tokens, cadre::JsonGrammar::any_object(), *ids);
  return 0;
}
