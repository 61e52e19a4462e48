#pragma once
/// From a conversation to the exact text a model is prompted with.

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cadre/base/json.h"
#include "cadre/base/result.h"
#include "cadre/text/chat_format.h"
#include "cadre/text/chat_request.h"
#include "cadre/text/jinja_template.h"

namespace cadre {

/// A Jinja template of a model, or one of the built-in formats. Immutable: any number of threads may render.
class ChatTemplate {
 public:
  /// From the text of a template; `source` names it in errors. Errors: as jinja::Template::parse.
  static Result<ChatTemplate> parse(std::string_view text, std::string source);
  /// From `chat_template` of a tokenizer_config.json: a string, or [{name, template}, ...] of which
  /// "tool_use" is taken for requests with tools and "default" else. Errors: as above, and a list without
  /// "default".
  static Result<ChatTemplate> from_config(const Json& chat_template, const std::string& source);
  static ChatTemplate built_in(ChatFormat format);

  /// Errors: what the template or format refuses in the request; see render_v4, render_legacy,
  /// jinja::Template.
  ///
  /// A Jinja template sees what Hugging Face's apply_chat_template gives it: messages, tools and documents
  /// (none when there are none), add_generation_prompt (true unless set), bos_token, eos_token, and all
  /// options.
  Result<std::string> render(const ChatRequest& request, std::string_view bos_token,
                             std::string_view eos_token) const;

  /// Where it came from: "chat_template.jinja", "tokenizer_config.json", "built-in deepseek-v4".
  const std::string& source() const { return source_; }
  /// The built-in format; nullopt for a Jinja template.
  std::optional<ChatFormat> format() const;

 private:
  struct Named {
    std::string name;
    jinja::Template program;
  };
  ChatTemplate(std::string source, std::variant<ChatFormat, std::vector<Named>> body)
      : source_(std::move(source)), body_(std::move(body)) {}
  Result<std::string> render_jinja(const ChatRequest& request, std::string_view bos_token,
                                   std::string_view eos_token) const;

  std::string source_;
  std::variant<ChatFormat, std::vector<Named>> body_;
};

/// The template of a model directory: the text of its chat_template.jinja when there is one, else
/// `chat_template` of its tokenizer_config.json (`tokenizer_config` may be null), else the built-in format
/// that detect_chat_format finds. Errors: of the first of these that is there.
Result<ChatTemplate> load_chat_template(const Json* tokenizer_config,
                                        std::optional<std::string_view> jinja_text, const ModelTraits& model);

}  // namespace cadre
