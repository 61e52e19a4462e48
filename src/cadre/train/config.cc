#include "cadre/train/config.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <limits>

namespace cadre::train {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostSteps = int64_t{1} << 40;
constexpr int64_t kMostRows = int64_t{1} << 20;
constexpr int64_t kMostLength = int64_t{1} << 24;

Status refuse_unknown(const Json& object, const JsonFields& fields,
                      std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : object.items())
    if (std::find(known.begin(), known.end(), key) == known.end())
      return fields.error(key, "there is no such field");
  return {};
}

/// A number in [lowest, highest].
Result<double> number_in(const JsonFields& fields, std::string_view key, double fallback, double lowest,
                         double highest) {
  CADRE_TRY(const double value, fields.number_or(key, fallback));
  if (!(value >= lowest && value <= highest))
    return fields.error(key,
                        fmt::format("expected a number from {} to {}, found {}", lowest, highest, value));
  return value;
}

/// The object `key` of `fields`, an empty one when it is absent; `known` are its fields.
class Section {
 public:
  static Result<Section> open(const JsonFields& fields, std::string_view key,
                              std::initializer_list<std::string_view> known) {
    CADRE_TRY(std::optional<JsonFields> section, fields.object(key));
    if (!section) return Section(JsonFields(kEmpty, fields.origin(), std::string(key)));
    CADRE_CHECK_OK(refuse_unknown(*fields.find(key), *section, known));
    return Section(std::move(*section));
  }
  const JsonFields* operator->() const { return &fields_; }
  const JsonFields& operator*() const { return fields_; }

 private:
  explicit Section(JsonFields fields) : fields_(std::move(fields)) {}
  static const Json kEmpty;
  JsonFields fields_;
};
const Json Section::kEmpty = Json::object();

Result<fs::path> path_of(const JsonFields& fields, std::string_view key, const fs::path& folder) {
  CADRE_TRY(const std::string text, fields.string(key));
  if (text.empty()) return fields.error(key, "expected a path, found an empty string");
  return folder / text;
}

Status read_model(const JsonFields& fields, const fs::path& folder, TrainConfig& config) {
  if (fields.has("model") == fields.has("start_from"))
    return fields.error("model", "expected either this (an architecture) or 'start_from' (a model folder)");
  if (fields.has("start_from")) {
    CADRE_TRY(config.start_from, path_of(fields, "start_from", folder));
  } else if (fields.find("model")->is_object()) {
    config.architecture = *fields.find("model");
  } else {
    CADRE_TRY(const fs::path path, path_of(fields, "model", folder));
    CADRE_TRY(config.architecture, read_json_file(path.string()));
  }
  if (!fields.has("tokenizer")) {
    config.tokenizer = config.start_from;
    return {};
  }
  CADRE_TRY(config.tokenizer, path_of(fields, "tokenizer", folder));
  return {};
}

Status read_lora(const JsonFields& fields, TrainConfig& config) {
  if (!fields.has("lora")) return {};
  CADRE_TRY(const Section section, Section::open(fields, "lora", {"rank", "alpha", "targets"}));
  if (config.start_from.empty())
    return fields.error("lora", "expected 'start_from' beside it: the model whose weights stay as they are");
  LoraConfig lora;
  CADRE_TRY(lora.rank, section->integer("rank", 1, int64_t{1} << 16));
  CADRE_TRY(lora.alpha, number_in(*section, "alpha", static_cast<double>(lora.rank), 1e-6, 1e6));
  const Json* targets = section->find("targets");
  if (targets == nullptr || !targets->is_array() || targets->empty())
    return section->error("targets", "expected a list of names of modules, such as \"q_proj\"");
  for (const Json& target : *targets) {
    if (!target.is_string() || target.get<std::string>().empty())
      return section->error("targets",
                            fmt::format("expected names of modules, found {}", describe_json(target)));
    lora.targets.push_back(target.get<std::string>());
  }
  config.lora = std::move(lora);
  config.samples.base_model = config.start_from;
  return {};
}

Status read_data(const JsonFields& fields, const fs::path& folder, TrainConfig& config) {
  const Json* data = fields.find("data");
  if (data == nullptr || !data->is_array()) {
    CADRE_TRY(const fs::path path, path_of(fields, "data", folder));
    config.data.push_back({path, 1});
    return {};
  }
  for (size_t i = 0; i < data->size(); ++i) {
    const std::string place = fmt::format("data[{}]", i);
    if (!(*data)[i].is_object())
      return fields.error(place, fmt::format("expected an object, found {}", describe_json((*data)[i])));
    const JsonFields part((*data)[i], fields.origin(), place);
    CADRE_CHECK_OK(refuse_unknown((*data)[i], part, {"path", "weight"}));
    CADRE_TRY(const fs::path path, path_of(part, "path", folder));
    CADRE_TRY(const double weight, number_in(part, "weight", 1, 1e-6, 1e6));
    config.data.push_back({path, weight});
  }
  if (config.data.empty()) return fields.error("data", "expected at least one folder of token shards");
  return {};
}

