// `cadre grads`: losses and the gradient of every parameter in a file, for comparison with a reference.
#include <cmath>

#include "cadre/cli/commands.h"
#include "cadre/cli/token_files.h"
#include "cadre/formats/safetensors_writer.h"
#include "cadre/train/balance.h"
#include "cadre/train/pass.h"

namespace cadre::cli {
namespace {

struct GradsFlags {
  ModelFlags model;
  std::string ids;
  std::string out;
  int threads = 0;
  std::string isa = "auto";
};

/// The sequences one after the other; each token's target is the next, the last one's none.
struct Rows {
  std::vector<int32_t> tokens;
  std::vector<int32_t> targets;
  std::vector<SequenceRows> sequences;
  int64_t targets_count = 0;
};

Rows lay_out(const Sequences& sequences) {
  Rows rows;
  for (const std::vector<int32_t>& ids : sequences) {
    rows.sequences.push_back(
        {.first_row = static_cast<int64_t>(rows.tokens.size()), .rows = static_cast<int64_t>(ids.size())});
    rows.tokens.insert(rows.tokens.end(), ids.begin(), ids.end());
    rows.targets.insert(rows.targets.end(), ids.begin() + 1, ids.end());
    rows.targets.push_back(-1);
    rows.targets_count += static_cast<int64_t>(ids.size()) - 1;
  }
  return rows;
}

/// What goes to the file, with memory of its own.
class Output {
 public:
  void add(std::string name, DType dtype, Shape shape, std::span<const std::byte> bytes) {
    specs_.push_back({.name = std::move(name), .dtype = dtype, .shape = std::move(shape)});
    data_.emplace_back(bytes.begin(), bytes.end());
  }
  void add(std::string name, std::vector<double> values) {
    const auto count = static_cast<int64_t>(values.size());
    add(std::move(name), DType::kF64, {count}, std::as_bytes(std::span(values)));
  }
  void add_gradients(const std::string& prefix, const train::TrainableModel& model) {
    for (const train::Parameter& parameter : model.parameters())
      add(prefix + parameter.name, DType::kF32, parameter.shape, std::as_bytes(parameter.gradients()));
  }
  Status write(const std::string& path) const {
    CADRE_TRY(SafetensorsWriter writer, SafetensorsWriter::create(path, specs_, {}));
    for (size_t i = 0; i < specs_.size(); ++i) CADRE_CHECK_OK(writer.write(specs_[i].name, data_[i]));
    return writer.finish();
  }

 private:
  std::vector<TensorSpec> specs_;
  std::vector<std::vector<std::byte>> data_;
};

double norm(const train::TrainableModel& model) {
  double sum = 0;
  for (const train::Parameter& parameter : model.parameters())
    for (const float g : parameter.gradients()) sum += double{g} * double{g};
  return std::sqrt(sum);
}

/// Gradients of one auxiliary loss alone, with coefficient 1.
void add_auxiliary(const std::string& name, const train::AuxiliaryLosses& losses,
                   const train::TrainableModel& model, train::Pass& pass, const Rows& rows, Output& output) {
  train::Balance balance(model.config(), losses);
  balance.begin_step(static_cast<int64_t>(rows.tokens.size()), static_cast<int64_t>(rows.sequences.size()));
  balance.begin_pass(rows.sequences);
  const RoutingPolicy policy = balance.policy();
  model.clear_gradients();
  pass.run({rows.tokens, rows.targets, rows.sequences},
           {.scale = 0, .policies = std::span(&policy, 1), .auxiliary = &balance.gradient()});
  std::vector<double> per_layer;
  for (const train::LayerRouting& layer : balance.layers())
    per_layer.push_back(losses.sequence * layer.sequence_loss + losses.batch * layer.batch_loss +
                        losses.z * layer.z_loss);
  output.add(name + ".per_layer", per_layer);
  output.add(name + ".total", {balance.loss()});
  output.add_gradients("grad_" + name + ".", model);
}

Status run(const GradsFlags& flags) {
  CADRE_TRY(const std::filesystem::path path, flags.model.path());
  CADRE_TRY(const Model source, Model::load(path));
  CADRE_TRY(const Sequences sequences, read_sequences(flags.ids, source.config().vocab_size));
  const Rows rows = lay_out(sequences);
  if (rows.targets_count == 0)
    return invalid("{}: expected a sequence of two tokens or more, for one to be predicted", flags.ids);
  CADRE_TRY(const train::TrainableModel model, train::TrainableModel::copy(source));
  CADRE_TRY(const std::unique_ptr<Backend> backend,
            make_cpu_backend({.threads = flags.threads, .isa = flags.isa}));
  CADRE_TRY(const std::unique_ptr<train::Pass> pass,
            train::Pass::create(model, *backend, static_cast<int64_t>(rows.tokens.size())));

  Output output;
  const double scale = 1.0 / static_cast<double>(rows.targets_count);
  const double loss =
      pass->run({rows.tokens, rows.targets, rows.sequences}, {.scale = static_cast<float>(scale)});
  output.add("loss_ce", {loss * scale});
  output.add("gradnorm_ce", {norm(model)});
  output.add_gradients("grad_ce.", model);
  if (model.config().moe) {
    add_auxiliary("aux_batch", {.batch = 1}, model, *pass, rows, output);
    add_auxiliary("aux_seq", {.sequence = 1}, model, *pass, rows, output);
    add_auxiliary("aux_z", {.z = 1}, model, *pass, rows, output);
  }
  return output.write(flags.out);
}

}  // namespace

Action set_up_grads(CLI::App& app) {
  auto flags = std::make_shared<GradsFlags>();
  flags->model.add_to(app);
  add_flag(app, "--ids", flags->ids, "JSON file: an array of token ids, or an array of such arrays")
      ->required();
  add_flag(
      app, "--out", flags->out,
      "safetensors file to write: loss_ce, grad_ce.NAME of every parameter, and those of auxiliary losses")
      ->required();
  add_flag(app, "-t,--threads", flags->threads, "threads (0: one per core)")
      ->check(CLI::Range(0, kMaxThreads));
  add_flag(app, "--isa", flags->isa, "CPU code path: auto, generic, avx2 or avx512");
  return [flags] { return run(*flags); };
}

}  // namespace cadre::cli
