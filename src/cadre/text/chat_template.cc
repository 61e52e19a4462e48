#include "cadre/text/chat_template.h"

#include <algorithm>

#include "cadre/text/chat_legacy.h"
#include "cadre/text/chat_v4.h"

namespace cadre {
namespace {

Result<std::string> render_built_in(ChatFormat format, const ChatRequest& request, std::string_view bos_token,
                                    std::string_view eos_token) {
  const auto legacy = [&](LegacyFormat which) { return render_legacy(request, which, bos_token, eos_token); };
  switch (format) {
    case ChatFormat::kDeepseekV2:
      return legacy(LegacyFormat::kV2);
    case ChatFormat::kDeepseekV3:
      return legacy(LegacyFormat::kV3);
    case ChatFormat::kDeepseekR1:
      return legacy(LegacyFormat::kR1);
    case ChatFormat::kDeepseekV31:
      return legacy(LegacyFormat::kV31);
    case ChatFormat::kDeepseekV32:
      return legacy(LegacyFormat::kV32);
    case ChatFormat::kDeepseekV4:
      return render_v4(request, V4Release::kInitial, bos_token, eos_token);
    case ChatFormat::kDeepseekV4Flash0731:
      return render_v4(request, V4Release::k0731, bos_token, eos_token);
  }
  return invalid("unknown chat format");
}

}  // namespace

Result<ChatTemplate> ChatTemplate::parse(std::string_view text, std::string source) {
  CADRE_TRY(jinja::Template program, jinja::Template::parse(text, source));
  std::vector<Named> programs;
  programs.push_back({"default", std::move(program)});
  return ChatTemplate(std::move(source), std::move(programs));
}

Result<ChatTemplate> ChatTemplate::from_config(const Json& chat_template, const std::string& source) {
  if (chat_template.is_string()) return parse(chat_template.get_ref<const std::string&>(), source);
  if (!chat_template.is_array())
    return invalid("{}: field 'chat_template': expected a string or a list of templates, found {}", source,
                   describe_json(chat_template));
  std::vector<Named> programs;
  for (size_t i = 0; i < chat_template.size(); ++i) {
    const JsonFields fields(chat_template[i], source, fmt::format("chat_template[{}]", i));
    CADRE_TRY(std::string name, fields.string("name"));
    CADRE_TRY(const std::string text, fields.string("template"));
    CADRE_TRY(jinja::Template program,
              jinja::Template::parse(text, fmt::format("{}, template '{}'", source, name)));
    programs.push_back({std::move(name), std::move(program)});
  }
  const bool has_default = std::any_of(programs.begin(), programs.end(),
                                       [](const Named& entry) { return entry.name == "default"; });
  if (!has_default) return invalid("{}: field 'chat_template': no template named 'default'", source);
  return ChatTemplate(source, std::move(programs));
}

ChatTemplate ChatTemplate::built_in(ChatFormat format) {
  return ChatTemplate(fmt::format("built-in {}", chat_format_name(format)), format);
}

std::optional<ChatFormat> ChatTemplate::format() const {
  const ChatFormat* format = std::get_if<ChatFormat>(&body_);
  return format != nullptr ? std::optional(*format) : std::nullopt;
}

Result<std::string> ChatTemplate::render(const ChatRequest& request, std::string_view bos_token,
                                         std::string_view eos_token) const {
  if (const ChatFormat* format = std::get_if<ChatFormat>(&body_))
    return render_built_in(*format, request, bos_token, eos_token);
  return render_jinja(request, bos_token, eos_token);
}

Result<std::string> ChatTemplate::render_jinja(const ChatRequest& request, std::string_view bos_token,
                                               std::string_view eos_token) const {
  const auto& programs = std::get<std::vector<Named>>(body_);
  const auto named = [&](std::string_view name) {
    return std::find_if(programs.begin(), programs.end(),
                        [&](const Named& entry) { return entry.name == name; });
  };
  const bool has_tools = request.tools.is_array() && !request.tools.empty();
  auto chosen = has_tools ? named("tool_use") : programs.end();
  if (chosen == programs.end()) chosen = named("default");

  Json variables = request.options.is_object() ? request.options : Json::object();
  if (!variables.contains("add_generation_prompt")) variables["add_generation_prompt"] = true;
  if (!variables.contains("documents")) variables["documents"] = nullptr;
  variables["messages"] = request.messages;
  variables["tools"] = request.tools;
  variables["bos_token"] = bos_token;
  variables["eos_token"] = eos_token;
  return chosen->program.render(variables);
}

Result<ChatTemplate> load_chat_template(const Json* tokenizer_config,
                                        std::optional<std::string_view> jinja_text,
                                        const ModelTraits& model) {
  if (jinja_text) return ChatTemplate::parse(*jinja_text, "chat_template.jinja");
  if (tokenizer_config != nullptr) {
    if (const Json* text = json_member(*tokenizer_config, "chat_template"))
      return ChatTemplate::from_config(*text, "tokenizer_config.json");
  }
  CADRE_TRY(const ChatFormat format, detect_chat_format(model));
  return ChatTemplate::built_in(format);
}

}  // namespace cadre
