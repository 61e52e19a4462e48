#include "cadre/cli/command.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <limits>
#include <random>

#include "cadre/runtime/find_model.h"

namespace cadre::cli {

std::string environment_name(const std::string& flag_names) {
  const size_t start = flag_names.find("--");
  if (start == std::string::npos) return {};
  std::string name = "CADRE_" + flag_names.substr(start + 2, flag_names.find(',', start) - start - 2);
  std::transform(name.begin(), name.end(), name.begin(), [](char c) {
    return c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  });
  return name;
}

CLI::Option* add_switch(CLI::App& app, const std::string& names, bool& value, const std::string& help) {
  return app.add_flag(names, value, help)->envname(environment_name(names));
}

CLI::Option* add_seed_flag(CLI::App& app, std::optional<uint64_t>& seed, const std::string& help) {
  const auto whole_number = [](const std::string& text) -> std::string {
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size()) return {};
    return fmt::format("expected a whole number from 0 to {}, found '{}'",
                       std::numeric_limits<uint64_t>::max(), text);
  };
  return add_flag(app, "-s,--seed", seed, help)->check(whole_number);
}

void ModelFlags::add_to(CLI::App& app) {
  app.add_option("MODEL", positional,
                 "model directory, .gguf file, or a name (see docs/models.md); default: $CADRE_MODEL, else "
                 "the bundled model");
  add_flag(app, "-m,--model", named, "the same as a flag");
}

Result<std::filesystem::path> ModelFlags::path() const {
  // --model may come from the environment, which a positional argument overrides silently.
  return find_model(!positional.empty() ? positional : named);
}

void EngineFlags::add_to(CLI::App& app, bool with_context) {
  add_flag(app, "-t,--threads", threads, "threads; 0: one per core")->check(CLI::Range(0, 1024));
  if (with_context)
    add_flag(app, "-c,--ctx,--ctx-size,--max-model-len", context,
             "tokens of context; 0: from the model, at most 8192")
        ->check(CLI::Range(int64_t{0}, int64_t{1} << 30));
  add_flag(
      app, "--kv-type", kv_type,
      "type of the KV cache: bf16, f32 or int8 (codes of 8 bits per group of 64 channels, rotary channels in "
      "bf16; q8_0 means the same)")
      ->capture_default_str();
  add_flag(
      app, "--compute", compute,
      "what inputs of matrix products are rounded to: f32, bf16, int8 (with packed weights, else f32) or "
      "auto (int8)")
      ->capture_default_str();
  add_flag(app, "--mla", mla,
           "MLA form: absorbed (same bits at any chunking) or auto (explicit for long prompt chunks, fewer "
           "operations)")
      ->capture_default_str();
  add_flag(app, "--device", device, "cpu; cuda:N and hip:N are not there yet")->capture_default_str();
  add_flag(app, "--isa", isa, "CPU code path: auto, generic, avx2 or avx512")->capture_default_str();
  add_flag(
      app, "--repack", repack,
      "weights in GGUF's row layouts (Q4_0, Q8_0, MXFP4): auto copies them into the packed layout at load, "
      "off reads them where they are mapped, which is slower")
      ->capture_default_str();
  add_flag(app, "--lora", lora, "folder of a LoRA adapter in PEFT's layout, to be applied to the model");
  add_flag(app, "--fallback", fallback,
           "tokens that the router is not sure of go without routed experts: on (by the model's thresholds), "
           "off, auto (on where there are thresholds), or force (all tokens: for measurement)")
      ->capture_default_str();
  add_flag(app, "--experts", experts, "experts per token instead of the model's own k; 0: the model's")
      ->check(CLI::Range(int64_t{0}, int64_t{65536}));
}

namespace {

tl::unexpected<Error> bad_value(const char* flag, const char* expected, const std::string& found) {
  return fail(ErrorKind::kUsage, "{}: expected {}, found '{}'", flag, expected, found);
}

}  // namespace

