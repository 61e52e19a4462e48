// `cadre logits`: what the model computes for given token ids, in a file, for comparison with a reference.
#include <algorithm>
#include <map>

#include "cadre/base/file.h"
#include "cadre/base/interrupt.h"
#include "cadre/cli/commands.h"
#include "cadre/cli/token_files.h"
#include "cadre/formats/safetensors_writer.h"

namespace cadre::cli {
namespace {

struct LogitsFlags {
  ModelFlags model;
  EngineFlags engine;
  std::string ids;
  std::string out;
  int64_t chunk = 0;
  bool together = false;
  bool trace = false;
};

/// Values gathered row by row over the steps, by the tensor name they will have in the file.
class Recorder : public TraceSink {
 public:
  /// Says whose rows the next step computes: `rows[i]` rows of sequence `sequences[i]`, in order.
  void begin_step(std::vector<int64_t> sequences, std::vector<int64_t> rows) {
    sequences_ = std::move(sequences);
    rows_ = std::move(rows);
  }

  void record(std::string_view name, int layer, const Tensor& value) override {
    int64_t row = 0;
    for (size_t i = 0; i < sequences_.size(); ++i) {
      Floats& tensor = floats_[tensor_name(name, sequences_[i], layer)];
      tensor.width = value.width;
      for (int64_t r = 0; r < rows_[i]; ++r, ++row)
        tensor.values.insert(tensor.values.end(), value.row(row), value.row(row) + value.width);
    }
  }

  void record_routing(int layer, std::span<const int32_t> counts, std::span<const int32_t> experts,
                      std::span<const float> weights) override {
    size_t row = 0;
    size_t entry = 0;
    for (size_t i = 0; i < sequences_.size(); ++i) {
      Floats& weight = floats_[tensor_name("topk_w", sequences_[i], layer)];
      Indices& index = indices_[tensor_name("topk_idx", sequences_[i], layer)];
      for (int64_t r = 0; r < rows_[i]; ++r, ++row) {
        const auto count = static_cast<size_t>(counts[row]);
        weight.width = index.width = counts[row];
        weight.values.insert(weight.values.end(), weights.begin() + entry, weights.begin() + entry + count);
        index.values.insert(index.values.end(), experts.begin() + entry, experts.begin() + entry + count);
        entry += count;
      }
    }
  }

  Status write(const std::string& path) const {
    std::vector<TensorSpec> entries;
    std::vector<std::span<const std::byte>> data;
    const auto add = [&](const auto& tensors, DType dtype) {
      for (const auto& [name, tensor] : tensors) {
        const auto rows = static_cast<int64_t>(tensor.values.size()) / tensor.width;
        entries.push_back({.name = name, .dtype = dtype, .shape = {rows, tensor.width}});
        data.push_back(std::as_bytes(std::span(tensor.values)));
      }
    };
    add(floats_, DType::kF32);
    add(indices_, DType::kI32);
    CADRE_TRY(SafetensorsWriter writer, SafetensorsWriter::create(path, entries, {}));
    for (size_t i = 0; i < entries.size(); ++i) CADRE_CHECK_OK(writer.write(entries[i].name, data[i]));
    return writer.finish();
  }

 private:
  template <typename Value>
  struct Gathered {
    int64_t width = 1;
    std::vector<Value> values;
  };
  using Floats = Gathered<float>;
  using Indices = Gathered<int32_t>;

  static std::string tensor_name(std::string_view name, int64_t sequence, int layer) {
    return layer < 0 ? fmt::format("{}.{}", name, sequence) : fmt::format("{}.{}.{}", name, sequence, layer);
  }