Status read_batch(const JsonFields& fields, TrainConfig& config) {
  CADRE_TRY(const Section batch,
            Section::open(fields, "batch", {"sequences", "length", "micro_sequences", "memory_gb"}));
  CADRE_TRY(config.sequences, batch->integer("sequences", 1, kMostRows));
  CADRE_TRY(config.length, batch->integer("length", 2, kMostLength));
  CADRE_TRY(config.memory_gb, number_in(*batch, "memory_gb", 0, 0, 1e6));
  if (config.memory_gb > 0) {
    if (batch->has("micro_sequences"))
      return batch->error("memory_gb", "expected either this or 'micro_sequences', which follows from it");
    return {};
  }
  CADRE_TRY(config.micro_sequences,
            batch->integer_or("micro_sequences", config.sequences, 1, config.sequences));
  if (config.sequences % config.micro_sequences != 0)
    return batch->error("micro_sequences", fmt::format("expected a divisor of sequences = {}, found {}",
                                                       config.sequences, config.micro_sequences));
  return {};
}

Status read_compute(const JsonFields& fields, TrainConfig& config) {
  CADRE_TRY(const std::string compute, fields.string_or("compute", "f32"));
  if (compute != "f32" && compute != "bf16")
    return fields.error("compute", fmt::format("expected \"f32\" or \"bf16\", found \"{}\"", compute));
  config.compute = compute == "bf16" ? Compute::kBF16 : Compute::kF32;
  return {};
}

Status read_optimiser(const JsonFields& fields, TrainConfig& config) {
  CADRE_TRY(const Section section, Section::open(fields, "optimiser",
                                                 {"type", "learning_rate", "warmup", "decay", "clip",
                                                  "weight_decay", "beta1", "beta2", "eps", "momentum"}));
  CADRE_TRY(const std::string type, section->string_or("type", "adamw"));
  if (type != "adamw" && type != "muon")
    return section->error("type", fmt::format("expected \"adamw\" or \"muon\", found \"{}\"", type));
  OptimiserOptions& options = config.optimiser;
  options.muon = type == "muon";
  CADRE_TRY(config.learning_rate, number_in(*section, "learning_rate", options.muon ? 3e-3 : 1.5e-3, 0, 10));
  CADRE_TRY(config.warmup, number_in(*section, "warmup", config.warmup, 0, 1));
  CADRE_TRY(config.decay, number_in(*section, "decay", config.decay, 0, 1));
  CADRE_TRY(config.clip, number_in(*section, "clip", config.clip, 0, 1e9));
  CADRE_TRY(options.weight_decay, number_in(*section, "weight_decay", options.weight_decay, 0, 10));
  constexpr double kBelowOne = 1 - 1e-9;
  CADRE_TRY(options.beta1, number_in(*section, "beta1", options.beta1, 0, kBelowOne));
  CADRE_TRY(options.beta2, number_in(*section, "beta2", options.beta2, 0, kBelowOne));
  CADRE_TRY(options.eps, number_in(*section, "eps", options.eps, 1e-30, 1));
  CADRE_TRY(options.momentum, number_in(*section, "momentum", options.momentum, 0, kBelowOne));
  return {};
}

Status read_balance(const JsonFields& fields, TrainConfig& config) {
  CADRE_TRY(const Section section, Section::open(fields, "balance",
                                                 {"bias_rate", "sequence_loss", "batch_loss", "z_loss",
                                                  "capacity_factor", "capacity_order"}));
  CADRE_TRY(config.bias_rate, number_in(*section, "bias_rate", config.bias_rate, 0, 1));
  CADRE_TRY(config.losses.sequence, number_in(*section, "sequence_loss", 1e-4, 0, 1e3));
  CADRE_TRY(config.losses.batch, number_in(*section, "batch_loss", 0, 0, 1e3));
  CADRE_TRY(config.losses.z, number_in(*section, "z_loss", 0, 0, 1e3));
  CADRE_TRY(config.capacity.factor, number_in(*section, "capacity_factor", 0, 0, 1e6));
  CADRE_TRY(const std::string order, section->string_or("capacity_order", "position"));
  if (order != "position" && order != "priority")
    return section->error("capacity_order",
                          fmt::format("expected \"position\" or \"priority\", found \"{}\"", order));
  config.capacity.order = order == "priority" ? CapacityOrder::kPriority : CapacityOrder::kPosition;
  return {};
}

