// `cadre data`: what training reads. `tokenizer` learns one from text, `prepare` turns documents into token
// shards.
#include <fmt/format.h>

#include <cstdio>
#include <map>
#include <memory>
#include <vector>

#include "cadre/base/units.h"
#include "cadre/cli/commands.h"
#include "cadre/cli/io.h"
#include "cadre/cli/progress.h"
#include "cadre/data/prepare.h"
#include "cadre/data/tokenizer_trainer.h"

namespace cadre::cli {
namespace {

namespace fs = std::filesystem;

/// What both sub-commands are told about the corpus.
struct CorpusFlags {
  std::vector<std::string> files;
  std::string format = "auto";
  std::string separator = CorpusOptions().separator;
  bool lossy = false;

  void add_to(CLI::App& app);
  Result<CorpusOptions> options() const;
  std::vector<fs::path> paths() const { return {files.begin(), files.end()}; }
};

void CorpusFlags::add_to(CLI::App& app) {
  app.add_option("FILES", files, "text files, or JSONL of {\"text\"} or {\"messages\"}")->required();
  add_flag(app, "--format", format, "auto (by name: .jsonl, .ndjson, else text), text or jsonl")
      ->capture_default_str();
  add_flag(app, "--separator", separator,
           "the line that ends a document of a text file; \"\": a file is one document")
      ->capture_default_str();
  add_switch(app, "--lossy", lossy, "put U+FFFD where a file is not valid UTF-8, instead of refusing it");
}

Result<CorpusOptions> CorpusFlags::options() const {
  const std::map<std::string, CorpusFormat> formats = {
      {"auto", CorpusFormat::kAuto}, {"text", CorpusFormat::kText}, {"jsonl", CorpusFormat::kJsonl}};
  const auto found = formats.find(format);
  if (found == formats.end())
    return fail(ErrorKind::kUsage, "--format: auto, text or jsonl expected, '{}' found", format);
  return CorpusOptions{.format = found->second, .separator = separator, .lossy = lossy};
}

struct TokenizerFlags {
  CorpusFlags corpus;
  TokenizerOptions options;
  std::string out;
  bool json = false;
};

Status train(TokenizerFlags flags) {
  CADRE_TRY(flags.options.corpus, flags.corpus.options());
  Progress reading("reading", Progress::Unit::kBytes);
  std::optional<Progress> merging;  // begins when reading has ended, and so counts its own time
  const std::vector<fs::path> files = flags.corpus.paths();
  CADRE_TRY(const TokenizerReport report,
            train_tokenizer(files, flags.out, flags.options,
                            {.reading = [&](int64_t done, int64_t total) { reading.update(done, total); },
                             .merging = [&](int64_t done, int64_t total) -> Status {
                               if (!merging) merging.emplace("merging", Progress::Unit::kSteps);
                               merging->update(done, total);
                               return {};
                             }}));
  if (flags.json)
    return write_stdout(dump_json(Json{{"out", flags.out},
                                       {"documents", report.documents},
                                       {"text_bytes", report.text_bytes},
                                       {"pieces", report.pieces},
                                       {"distinct_pieces", report.distinct_pieces},
                                       {"forgot_pieces", report.forgot_pieces},
                                       {"tokens", report.tokens},
                                       {"seconds", reading.seconds()}},
                                  2) +
                        "\n");
  fmt::print(stderr, "{}: {} tokens from {} of text in {} documents ({} different pieces), {:.1f} s\n",
             flags.out, report.tokens, format_bytes(static_cast<double>(report.text_bytes)), report.documents,
             report.distinct_pieces, reading.seconds());
  if (report.forgot_pieces)
    fmt::print(stderr,
               "rare pieces were not counted to the end: the text has more of them than memory was set "
               "aside for\n");
  return {};
}

Action set_up_tokenizer(CLI::App& app) {
  auto flags = std::make_shared<TokenizerFlags>();
  TokenizerOptions& options = flags->options;
  flags->corpus.add_to(app);
  add_flag(app, "-o,--out", flags->out, "folder to make, with tokenizer.json and tokenizer_config.json")
      ->required();
  add_flag(app, "--size", options.size, "tokens, control tokens and the 256 bytes included")
      ->capture_default_str();
  add_flag(app, "--min-count", options.min_count, "a pair that occurs less often is not merged")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40));
  add_switch(app, "--merge-digits", options.merge_digits,
             "let digits be merged into numbers of up to three; by default each digit is a token");
  add_flag(app, "--max-length", options.model_max_length, "model_max_length of tokenizer_config.json")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  add_json_flag(app, flags->json);
  return [flags] { return train(*flags); };
}

struct PrepareFlags {
  CorpusFlags corpus;
  PrepareOptions options;
  std::optional<uint64_t> seed;
  std::string tokenizer;
  std::string out;
  bool json = false;
};

std::string summary(const Manifest& manifest) {
  std::string text;
  for (const Split which : kSplits) {
    const SplitEntry& split = manifest.split(which);
    text +=
        fmt::format("{:<9} {:>9} documents {:>11} tokens, {:>11} to learn, {:>10} of text in {} shard(s)\n",
                    name(which), split.documents, split.tokens, split.learned_tokens,
                    format_bytes(static_cast<double>(split.text_bytes)), split.shards.size());
  }
  return text;
}

Status prepare(PrepareFlags flags) {
  CADRE_TRY(flags.options.corpus, flags.corpus.options());
  flags.options.seed = flags.seed.value_or(0);
  Progress progress("tokenizing", Progress::Unit::kBytes);
  const std::vector<fs::path> files = flags.corpus.paths();
  CADRE_TRY(const Manifest manifest,
            prepare_corpus(files, flags.tokenizer, flags.out, flags.options,
                           [&](int64_t done, int64_t total) { progress.update(done, total); }));
  const double seconds = progress.seconds();
  if (flags.json) {
    Json report = manifest_json(manifest);
    report["out"] = flags.out;
    report["seconds"] = seconds;
    return write_stdout(dump_json(report, 2) + "\n");
  }
  int64_t bytes = 0;
  for (const Split split : kSplits) bytes += manifest.split(split).text_bytes;
  fmt::print(stderr, "{}{}: {:.1f} s, {}/s of text\n", summary(manifest), flags.out, seconds,
             format_bytes(static_cast<double>(bytes) / seconds));
  return {};
}

Action set_up_prepare(CLI::App& app) {
  auto flags = std::make_shared<PrepareFlags>();
  flags->corpus.add_to(app);
  add_flag(app, "--tokenizer", flags->tokenizer, "folder of the tokenizer, or of a model")->required();
  add_flag(app, "-o,--out", flags->out, "folder to make, with manifest.json and the shards")->required();
  add_flag(app, "--held-out", flags->options.held_out, "share of the documents that is kept from training")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 0.9));
  add_flag(app, "--shard-tokens", flags->options.shard_tokens, "tokens of a shard, at least")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  add_seed_flag(app, flags->seed, "which documents are held out; default 0");
  add_json_flag(app, flags->json);
  return [flags] { return prepare(*flags); };
}

}  // namespace

Action set_up_data(CLI::App& app) {
  app.require_subcommand(1);
  CLI::App* const tokenizer = app.add_subcommand("tokenizer", "learn a byte-level BPE tokenizer from text");
  CLI::App* const prepare = app.add_subcommand("prepare", "turn text and conversations into token shards");
  const Action train_it = set_up_tokenizer(*tokenizer);
  const Action prepare_it = set_up_prepare(*prepare);
  return [=] { return tokenizer->parsed() ? train_it() : prepare_it(); };
}

}  // namespace cadre::cli
