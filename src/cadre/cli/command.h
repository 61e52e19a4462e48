#pragma once
/// What a sub-command of `cadre` is, and the flags that several of them share.

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <functional>
#include <optional>
#include <string>

#include "cadre/runtime/engine.h"
#include "cadre/runtime/sampler.h"

namespace cadre::cli {

/// Runs after the flags were parsed. The returned error is printed by main; its kind decides the exit code.
using Action = std::function<Status()>;

struct Command {
  const char* name;
  const char* summary;
  /// Adds the flags to `app` and returns what to run.
  Action (*set_up)(CLI::App& app);
};

/// All commands, in the order of `cadre --help`.
std::span<const Command> commands();

/// Adds a flag with its environment twin: `--kv-type` and CADRE_KV_TYPE. (CLI11 keeps the spelling rules:
/// "-t,--threads".) The twin is made from the first long name.
template <typename T>
CLI::Option* add_flag(CLI::App& app, const std::string& names, T& value, const std::string& help);
std::string environment_name(const std::string& flag_names);
/// The same for a flag without a value; its twin is 1 or 0.
CLI::Option* add_switch(CLI::App& app, const std::string& names, bool& value, const std::string& help);
/// The same for --seed: any whole number of 64 bits. CLI11 alone would wrap -1 and cut what is too large.
CLI::Option* add_seed_flag(CLI::App& app, std::optional<uint64_t>& seed, const std::string& help);

/// The model argument: positional or -m/--model; else $CADRE_MODEL, else the bundled model.
struct ModelFlags {
  std::string positional;
  std::string named;
  void add_to(CLI::App& app);
  /// Errors: kUsage when two different models are given; kNotFound as find_model.
  Result<std::filesystem::path> path() const;
};

/// How the engine runs: threads, ISA, cache type, compute type, context.
struct EngineFlags {
  int threads = 0;
  int64_t context = 0;  ///< 0: the model's own limit, at most kDefaultContext
  std::string kv_type = "bf16";
  std::string compute = "auto";
  std::string mla = "absorbed";
  std::string device = "cpu";
  std::string isa = "auto";
  std::string repack = "auto";
  std::string fallback = "auto";
  std::string lora;     ///< folder of an adapter; empty: none
  int64_t experts = 0;  ///< k to use instead of the model's; 0: the model's

  /// `with_context`: the command chooses its own cache size otherwise.
  void add_to(CLI::App& app, bool with_context);
  /// Everything but the sizes. Errors: kUsage for an unknown value, naming the flag.
  Result<EngineOptions> options() const;
  /// How to load the model. Errors: kUsage for an unknown value of --repack.
  Result<LoadOptions> load_options() const;
  /// Sets --experts on the model. Errors: kUsage when it is dense or has fewer eligible experts.
  Status apply_experts(Model& model) const;
};

/// Sampling: a flag, else the model's generation_config.json, else temperature 1 and everything kept.
struct SamplingFlags {
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<double> min_p;
  std::optional<int64_t> top_k;
  std::optional<double> repetition_penalty;
  std::optional<double> presence_penalty;
  std::optional<double> frequency_penalty;
  std::optional<uint64_t> seed;
  std::vector<std::string> logit_bias;  ///< "ID=BIAS"

  void add_to(CLI::App& app);
  /// `suggested` with the flags that were given. Without a seed, one is drawn from the system.
  /// Errors: kUsage for a malformed --logit-bias.
  Result<SamplingParams> apply_to(SamplingParams suggested) const;
};

/// The matrices' type of a random model, from --type. Errors: kUsage, with the known ones.
Result<DType> parse_random_type(const std::string& type);

/// Whether --json was given: results for machines on stdout.
void add_json_flag(CLI::App& app, bool& json);

template <typename T>
CLI::Option* add_flag(CLI::App& app, const std::string& names, T& value, const std::string& help) {
  return app.add_option(names, value, help)->envname(environment_name(names));
}

}  // namespace cadre::cli