Status read_routing(const JsonFields& fields, TrainConfig& config) {
  CADRE_TRY(const Section section,
            Section::open(fields, "routing", {"random_top_k", "share", "warmup", "expert_dropout"}));
  RandomRoutingOptions& options = config.random_routing;
  CADRE_TRY(options.dropout, number_in(*section, "expert_dropout", 0, 0, 1));
  CADRE_TRY(options.share, number_in(*section, "share", options.share, 0, 1));
  CADRE_TRY(options.warmup, number_in(*section, "warmup", options.warmup, 0, 1));
  const Json* range = section->find("random_top_k");
  if (range == nullptr) return {};
  const auto whole = [&](size_t i) { return (*range)[i].is_number_integer(); };
  if (!range->is_array() || range->size() != 2 || !whole(0) || !whole(1))
    return section->error(
        "random_top_k",
        fmt::format("expected [lowest, highest], two whole numbers, found {}", describe_json(*range)));
  options.lowest_k = (*range)[0].get<int64_t>();
  options.highest_k = (*range)[1].get<int64_t>();
  if (options.lowest_k < 1 || options.highest_k < options.lowest_k)
    return section->error("random_top_k", fmt::format("expected 1 <= lowest <= highest, found [{}, {}]",
                                                      options.lowest_k, options.highest_k));
  return {};
}

Status read_samples(const JsonFields& fields, TrainConfig& config) {
  CADRE_TRY(const Section section, Section::open(fields, "samples", {"prompts", "raw", "tokens"}));
  CADRE_TRY(config.samples.raw, section->boolean_or("raw", false));
  CADRE_TRY(config.samples.tokens, section->integer_or("tokens", config.samples.tokens, 1, kMostLength));
  const Json* prompts = section->find("prompts");
  if (prompts == nullptr) return {};
  if (!prompts->is_array())
    return section->error("prompts", fmt::format("expected a list, found {}", describe_json(*prompts)));
  for (const Json& prompt : *prompts) {
    if (!prompt.is_string() || prompt.get<std::string>().empty())
      return section->error("prompts", fmt::format("expected texts, found {}", describe_json(prompt)));
    config.samples.prompts.push_back(prompt.get<std::string>());
  }
  if (!config.samples.prompts.empty() && config.tokenizer.empty())
    return section->error("prompts", "a run without 'tokenizer' cannot answer them");
  return {};
}

Status read_rhythm(const JsonFields& fields, TrainConfig& config) {
  CADRE_TRY(const Section validate, Section::open(fields, "validate", {"every", "batches"}));
  CADRE_TRY(config.validate_every, validate->integer_or("every", 0, 0, kMostSteps));
  CADRE_TRY(config.validate_batches, validate->integer_or("batches", 8, 1, kMostRows));
  CADRE_TRY(const Section checkpoint, Section::open(fields, "checkpoint", {"every", "keep"}));
  CADRE_TRY(config.checkpoint_every, checkpoint->integer_or("every", 0, 0, kMostSteps));
  CADRE_TRY(config.checkpoint_keep, checkpoint->integer_or("keep", config.checkpoint_keep, 1, kMostRows));
  return {};
}

}  // namespace

Result<TrainConfig> parse_train_config(const Json& document, const std::string& origin,
                                       const fs::path& folder) {
  if (!document.is_object())
    return invalid("{}: expected an object, found {}", origin, describe_json(document));
  const JsonFields fields(document, origin);
  CADRE_CHECK_OK(refuse_unknown(
      document, fields,
      {"model", "start_from", "tokenizer", "data", "out", "seed", "steps", "batch", "optimiser", "balance",
       "routing", "validate", "checkpoint", "samples", "lora", "recompute", "compute"}));
  TrainConfig config;
  CADRE_CHECK_OK(read_model(fields, folder, config));
  CADRE_CHECK_OK(read_lora(fields, config));
  CADRE_CHECK_OK(read_data(fields, folder, config));
  CADRE_TRY(config.out, path_of(fields, "out", folder));
  CADRE_TRY(const int64_t seed, fields.integer_or("seed", 0, 0, std::numeric_limits<int64_t>::max()));
  config.seed = static_cast<uint64_t>(seed);
  CADRE_TRY(config.steps, fields.integer("steps", 1, kMostSteps));
  CADRE_CHECK_OK(read_batch(fields, config));
  CADRE_TRY(config.recompute, fields.boolean_or("recompute", false));
  CADRE_CHECK_OK(read_compute(fields, config));
  CADRE_CHECK_OK(read_optimiser(fields, config));
  CADRE_CHECK_OK(read_balance(fields, config));
  CADRE_CHECK_OK(read_routing(fields, config));
  CADRE_CHECK_OK(read_rhythm(fields, config));
  CADRE_CHECK_OK(read_samples(fields, config));
  return config;
}

Result<TrainConfig> read_train_config(const fs::path& path) {
  CADRE_TRY(const Json document, read_json_file(path.string()));
  return parse_train_config(document, path.string(), path.parent_path());
}

}  // namespace cadre::train
