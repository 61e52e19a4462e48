#include "cadre/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <system_error>

#include "cadre/base/interrupt.h"
#include "cadre/train/run_log.h"

namespace cadre::train {
namespace {

namespace fs = std::filesystem;

/// The architecture that checkpoints have: what the model's file says, in f32.
Result<Json> architecture_of(const TrainConfig& config) {
  Json architecture = config.architecture;
  if (!config.start_from.empty()) {
    CADRE_TRY(architecture, read_checkpoint_config(config.start_from));
    architecture.erase("quantization_config");
    architecture.erase("cadre_split_kv_b");
  }
  if (architecture.is_object()) architecture["torch_dtype"] = "float32";
  return architecture;
}

/// Errors: kUsage where an adapter would be of a matrix that `base` stores as two, and so could not take it.
Status check_targets(const TrainableModel& model, const ModelConfig& base,
                     const std::filesystem::path& path) {
  const auto* mla = std::get_if<MlaConfig>(&base.attention);
  if (mla == nullptr || !mla->split_kv_b) return {};
  for (const Parameter& tensor : model.adapters()->adapted())
    if (module_name(tensor.name).ends_with(".kv_b_proj"))
      return fail(
          ErrorKind::kUsage,
          "field 'lora.targets': {} has 'kv_b_proj' as two matrices, which could not take its adapter; "
          "leave it out, or start from a model that is not quantised",
          path.string());
  return {};
}

Result<TrainableModel> make_model(const TrainConfig& config, const Json& architecture) {
  if (config.start_from.empty()) return TrainableModel::initialise(architecture, "model", config.seed);
  CADRE_TRY(const Model source, Model::load(config.start_from));
  CADRE_TRY(TrainableModel model, TrainableModel::copy(source));
  if (config.lora) {
    CADRE_CHECK_OK(model.adapt(*config.lora, config.seed));
    CADRE_CHECK_OK(check_targets(model, source.config(), config.start_from));
  }
  return model;
}

/// The most rows of a pass with which the run stays within config.memory_gb. Errors: kTooLarge when one row
/// does not.
Status choose_micro_batch(const TrainableModel& model, TrainConfig& config) {
  if (config.micro_sequences > 0) return {};
  constexpr double kGb = 1e9;
  int64_t floats = 3 * model.parameter_count();  // a gradient, and two values of the optimiser
  for (const Parameter& tensor : model.tensors()) floats += tensor.count();
  if (const Adapters* adapters = model.adapters()) {
    floats += model.parameter_count();
    for (const Parameter& tensor : adapters->adapted())
      floats += 2 * tensor.count();  // W, and a gradient of W'
  }
  ModelConfig widest = model.config();
  if (widest.moe && config.random_routing.highest_k > widest.moe->num_experts_per_tok)
    widest.moe->num_experts_per_tok = config.random_routing.highest_k;
  const auto bytes_with = [&](int64_t rows) {
    return floats * static_cast<int64_t>(sizeof(float)) +
           2 * pass_bytes(widest, rows * config.length, config.recompute);
  };
  for (int64_t rows = config.sequences; rows >= 1; --rows) {
    if (config.sequences % rows != 0 || static_cast<double>(bytes_with(rows)) > config.memory_gb * kGb)
      continue;
    config.micro_sequences = rows;
    return {};
  }
  return fail(
      ErrorKind::kTooLarge,
      "field 'batch.memory_gb': {} GB; a pass of one sequence, with weights and optimiser, takes {:.3f} GB",
      config.memory_gb, static_cast<double>(bytes_with(1)) / kGb);
}

/// Listens for the first layer whose output is not finite.
class NotFinite : public TraceSink {
 public:
  void record(std::string_view name, int layer, const Tensor& value) override {
    if (!place_.empty() || (name != "embed" && name != "hidden" && name != "final_norm")) return;
    for (int64_t t = 0; t < value.rows; ++t)
      for (int64_t i = 0; i < value.width; ++i)
        if (!std::isfinite(value.row(t)[i])) {
          place_ = name == "hidden"  ? fmt::format("the output of layer {}", layer)
                   : name == "embed" ? std::string("the embedding")
                                     : std::string("the last norm");
          return;
        }
  }
  void record_routing(int, std::span<const int32_t>, std::span<const int32_t>,
                      std::span<const float>) override {}
  const std::string& place() const { return place_; }

