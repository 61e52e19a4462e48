// `cadre run`: chat in the terminal, or one answer.
#include <cstdio>
#include <memory>

#include "cadre/base/interrupt.h"
#include "cadre/cli/chat_session.h"
#include "cadre/cli/commands.h"
#include "cadre/cli/io.h"
#include "cadre/cli/repl.h"

namespace cadre::cli {
namespace {

struct RunFlags {
  ModelFlags model;
  EngineFlags engine;
  SamplingFlags sampling;
  std::optional<std::string> prompt;
  std::string system;
  int64_t predict = 0;
  std::vector<std::string> stop;
  bool raw = false;
  bool think = false;
  bool json = false;
  bool quiet = false;
};

constexpr int64_t kDefaultContext = 8192;

/// The cache's size: what the user asks for, else the model's own limit up to a default that any machine
/// holds.
Result<int64_t> context_tokens(const RunFlags& flags, const ModelConfig& config) {
  if (flags.engine.context == 0) return std::min(config.max_position_embeddings, kDefaultContext);
  if (flags.engine.context > config.max_position_embeddings)
    return fail(ErrorKind::kUsage, "--ctx {}: the model's context is {} (max_position_embeddings)",
                flags.engine.context, config.max_position_embeddings);
  return flags.engine.context;
}

Status print_answer(const Generation& answer, const RunFlags& flags) {
  if (flags.json) {
    const Json document = {{"text", answer.text},
                           {"finish_reason", name(answer.reason)},
                           {"prompt_tokens", answer.prompt_tokens},
                           {"completion_tokens", answer.tokens.size()},
                           {"prefill_seconds", answer.prefill_seconds},
                           {"decode_seconds", answer.decode_seconds}};
    return write_stdout(dump_json(document) + "\n");
  }
  CADRE_CHECK_OK(write_stdout("\n"));
  if (!flags.quiet) std::fprintf(stderr, "%s\n", describe_speed(answer).c_str());
  return answer.reason == FinishReason::kCancelled ? check_interrupt() : Status();
}

/// One prompt from -p or standard input, one answer.
Status answer_once(ChatSession& session, const std::string& prompt, const RunFlags& flags) {
  const auto show = [&](std::string_view text) { return flags.json || write_stdout(text).has_value(); };
  CADRE_TRY(const Generation answer, flags.raw ? session.complete(prompt, show) : session.ask(prompt, show));
  return print_answer(answer, flags);
}

Status run(const RunFlags& flags) {
  CADRE_TRY(const std::filesystem::path path, flags.model.path());
  CADRE_TRY(EngineOptions options, flags.engine.options());
  CADRE_TRY(const TextAssets assets, load_text_assets(path));
  CADRE_TRY(const LoadOptions load_options, flags.engine.load_options());
  CADRE_TRY(Model model, Model::load(path, load_options));
  CADRE_CHECK_OK(flags.engine.apply_experts(model));
  CADRE_TRY(options.context_tokens, context_tokens(flags, model.config()));
  CADRE_TRY(Engine engine, Engine::create(model, options));
  if (!flags.quiet) {
    std::fprintf(stderr, "%s: %s; %s\n", path.filename().string().c_str(), describe(engine.plan()).c_str(),
                 engine.backend().description().c_str());
    if (options.mla_form == MlaForm::kAuto)
      std::fputs("MLA: explicit form for long prompt chunks; bits depend on the chunking\n", stderr);
  }

  GenerationOptions generation{
      .max_tokens = flags.predict, .stop_tokens = assets.stop_tokens, .stop_strings = flags.stop};
  CADRE_TRY(generation.sampling, flags.sampling.apply_to(assets.sampling));
  CADRE_CHECK_OK(validate(generation.sampling, model.config().vocab_size));
  ChatSession session(engine, assets, generation, {.system = flags.system, .think = flags.think});

  if (flags.prompt) return answer_once(session, *flags.prompt, flags);
  if (!stdin_is_terminal() || flags.raw) {
    CADRE_TRY(std::string prompt, read_stdin());
    // The newline that ends the last line belongs to the file, not to what is said.
    if (!flags.raw && prompt.ends_with('\n')) prompt.pop_back();
    return answer_once(session, prompt, flags);
  }
  return run_repl(session);
}

}  // namespace

Action set_up_run(CLI::App& app) {
  auto flags = std::make_shared<RunFlags>();
  flags->model.add_to(app);
  add_flag(app, "-p,--prompt", flags->prompt,
           "answer this once and leave; without it, piped standard input is the prompt");
  add_flag(app, "--system", flags->system, "system message");
  add_flag(app, "-n,--predict,--n-predict,--max-tokens", flags->predict,
           "most tokens to answer with; 0: until the context is full")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30));
  add_flag(app, "--stop", flags->stop, "stop before this text (may be given several times)");
  add_switch(app, "--raw", flags->raw, "continue the prompt as it is, without the chat template");
  add_switch(app, "--think", flags->think, "let a thinking model think (templates that know how)");
  add_json_flag(app, flags->json);
  add_switch(app, "-q,--quiet", flags->quiet, "no notes about memory and speed");
  flags->sampling.add_to(app);
  flags->engine.add_to(app, /*with_context=*/true);
  return [flags] { return run(*flags); };
}

}  // namespace cadre::cli