Result<EngineOptions> EngineFlags::options() const {
  EngineOptions options;
  options.cpu = {.threads = threads, .isa = isa};
  if (kv_type == "f32") {
    options.kv_type = DType::kF32;
  } else if (kv_type == "int8" || kv_type == "q8_0") {
    options.kv_type = DType::kI8;
  } else if (kv_type != "bf16") {
    return bad_value("--kv-type", "bf16, f32 or int8", kv_type);
  }
  if (compute == "bf16") {
    options.compute = Compute::kBF16;
  } else if (compute == "f32") {
    options.compute = Compute::kF32;
  } else if (compute != "int8" && compute != "auto") {
    return bad_value("--compute", "f32, bf16, int8 or auto", compute);
  }
  if (mla == "auto") {
    options.mla_form = MlaForm::kAuto;
  } else if (mla != "absorbed") {
    return bad_value("--mla", "absorbed or auto", mla);
  }
  if (fallback == "on") {
    options.fallback = FallbackUse::kOn;
  } else if (fallback == "off") {
    options.fallback = FallbackUse::kOff;
  } else if (fallback == "force") {
    options.fallback = FallbackUse::kForce;
  } else if (fallback != "auto") {
    return bad_value("--fallback", "auto, on, off or force", fallback);
  }
  if (device != "cpu") return bad_value("--device", "cpu (GPU back ends are not there yet)", device);
  return options;
}

Result<LoadOptions> EngineFlags::load_options() const {
  if (repack != "auto" && repack != "off") return bad_value("--repack", "auto or off", repack);
  return LoadOptions{.repack = repack == "auto", .threads = threads, .lora = lora};
}

Status EngineFlags::apply_experts(Model& model) const {
  return experts == 0 ? Status() : model.set_experts_per_token(experts);
}

void SamplingFlags::add_to(CLI::App& app) {
  add_flag(app, "--temp,--temperature", temperature, "temperature; 0: always the most likely token");
  add_flag(app, "--top-k", top_k, "keep the k most likely tokens; 0: all");
  add_flag(app, "--top-p", top_p, "keep the most likely tokens whose probabilities reach p");
  add_flag(app, "--min-p", min_p, "keep tokens of at least this share of the best one's probability");
  add_flag(app, "--repeat-penalty,--repetition-penalty", repetition_penalty,
           "penalty on tokens seen; 1: none");
  add_flag(app, "--presence-penalty", presence_penalty, "subtracted once from tokens already generated");
  add_flag(app, "--frequency-penalty", frequency_penalty,
           "subtracted per occurrence from tokens already generated");
  add_seed_flag(app, seed, "seed of sampling; the same seed gives the same answer");
  add_flag(app, "--logit-bias", logit_bias, "ID=BIAS, added to a token's logit (may be given several times)");
}

namespace {

Result<std::pair<int32_t, float>> parse_bias(const std::string& text) {
  int32_t token = 0;
  float bias = 0;
  const size_t split = text.find('=');
  if (split != std::string::npos) {
    const auto [id_end, id_error] = std::from_chars(text.data(), text.data() + split, token);
    const auto [end, error] = std::from_chars(text.data() + split + 1, text.data() + text.size(), bias);
    if (id_error == std::errc() && error == std::errc() && id_end == text.data() + split &&
        end == text.data() + text.size())
      return std::pair(token, bias);
  }
  return fail(ErrorKind::kUsage, "--logit-bias: expected ID=BIAS, found '{}'", text);
}

}  // namespace

Result<SamplingParams> SamplingFlags::apply_to(SamplingParams params) const {
  params.temperature = temperature.value_or(params.temperature);
  params.top_p = top_p.value_or(params.top_p);
  params.min_p = min_p.value_or(params.min_p);
  params.top_k = top_k.value_or(params.top_k);
  params.repetition_penalty = repetition_penalty.value_or(params.repetition_penalty);
  params.presence_penalty = presence_penalty.value_or(params.presence_penalty);
  params.frequency_penalty = frequency_penalty.value_or(params.frequency_penalty);
  params.seed = seed ? *seed : (uint64_t{std::random_device{}()} << 32) | std::random_device{}();
  for (const std::string& text : logit_bias) {
    CADRE_TRY(params.logit_bias.emplace_back(), parse_bias(text));
  }
  return params;
}

Result<DType> parse_random_type(const std::string& type) {
  if (type == "bf16") return DType::kBF16;
  if (type == "f32") return DType::kF32;
  if (const auto packed = dtype_from_name(type); packed && is_packed(*packed)) return *packed;
  return fail(ErrorKind::kUsage, "--type: expected f32, bf16, q8, q6, q4, mxfp4, q3 or q2, found '{}'", type);
}

void add_json_flag(CLI::App& app, bool& json) { add_switch(app, "--json", json, "print the result as JSON"); }

}  // namespace cadre::cli
