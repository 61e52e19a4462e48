// `cadre chat-template`: messages to the exact prompt text.
#include <memory>

#include "cadre/cli/commands.h"
#include "cadre/cli/io.h"
#include "cadre/runtime/text_assets.h"

namespace cadre::cli {
namespace {

struct ChatTemplateFlags {
  ModelFlags model;
  bool json = false;
};

Status run(const ChatTemplateFlags& flags) {
  CADRE_TRY(const std::filesystem::path path, flags.model.path());
  CADRE_TRY(const TextAssets assets, load_text_assets(path));
  if (!assets.chat_template) return tl::unexpected(assets.chat_template.error());
  CADRE_TRY(const std::string input, read_stdin());
  CADRE_TRY(const Json document, parse_json(input, "stdin"));
  CADRE_TRY(const ChatRequest request, parse_chat_request(document, "stdin"));
  CADRE_TRY(const std::string prompt,
            assets.chat_template->render(request, assets.bos_token, assets.eos_token));
  if (!flags.json) return write_stdout(prompt);
  return write_stdout(dump_json(Json{{"prompt", prompt}, {"template", assets.chat_template->source()}}) +
                      "\n");
}

}  // namespace

Action set_up_chat_template(CLI::App& app) {
  auto flags = std::make_shared<ChatTemplateFlags>();
  flags->model.add_to(app);
  add_json_flag(app, flags->json);
  app.footer(
      "Standard input: a JSON array of messages, or an object with `messages`, and if wanted `tools`, "
      "`thinking`,\n"
      "`add_generation_prompt`, `reasoning_effort` and other variables of the template.");
  return [flags] { return run(*flags); };
}

}  // namespace cadre::cli
