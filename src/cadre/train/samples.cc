#include "cadre/train/samples.h"

#include <algorithm>
#include <limits>
#include <system_error>

#include "cadre/runtime/generator.h"
#include "cadre/runtime/text_assets.h"

namespace cadre::train {
namespace {

Result<std::vector<int32_t>> prompt_tokens(const TextAssets& assets, const std::string& prompt, bool raw) {
  if (raw) return assets.tokenizer.encode(prompt, {.add_bos = assets.tokenizer.bos().has_value()});
  if (!assets.chat_template) return tl::unexpected(assets.chat_template.error());
  const Json message{{"role", "user"}, {"content", prompt}};
  CADRE_TRY(const ChatRequest request,
            parse_chat_request({{"messages", Json::array({message})}}, "samples.prompts"));
  CADRE_TRY(const std::string text,
            assets.chat_template->render(request, assets.bos_token, assets.eos_token));
  return assets.tokenizer.encode(text);
}

}  // namespace

Result<std::vector<Sample>> take_samples(const std::filesystem::path& checkpoint, int64_t step,
                                         const SampleOptions& options) {
  CADRE_TRY(const TextAssets assets, load_text_assets(checkpoint));
  const bool adapter = !options.base_model.empty();
  CADRE_TRY(const Model model, Model::load(adapter ? options.base_model : checkpoint,
                                           {.lora = adapter ? checkpoint : std::filesystem::path()}));
  std::vector<std::vector<int32_t>> prompts;
  size_t longest = 0;
  for (const std::string& prompt : options.prompts) {
    CADRE_TRY(std::vector<int32_t> ids, prompt_tokens(assets, prompt, options.raw));
    longest = std::max(longest, ids.size());
    prompts.push_back(std::move(ids));
  }
  EngineOptions engine_options{.cpu = options.cpu, .compute = Compute::kF32};
  engine_options.context_tokens =
      std::min(model.config().max_position_embeddings, static_cast<int64_t>(longest) + options.tokens);
  CADRE_TRY(Engine engine, Engine::create(model, engine_options));
  GenerationOptions generation{.max_tokens = options.tokens, .stop_tokens = assets.stop_tokens};
  generation.sampling.temperature = 0;
  std::vector<Sample> samples;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const SequenceId sequence = engine.open_sequence();
    CADRE_TRY(Generation answer, generate(engine, sequence, prompts[i], assets.tokenizer, generation,
                                          [](std::string_view) { return true; }));
    engine.close_sequence(sequence);
    samples.push_back({step, options.prompts[i], std::move(answer.text)});
  }
  return samples;
}

Status add_samples(const std::filesystem::path& path, std::span<const Sample> samples) {
  CADRE_TRY(std::vector<Sample> all, read_samples(path));
  const auto later = [&](const Sample& sample) { return sample.step >= samples.front().step; };
  std::erase_if(all, later);
  all.insert(all.end(), samples.begin(), samples.end());
  std::string text;
  for (const Sample& sample : all)
    text += dump_json(Json{{"step", sample.step}, {"prompt", sample.prompt}, {"text", sample.text}}) + "\n";
  return write_text_file(path, text);
}

Result<std::vector<Sample>> read_samples(const std::filesystem::path& path) {
  std::vector<Sample> samples;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return samples;
  CADRE_TRY(const std::string text, read_text_file(path));
  size_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string origin = fmt::format("{}:{}", path.string(), ++number);
    CADRE_TRY(const Json line, parse_json(std::string_view(text).substr(begin, end - begin), origin));
    if (!line.is_object()) return invalid("{}: expected an object, found {}", origin, describe_json(line));
    const JsonFields fields(line, origin);
    Sample& sample = samples.emplace_back();
    CADRE_TRY(sample.step, fields.integer("step", 1, std::numeric_limits<int64_t>::max()));
    CADRE_TRY(sample.prompt, fields.string("prompt"));
    CADRE_TRY(sample.text, fields.string("text"));
    begin = end + 1;
  }
  return samples;
}

}  // namespace cadre::train
