// `cadre convert`: a Hugging Face directory to a GGUF file, or back; or a model with its adapter merged.
#include "cadre/convert/convert.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "cadre/base/units.h"
#include "cadre/cli/commands.h"
#include "cadre/cli/progress.h"
#include "cadre/convert/merge_adapter.h"
#include "cadre/runtime/find_model.h"

namespace cadre::cli {
namespace {

struct ConvertFlags {
  std::string in;
  std::string out;
  std::string type;
  std::string merge;  ///< folder of an adapter
  ConvertOptions options;
};

/// A type by its lower-case name. Block types of GGUF and ours share names: the direction tells which.
Result<std::optional<DType>> parse_type(const std::string& type, bool to_gguf) {
  struct Name {
    const char* name;
    DType gguf;
    DType directory;
  };
  constexpr Name kNames[] = {
      {"f32", DType::kF32, DType::kF32},        {"bf16", DType::kBF16, DType::kBF16},
      {"f16", DType::kF16, DType::kF16},        {"q8_0", DType::kQ8_0, DType::kPackedQ8},
      {"q4_0", DType::kQ4_0, DType::kPackedQ4}, {"q8", DType::kQ8_0, DType::kPackedQ8},
      {"q4", DType::kQ4_0, DType::kPackedQ4},   {"mxfp4", DType::kMXFP4, DType::kPackedMXFP4}};
  if (type.empty()) return std::optional<DType>();
  for (const Name& known : kNames)
    if (type == known.name) return std::optional<DType>(to_gguf ? known.gguf : known.directory);
  return fail(ErrorKind::kUsage, "--type: expected f32, bf16, f16, q8_0, q4_0 or mxfp4, found '{}'", type);
}

void print_report(const ConvertFlags& flags, const ConvertReport& report, double seconds) {
  fmt::print(stderr, "{}: {} tensors, {} in {:.1f} s\n", flags.out, report.tensors,
             format_bytes(static_cast<double>(report.bytes)), seconds);
  for (const std::string& note : report.notes) fmt::print(stderr, "  {}\n", note);
}

Status merge(const ConvertFlags& flags, const std::filesystem::path& in) {
  if (!flags.type.empty() || flags.options.force)
    return fail(ErrorKind::kUsage,
                "--merge writes a new directory in the model's own types; without --type and --force");
  ConvertReport report;
  double seconds = 0;
  {
    Progress progress("merging", Progress::Unit::kBytes);
    CADRE_TRY(report, merge_adapter(in, flags.merge, flags.out, flags.options.threads,
                                    [&](int64_t done, int64_t total) { progress.update(done, total); }));
    seconds = progress.seconds();
  }
  print_report(flags, report, seconds);
  return {};
}

Status run(const ConvertFlags& flags) {
  CADRE_TRY(const std::filesystem::path in, find_model(flags.in));
  if (!flags.merge.empty()) return merge(flags, in);
  const bool to_gguf = std::filesystem::path(flags.out).extension() == ".gguf";
  const bool from_gguf = in.extension() == ".gguf";
  if (to_gguf == from_gguf)
    return fail(ErrorKind::kUsage,
                "one of the two is a .gguf file and the other a model directory; found {} and {}",
                in.string(), flags.out);
  ConvertOptions options = flags.options;
  CADRE_TRY(options.type, parse_type(flags.type, to_gguf));
  ConvertReport report;
  double seconds = 0;
  {
    Progress progress("converting", Progress::Unit::kBytes);
    const auto update = [&](int64_t done, int64_t total) { progress.update(done, total); };
    CADRE_TRY(report, to_gguf ? convert_to_gguf(in, flags.out, options, update)
                              : convert_to_directory(in, flags.out, options, update));
    seconds = progress.seconds();
  }
  print_report(flags, report, seconds);
  return {};
}

}  // namespace

Action set_up_convert(CLI::App& app) {
  auto flags = std::make_shared<ConvertFlags>();
  app.add_option("IN", flags->in, "model directory, .gguf file, or a name")->required();
  app.add_option("OUT", flags->out, "NAME.gguf, or the model directory to make of a GGUF file")->required();
  add_flag(app, "--type", flags->type,
           "type of the matrices, where it holds their values: f32, bf16, f16, q8_0, q4_0 or mxfp4; default: "
           "their own or its counterpart");
  app.add_flag("-f,--force", flags->options.force, "replace what is at OUT");
  app.add_option("--merge", flags->merge,
                 "folder of a LoRA adapter: write the directory IN to the directory OUT with it merged");
  app.add_option("--pre", flags->options.pre_tokenizer,
                 "GGUF's name for the pre-tokenizer, instead of the one found by its patterns");
  add_flag(app, "-t,--threads", flags->options.threads, "threads; 0: one per core")
      ->check(CLI::Range(0, 1024));
  return [flags] { return run(*flags); };
}

}  // namespace cadre::cli