 private:
  std::string place_;
};

/// Of how many steps the log has every expert's load.
constexpr int64_t kLoadReports = 100;

}  // namespace

Result<std::unique_ptr<Trainer>> Trainer::create(TrainConfig config, Backend& backend, bool resume) {
  if (!checkpoints(config.out).empty() && !resume)
    return fail(ErrorKind::kUsage,
                "{}: there are checkpoints of a run already; --resume goes on from the last",
                config.out.string());
  CADRE_TRY(Json architecture, architecture_of(config));
  CADRE_TRY(TrainableModel model, make_model(config, architecture));
  CADRE_CHECK_OK(choose_micro_batch(model, config));
  CADRE_TRY(Optimiser optimiser, Optimiser::create(model, config.optimiser));
  auto trainer = std::unique_ptr<Trainer>(
      new Trainer(std::move(config), backend, std::move(model), std::move(optimiser)));
  trainer->architecture_ = std::move(architecture);
  CADRE_CHECK_OK(trainer->check_routing());
  CADRE_CHECK_OK(trainer->open_data());
  CADRE_CHECK_OK(trainer->begin(resume));
  return trainer;
}

Trainer::Trainer(TrainConfig config, Backend& backend, TrainableModel model, Optimiser optimiser)
    : config_(std::move(config)),
      backend_(&backend),
      model_(std::move(model)),
      optimiser_(std::move(optimiser)),
      balance_(model_.config(), config_.losses),
      random_routing_(model_.config(), config_.random_routing, config_.seed, config_.steps) {
  if (config_.lora) config_.bias_rate = 0;  // nothing of the base moves
  const auto share = [&](double part) {
    return static_cast<int64_t>(std::llround(part * static_cast<double>(config_.steps)));
  };
  schedule_ = {.steps = config_.steps, .warmup = share(config_.warmup), .decay = share(config_.decay)};
  if (config_.random_routing.dropout > 0 && model_.config().moe)
    policies_.push_back(random_routing_.dropout());
  policies_.push_back(balance_.policy());
  if (config_.capacity.factor > 0 && model_.config().moe)
    policies_.push_back(capacity_policy(*model_.config().moe, config_.capacity, assigned_, dropped_));
}

Status Trainer::check_routing() const {
  const RandomRoutingOptions& options = config_.random_routing;
  if (options.lowest_k == 0 && options.dropout == 0) return {};
  const std::optional<MoeConfig>& moe = model_.config().moe;
  if (!moe) return invalid("field 'routing': the model has no experts");
  if (options.dropout > 0 && moe->n_shared_experts == 0)
    return invalid(
        "field 'routing.expert_dropout': the model has no shared experts to stand in for the others");
  const int64_t most = moe->most_experts_per_tok();
  if (options.highest_k > most)
    return invalid("field 'routing.random_top_k': {} experts a token, the model has {} to choose from",
                   options.highest_k, most);
  return {};
}

Status Trainer::open_data() {
  const int64_t vocabulary = model_.config().vocab_size;
  if (config_.length > model_.config().max_position_embeddings)
    return invalid("field 'batch.length': {} tokens, the model's context is {} (max_position_embeddings)",
                   config_.length, model_.config().max_position_embeddings);
  std::vector<MixturePart> parts;
  for (const DataPart& part : config_.data) {
    CADRE_TRY(TokenSet set, TokenSet::open(part.path, Split::kTrain));
    CADRE_CHECK_OK(set.check_vocabulary(vocabulary));
    if (!config_.tokenizer.empty()) CADRE_CHECK_OK(set.check_tokenizer(config_.tokenizer));
    sets_.push_back(std::make_unique<TokenSet>(std::move(set)));
    parts.push_back({sets_.back().get(), part.weight});
  }
  const BatchShape shape{.rows = config_.sequences, .length = config_.length};
  CADRE_TRY(batches_, TrainingBatches::create(parts, shape, config_.seed));
  if (config_.validate_every > 0) {
    CADRE_TRY(TokenSet set, TokenSet::open(config_.data[0].path, Split::kHeldOut));
    held_out_set_ = std::make_unique<TokenSet>(std::move(set));
    CADRE_TRY(held_out_, HeldOutBatches::create(*held_out_set_,
                                                {.rows = config_.micro_sequences, .length = config_.length}));
  }
  CADRE_TRY(pass_, Pass::create(model_, *backend_, config_.micro_sequences * config_.length,
                                {.max_k = random_routing_.largest_k(),
                                 .recompute = config_.recompute,
                                 .compute = config_.compute}));
  return {};
}

Status Trainer::begin(bool resume) {
  std::error_code error;
  fs::create_directories(config_.out, error);
  if (error) return fail(ErrorKind::kIo, "{}: cannot create: {}", config_.out.string(), error.message());
  const std::vector<CheckpointFolder> found = checkpoints(config_.out);
  if (resume && !found.empty()) {
    CADRE_TRY(state_, read_checkpoint(found.back().path, model_, optimiser_, identity()));
    if (state_.step > config_.steps)
      return invalid("{}: {} steps are done, the configuration asks for {}", found.back().path.string(),
                     state_.step, config_.steps);
    if (Adapters* adapters = model_.adapters()) adapters->apply(*backend_->gradients());
  }
  CADRE_TRY(log_, GrowingFile::open(config_.out / "log.jsonl", static_cast<uint64_t>(state_.log_bytes)));
  return {};
}

RunIdentity Trainer::identity() const {
  return {.architecture = architecture_,
          .base_model = config_.start_from.string(),
          .seed = config_.seed,
          .sequences = config_.sequences,
          .length = config_.length,
          .micro_sequences = config_.micro_sequences,
          .compute = config_.compute};
}

double Trainer::accumulate(std::span<MicroBatch> micro_batches, double scale) {
  // The batch loss is of the whole step's counts, so they come first where there is more than one pass.
  if (config_.losses.batch > 0 && micro_batches.size() > 1) {
    for (size_t i = 0; i < micro_batches.size(); ++i) {
      random_routing_.begin_pass(state_.step, static_cast<int64_t>(i));
      pass_->run(micro_batches[i].batch(),
                 {.gradient = false, .policies = policies_, .top_k = random_routing_.top_k()});
    }
    balance_.stop_counting();
    assigned_ = dropped_ = 0;
  }
  double loss = 0;
  for (size_t i = 0; i < micro_batches.size(); ++i) {
    balance_.begin_pass(micro_batches[i].sequences);
    random_routing_.begin_pass(state_.step, static_cast<int64_t>(i));
    loss += pass_->run(micro_batches[i].batch(), {.scale = static_cast<float>(scale),
                                                  .policies = policies_,
                                                  .top_k = random_routing_.top_k(),
                                                  .auxiliary = &balance_.gradient()});
  }
  return loss;
}

Status Trainer::check_finite(double loss, double norm, std::span<MicroBatch> micro_batches) {
  if (std::isfinite(loss) && std::isfinite(norm)) return {};
  const std::string where = fmt::format("step {}: {} is not a number", state_.step + 1,
                                        std::isfinite(loss) ? "the gradient" : "the loss");
  const std::vector<CheckpointFolder> found = checkpoints(config_.out);
  const std::string kept = found.empty() ? std::string("no checkpoint has been written yet")
                                         : fmt::format("the last good one is {}", found.back().path.string());
  NotFinite finder;
  for (const MicroBatch& micro : micro_batches)
    pass_->run(micro.batch(), {.gradient = false, .trace = &finder});
  if (!finder.place().empty()) return invalid("{}; first in {}; {}", where, finder.place(), kept);
  // Gradients run from the last layer to the first, so the last parameter shows where it began.
  for (size_t i = model_.parameters().size(); i-- > 0;) {
    const Parameter& parameter = model_.parameters()[i];
    const auto finite = [](float g) { return std::isfinite(g); };
    if (!std::ranges::all_of(parameter.gradients(), finite))
      return invalid("{}; first in that of {}; {}", where, parameter.name, kept);
  }
  return invalid("{}, though all layers' outputs are; {}", where, kept);
}

Result<StepReport> Trainer::step() {
  const auto start = std::chrono::steady_clock::now();
  batches_->read(state_.step, token_batch_);
  std::vector<MicroBatch> micro_batches;
  int64_t tokens = 0, sequences = 0, targets = 0;
  for (int64_t first = 0; first < config_.sequences; first += config_.micro_sequences) {
    MicroBatch micro = micro_batch(token_batch_, first, config_.micro_sequences);
    if (micro.targets_count == 0) continue;
    tokens += static_cast<int64_t>(micro.tokens.size());
    sequences += static_cast<int64_t>(micro.sequences.size());
    targets += micro.targets_count;
    micro_batches.push_back(std::move(micro));
  }
  balance_.begin_step(tokens, sequences);
  assigned_ = dropped_ = 0;
  const double per_target = 1.0 / static_cast<double>(std::max<int64_t>(1, targets));
  const double loss = accumulate(micro_batches, per_target) * per_target;

  if (Adapters* adapters = model_.adapters()) adapters->take_gradients(*backend_->gradients());
  const double norm = gradient_norm(model_, *backend_->gradients());
  CADRE_CHECK_OK(check_finite(loss, norm, micro_batches));
  const double clip = config_.clip > 0 && norm > config_.clip ? config_.clip / norm : 1;
  const double learning_rate = config_.learning_rate * schedule_.factor(state_.step);
  optimiser_.update(model_, *backend_->gradients(), learning_rate, clip);
  if (Adapters* adapters = model_.adapters()) adapters->apply(*backend_->gradients());
  // Over the last tenth the biases come to rest.
  const Schedule bias_schedule{.steps = config_.steps, .decay = config_.steps / 10};
  balance_.update_bias(model_.transformer(), config_.bias_rate * bias_schedule.factor(state_.step));

  ++state_.step;
  state_.tokens += tokens;
  const double dropped_share =
      assigned_ == 0 ? 0 : static_cast<double>(dropped_) / static_cast<double>(assigned_);
  StepReport report{.step = state_.step,
                    .loss = loss,
                    .auxiliary = balance_.loss(),
                    .gradient_norm = norm,
                    .learning_rate = learning_rate,
                    .tokens = tokens,
                    .total_tokens = state_.tokens,
                    .routing = state_.routing.add(balance_, model_.transformer(), dropped_share)};
  if (state_.step % std::max<int64_t>(1, config_.steps / kLoadReports) == 0)
    for (const LayerRouting& layer : balance_.layers()) report.loads.push_back({layer.layer, layer.counts});
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

double Trainer::held_out_loss() {
  double loss = 0;
  int64_t targets = 0;
  const int64_t count = std::min(config_.validate_batches, held_out_->batches());
  for (int64_t i = 0; i < count; ++i) {
    held_out_->read(i, token_batch_);
    const MicroBatch micro = micro_batch(token_batch_, 0, config_.micro_sequences);
    if (micro.targets_count == 0) continue;
    loss += pass_->run(micro.batch(), {.gradient = false});
    targets += micro.targets_count;
  }
  return loss / static_cast<double>(std::max<int64_t>(1, targets));
}

Status Trainer::log(const StepReport& report) {
  const std::string text = log_line(report, model_.config().moe.has_value());
  state_.log_bytes += static_cast<int64_t>(text.size());
  return log_->write(std::as_bytes(std::span(text)));
}

Status Trainer::checkpoint(TrainListener& listener) {
  const std::vector<CheckpointFolder> found = checkpoints(config_.out);
  if (!found.empty() && found.back().step == state_.step) return {};
  CADRE_CHECK_OK(log_->flush());
  CADRE_CHECK_OK(write_checkpoint(config_.out, model_, optimiser_, identity(), state_, config_.tokenizer));
  CADRE_CHECK_OK(remove_old_checkpoints(config_.out, config_.checkpoint_keep, state_.best_step));
  const fs::path folder = checkpoints(config_.out).back().path;
  listener.on_checkpoint(folder);
  if (config_.samples.prompts.empty()) return {};
  CADRE_TRY(const std::vector<Sample> samples, take_samples(folder, state_.step, config_.samples));
  CADRE_CHECK_OK(add_samples(config_.out / "samples.jsonl", samples));
  listener.on_samples(samples);
  return {};
}

Status Trainer::run(TrainListener& listener) {
  const auto due = [&](int64_t every) { return every > 0 && state_.step % every == 0; };
  while (state_.step < config_.steps) {
    CADRE_TRY(StepReport report, step());
    bool best = false;
    if (due(config_.validate_every)) {
      report.held_out_loss = held_out_loss();
      best = !state_.best_loss || *report.held_out_loss < *state_.best_loss;
    }
    if (best) {
      state_.best_loss = report.held_out_loss;
      state_.best_step = state_.step;
    }
    CADRE_CHECK_OK(log(report));
    listener.on_step(report);
    if (best || due(config_.checkpoint_every)) CADRE_CHECK_OK(checkpoint(listener));
    if (interrupted()) {
      CADRE_CHECK_OK(checkpoint(listener));
      return fail(ErrorKind::kInterrupt, "interrupted after step {}; --resume goes on from there",
                  state_.step);
    }
  }
  return checkpoint(listener);
}

}  // namespace cadre::train
