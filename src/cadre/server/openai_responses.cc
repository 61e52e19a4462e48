// POST /v1/responses. Nothing is stored: a conversation comes whole with each request.
#include "cadre/server/chat_task.h"
#include "cadre/server/endpoints.h"
#include "cadre/server/openai.h"

namespace cadre::server {
namespace {

/// The parts of an answer in the order in which they are written: reasoning, message, calls.
enum class Part : uint8_t { kNone, kReasoning, kMessage, kCall };

/// Events are numbered, so each is made in a statement of its own.
class ResponseWriter final : public AnswerWriter {
 public:
  /// `head`: see response_head.
  ResponseWriter(Json head, IdSource& ids) : head_(std::move(head)), ids_(ids) {}

  std::string start() override {
    std::string text = event("response.created", {{"response", in_progress()}});
    return text += event("response.in_progress", {{"response", in_progress()}});
  }

  std::string piece(int, const AnswerPiece& piece) override {
    std::string text;
    if (!piece.reasoning.empty()) {
      text += enter(Part::kReasoning);
      text += delta("response.reasoning_text.delta", piece.reasoning, /*in_content=*/true);
      text_ += piece.reasoning;
    }
    if (!piece.content.empty()) {
      text += enter(Part::kMessage);
      text += delta("response.output_text.delta", piece.content, /*in_content=*/true);
      text_ += piece.content;
    }
    for (const ToolCall& call : piece.tool_calls) {
      if (!call.id.empty()) text += enter_call(call);
      if (call.arguments.empty()) continue;
      text += delta("response.function_call_arguments.delta", call.arguments, /*in_content=*/false);
      text_ += call.arguments;
    }
    return text;
  }

  std::string finish(int, const Answer& answer) override {
    std::string text;
    if (output_.empty() && part_ == Part::kNone) text = enter(Part::kMessage);
    return text += leave(answer.reason);
  }

  std::string end(const std::vector<Answer>& answers, const Usage& usage) override {
    const bool complete = status_of(answers.front()) == "completed";
    return event(complete ? "response.completed" : "response.incomplete",
                 {{"response", document(answers.front(), usage, output_)}});
  }

  std::string failure(const Error& error) override {
    Json response = in_progress();
    response["status"] = "failed";
    response["error"] = {{"code", "server_error"}, {"message", error.message}};
    return event("response.failed", {{"response", std::move(response)}});
  }

  Json body(const std::vector<Answer>& answers, const Usage& usage) override {
    const Answer& answer = answers.front();
    AnswerPiece whole{
        .reasoning = answer.reasoning, .content = answer.content, .tool_calls = answer.tool_calls};
    piece(0, whole);
    finish(0, answer);
    return document(answer, usage, output_);
  }

 private:
  std::string event(std::string_view type, const Json& fields) {
    Json data = {{"type", type}, {"sequence_number", sequence_++}};
    data.update(fields);
    return sse_event(data, type);
  }
  std::string delta(std::string_view type, const std::string& text, bool in_content) {
    Json fields = {{"item_id", item_["id"]}, {"output_index", output_.size()}};
    if (in_content) fields["content_index"] = 0;
    fields["delta"] = text;
    if (part_ == Part::kMessage) fields["logprobs"] = Json::array();
    return event(type, fields);
  }

  static std::string_view status_of(const Answer& answer) {
    const auto reason = answer.reason.value_or(FinishReason::kStopToken);
    return reason == FinishReason::kStopToken || reason == FinishReason::kStopString ? "completed"
                                                                                     : "incomplete";
  }

  Json in_progress() const {
    Json response = head_;
    response["status"] = "in_progress";
    response["output"] = Json::array();
    response["usage"] = nullptr;
    return response;
  }