  std::vector<int64_t> sequences_;
  std::vector<int64_t> rows_;
  std::map<std::string, Floats> floats_;
  std::map<std::string, Indices> indices_;
};

/// Runs `group` (indices of sequences) to their ends, `chunk` tokens of each at a time (0: all).
Status run_group(Engine& engine, const Sequences& sequences, const std::vector<int64_t>& group, int64_t chunk,
                 Recorder& recorder) {
  std::vector<SequenceId> ids;
  for (size_t i = 0; i < group.size(); ++i) ids.push_back(engine.open_sequence());
  for (bool more = true; more;) {
    CADRE_CHECK_OK(check_interrupt());
    more = false;
    std::vector<StepItem> items;
    std::vector<int64_t> step_sequences;
    std::vector<int64_t> step_rows;
    for (size_t i = 0; i < group.size(); ++i) {
      const std::vector<int32_t>& tokens = sequences[static_cast<size_t>(group[i])];
      const auto total = static_cast<int64_t>(tokens.size());
      const int64_t done = engine.length(ids[i]);
      if (done == total) continue;
      const int64_t count = chunk == 0 ? total : std::min(chunk, total - done);
      items.push_back(
          {.sequence = ids[i],
           .tokens = std::span(tokens).subspan(static_cast<size_t>(done), static_cast<size_t>(count)),
           .logits = LogitsFor::kAll});
      step_sequences.push_back(group[i]);
      step_rows.push_back(count);
      more |= done + count < total;
    }
    recorder.begin_step(std::move(step_sequences), std::move(step_rows));
    CADRE_TRY(const Tensor logits, engine.step(items));
    recorder.record("logits", -1, logits);
  }
  for (const SequenceId id : ids) engine.close_sequence(id);
  return {};
}

Status run(const LogitsFlags& flags) {
  CADRE_TRY(const std::filesystem::path path, flags.model.path());
  CADRE_TRY(EngineOptions options, flags.engine.options());
  CADRE_TRY(const LoadOptions load_options, flags.engine.load_options());
  CADRE_TRY(const Model model, Model::load(path, load_options));
  CADRE_TRY(const Sequences sequences, read_sequences(flags.ids, model.config().vocab_size));

  int64_t longest = 0;
  int64_t pages = 0;
  int64_t step_rows = 0;
  for (const auto& sequence : sequences) {
    const auto length = static_cast<int64_t>(sequence.size());
    if (length > model.config().max_position_embeddings)
      return invalid("{}: a sequence of {} tokens, the model's context is {} (max_position_embeddings)",
                     flags.ids, length, model.config().max_position_embeddings);
    const int64_t rows = flags.chunk == 0 ? length : std::min(flags.chunk, length);
    const int64_t own_pages = (length + kPageTokens - 1) / kPageTokens;
    longest = std::max(longest, length);
    pages = flags.together ? pages + own_pages : std::max(pages, own_pages);
    step_rows = flags.together ? step_rows + rows : std::max(step_rows, rows);
  }
  options.context_tokens = pages * kPageTokens;
  options.max_step_rows = step_rows;
  options.max_logit_rows = step_rows;
  CADRE_TRY(Engine engine, Engine::create(model, options));

  Recorder recorder;
  if (flags.trace) engine.set_trace(&recorder);
  std::vector<int64_t> all;
  for (int64_t i = 0; i < static_cast<int64_t>(sequences.size()); ++i) {
    all.push_back(i);
    if (!flags.together) CADRE_CHECK_OK(run_group(engine, sequences, {i}, flags.chunk, recorder));
  }
  if (flags.together) CADRE_CHECK_OK(run_group(engine, sequences, all, flags.chunk, recorder));
  return recorder.write(flags.out);
}

}  // namespace

Action set_up_logits(CLI::App& app) {
  auto flags = std::make_shared<LogitsFlags>();
  flags->engine.kv_type = "f32";  // verification compares with f32 references
  flags->model.add_to(app);
  add_flag(app, "--ids", flags->ids, "JSON file: an array of token ids, or an array of such arrays")
      ->required();
  add_flag(app, "--out", flags->out,
           "safetensors file to write: logits.I [tokens, vocab] of the I-th sequence")
      ->required();
  add_flag(app, "--chunk", flags->chunk, "tokens of a sequence in one step; 1: one by one, 0: all at once")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30));
  add_switch(app, "--together", flags->together, "all sequences in one ragged batch");
  add_switch(app, "--trace", flags->trace, "also hidden states, router logits and chosen experts");
  flags->engine.add_to(app, /*with_context=*/false);
  return [flags] { return run(*flags); };
}

}  // namespace cadre::cli