  Json document(const Answer& answer, const Usage& usage, const Json& output) const {
    Json response = head_;
    const std::string_view status = status_of(answer);
    response["status"] = status;
    if (status == "incomplete") response["incomplete_details"] = {{"reason", "max_output_tokens"}};
    response["output"] = output;
    response["usage"] = {{"input_tokens", usage.prompt_tokens},
                         {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
                         {"output_tokens", usage.generated_tokens},
                         {"total_tokens", usage.prompt_tokens + usage.generated_tokens}};
    return response;
  }

  /// The part with this text: of a message or of reasoning.
  Json content_part(const std::string& text) const {
    if (part_ == Part::kReasoning) return {{"type", "reasoning_text"}, {"text", text}};
    return {
        {"type", "output_text"}, {"text", text}, {"annotations", Json::array()}, {"logprobs", Json::array()}};
  }

  std::string open(Part part, Json item) {
    std::string text = leave(FinishReason::kStopToken);
    part_ = part;
    item_ = std::move(item);
    text_.clear();
    text += event("response.output_item.added", {{"output_index", output_.size()}, {"item", item_}});
    if (part != Part::kCall)
      text += event("response.content_part.added", {{"item_id", item_["id"]},
                                                    {"output_index", output_.size()},
                                                    {"content_index", 0},
                                                    {"part", content_part("")}});
    return text;
  }
  std::string enter(Part part) {
    if (part_ == part) return {};
    if (part == Part::kReasoning)
      return open(part, {{"id", ids_.next("rs_")},
                         {"type", "reasoning"},
                         {"status", "in_progress"},
                         {"summary", Json::array()},
                         {"content", Json::array()}});
    return open(part, {{"id", ids_.next("msg_")},
                       {"type", "message"},
                       {"status", "in_progress"},
                       {"role", "assistant"},
                       {"content", Json::array()}});
  }
  std::string enter_call(const ToolCall& call) {
    return open(Part::kCall, {{"id", ids_.next("fc_")},
                              {"type", "function_call"},
                              {"status", "in_progress"},
                              {"call_id", call.id},
                              {"name", call.name},
                              {"arguments", ""}});
  }

  /// Closes the part that is open.
  std::string leave(std::optional<FinishReason> reason) {
    if (part_ == Part::kNone) return {};
    const Json place = {{"item_id", item_["id"]}, {"output_index", output_.size()}};
    const auto with = [&](const Json& fields) {
      Json all = place;
      all.update(fields);
      return all;
    };
    std::string text;
    if (part_ == Part::kCall) {
      item_["arguments"] = text_;
      text += event("response.function_call_arguments.done",
                    with({{"name", item_["name"]}, {"arguments", text_}}));
    } else {
      item_["content"] = Json::array({content_part(text_)});
      const bool reasoning = part_ == Part::kReasoning;
      Json done = {{"content_index", 0}, {"text", text_}};
      if (!reasoning) done["logprobs"] = Json::array();
      text += event(reasoning ? "response.reasoning_text.done" : "response.output_text.done", with(done));
      text +=
          event("response.content_part.done", with({{"content_index", 0}, {"part", content_part(text_)}}));
    }
    const bool cut = reason == FinishReason::kMaxTokens || reason == FinishReason::kContextFull;
    item_["status"] = cut ? "incomplete" : "completed";
    text += event("response.output_item.done", {{"output_index", output_.size()}, {"item", item_}});
    output_.push_back(std::move(item_));
    part_ = Part::kNone;
    return text;
  }

  Json head_;
  IdSource& ids_;
  int64_t sequence_ = 0;
  Part part_ = Part::kNone;
  Json item_;         ///< the one that is open
  std::string text_;  ///< of it, so far
  Json output_ = Json::array();
};

/// The text of a content: a string, or parts of type input_text, output_text or text.
Result<std::string> item_text(const JsonFields& item, const std::string& path) {
  const Json* content = item.find("content");
  if (content == nullptr) return item.error("content", "expected a string or a list of parts, found nothing");
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array())
    return item.error("content", "expected a string or a list of parts, found " + describe_json(*content));
  std::string text;
  for (size_t i = 0; i < content->size(); ++i) {
    const JsonFields part((*content)[i], std::string(kRequestOrigin), fmt::format("{}.content[{}]", path, i));
    CADRE_TRY(const std::string type, part.string("type"));
    if (type != "input_text" && type != "output_text" && type != "text")
      return part.error("type", "expected input_text or output_text, found " + describe_json(Json(type)));
    CADRE_TRY(const std::string more, part.string("text"));
    text += (i > 0 ? "\n\n" : "") + more;
  }
  return text;
}

/// Appends one item of `input` to the messages.
Status add_item(const Json& value, size_t index, Json& messages) {
  const std::string path = fmt::format("input[{}]", index);
  const JsonFields item(value, std::string(kRequestOrigin), path);
  if (!value.is_object())
    return invalid("{}: field '{}': expected an object, found {}", kRequestOrigin, path,
                   describe_json(value));
  CADRE_TRY(const std::string type, item.string_or("type", "message"));
  if (type == "reasoning") return {};  // an earlier turn's; the template would leave it out
  if (type == "message") {
    CADRE_TRY(std::string role, item.string("role"));
    CADRE_TRY(std::string text, item_text(item, path));
    if (role == "developer") role = "system";
    messages.push_back({{"role", std::move(role)}, {"content", std::move(text)}});
    return {};
  }
  if (type == "function_call") {
    CADRE_TRY(const std::string id, item.string("call_id"));
    CADRE_TRY(const std::string name, item.string("name"));
    CADRE_TRY(const std::string arguments, item.string("arguments"));
    // Calls that follow each other, and the text before them, are one turn.
    if (messages.empty() || messages.back()["role"] != "assistant")
      messages.push_back({{"role", "assistant"}, {"content", ""}});
    messages.back()["tool_calls"].push_back(
        openai_tool_call({.id = id, .name = name, .arguments = arguments}));
    return {};
  }
  if (type == "function_call_output") {
    CADRE_TRY(const std::string id, item.string("call_id"));
    CADRE_TRY(const std::string output, item.string("output"));
    messages.push_back({{"role", "tool"}, {"tool_call_id", id}, {"content", output}});
    return {};
  }
  return item.error("type", "expected message, function_call, function_call_output or reasoning, found " +
                                describe_json(Json(type)));
}

/// {type: "function", name, ...} -> {type: "function", function: {name, ...}}; tools and tool_choice alike.
Json nested_function(const Json& flat) {
  if (!flat.is_object() || flat.contains("function")) return flat;
  Json function = flat;
  function.erase("type");
  return {{"type", flat.value("type", Json())}, {"function", std::move(function)}};
}

/// Tools, the choice among them, and text.format, where the chat API has them.
Status copy_rules(const JsonFields& fields, Json& chat) {
  if (const Json* tools = fields.find("tools")) {
    chat["tools"] = *tools;
    if (tools->is_array())
      for (Json& tool : chat["tools"]) tool = nested_function(tool);
  }
  if (const Json* choice = fields.find("tool_choice")) chat["tool_choice"] = nested_function(*choice);
  if (const Json* parallel = fields.find("parallel_tool_calls")) chat["parallel_tool_calls"] = *parallel;
  CADRE_TRY(const std::optional<JsonFields> text, fields.object("text"));
  if (!text) return {};
  CADRE_TRY(const std::optional<JsonFields> format, text->object("format"));
  if (!format) return {};
  CADRE_TRY(const std::string type, format->string("type"));
  Json schema = *text->find("format");
  schema.erase("type");
  chat["response_format"] = {{"type", type}, {"json_schema", std::move(schema)}};
  return {};
}

/// The request as one of the chat completions API.
Result<Json> as_chat(const JsonFields& fields) {
  Json messages = Json::array();
  CADRE_TRY(const std::string instructions, fields.string_or("instructions", ""));
  if (!instructions.empty()) messages.push_back({{"role", "system"}, {"content", instructions}});
  const Json* input = fields.find("input");
  if (input == nullptr) return fields.error("input", "expected a string or a list of items, found nothing");
  if (input->is_string()) {
    messages.push_back({{"role", "user"}, {"content", *input}});
  } else if (input->is_array()) {
    for (size_t i = 0; i < input->size(); ++i) CADRE_CHECK_OK(add_item((*input)[i], i, messages));
  } else {
    return fields.error("input", "expected a string or a list of items, found " + describe_json(*input));
  }
  if (messages.empty()) return fields.error("input", "expected at least one item, found none");
  Json chat = {{"messages", std::move(messages)}};
  CADRE_TRY(const std::optional<JsonFields> reasoning, fields.object("reasoning"));
  if (reasoning && reasoning->has("effort")) {
    CADRE_TRY(const std::string effort, reasoning->string("effort"));
    chat["reasoning_effort"] = effort;
    chat["thinking"] = effort != "none";
  }
  if (const Json* options = fields.find("chat_template_kwargs")) chat["chat_template_kwargs"] = *options;
  CADRE_CHECK_OK(copy_rules(fields, chat));
  return chat;
}

/// The fields of a response that do not change while it is written.
Json response_head(Service& service, const JsonFields& fields, const GenerationSettings& settings) {
  const auto given = [&](std::string_view key, const Json& fallback) {
    const Json* value = fields.find(key);
    return value != nullptr ? *value : fallback;
  };
  return {{"id", service.ids().next("resp_")},
          {"object", "response"},
          {"created_at", now_seconds()},
          {"status", "in_progress"},
          {"background", false},
          {"error", nullptr},
          {"incomplete_details", nullptr},
          {"instructions", given("instructions", nullptr)},
          {"max_output_tokens", given("max_output_tokens", nullptr)},
          {"metadata", given("metadata", Json::object())},
          {"model", service.model().name()},
          {"output", Json::array()},
          {"parallel_tool_calls", given("parallel_tool_calls", true)},
          {"previous_response_id", nullptr},
          {"reasoning", given("reasoning", Json::object())},
          {"store", false},
          {"temperature", settings.sampling.temperature},
          {"text", given("text", {{"format", {{"type", "text"}}}})},
          {"tool_choice", given("tool_choice", "auto")},
          {"tools", given("tools", Json::array())},
          {"top_p", settings.sampling.top_p},
          {"truncation", "disabled"},
          {"usage", nullptr}};
}

}  // namespace

Status post_responses(Service& service, const std::shared_ptr<HttpExchange>& exchange) {
  CADRE_TRY(const Json body, parse_body(exchange->request()));
  const JsonFields fields = request_fields(body);
  CADRE_CHECK_OK(check_model(fields, service.model()));
  CADRE_CHECK_OK(refuse_field(fields, "previous_response_id", nullptr));
  CADRE_CHECK_OK(refuse_field(fields, "conversation", nullptr));
  CADRE_CHECK_OK(refuse_field(fields, "background", false));
  CADRE_CHECK_OK(refuse_field(fields, "truncation", "disabled"));
  CADRE_CHECK_OK(refuse_field(fields, "prompt", nullptr));
  CADRE_CHECK_OK(refuse_field(fields, "top_logprobs", 0));

  GenerationTask task;
  CADRE_TRY(task.settings, read_settings(fields, service));
  CADRE_TRY(task.settings.max_tokens, read_max_tokens(fields, "max_output_tokens"));
  CADRE_TRY(const Json chat, as_chat(fields));
  CADRE_CHECK_OK(plan_chat(chat, service.model(), task));
  task.writer =
      std::make_unique<ResponseWriter>(response_head(service, fields, task.settings), service.ids());
  return start_generation(service, exchange, std::move(task));
}

}  // namespace cadre::server
