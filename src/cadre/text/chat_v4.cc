#include "cadre/text/chat_v4.h"

#include <algorithm>
#include <map>
#include <vector>

#include "cadre/text/chat_dsml.h"

namespace cadre {
namespace {

// Part of the models' protocol, as the texts of chat_dsml.cc are.
constexpr std::string_view kAbsoluteMaximum =
    "Reasoning Effort: Absolute maximum with no shortcuts permitted.\n"
    "You MUST be very thorough in your thinking and comprehensively decompose the problem to resolve the "
    "root cause, "
    "rigorously stress-testing your logic against all potential paths, edge cases, and adversarial "
    "scenarios.\n"
    "Explicitly write out your entire deliberation process, documenting every intermediate step, considered "
    "alternative, and rejected hypothesis to ensure absolutely no assumption is left unchecked.\n\n";
constexpr std::string_view kBeyondMaximum =
    "Reasoning Effort: Beyond maximum — exhaustive, relentless, and uncompromising.\n"
    "You MUST reason with the utmost depth and rigor, leaving absolutely nothing to chance: exhaustively "
    "decompose "
    "the problem into its most fundamental components, trace every causal chain to its root, and resolve the "
    "underlying cause rather than any surface symptom.\n"
    "Do not stop reasoning until you have independently verified the solution from multiple angles and are "
    "certain "
    "that no assumption remains unchecked and no error remains undiscovered.\n\n";
constexpr std::string_view kResponseFormat =
    "## Response Format:\n\nYou MUST strictly adhere to the following schema to reply:\n";

/// Tasks that a message may set; the token is the word between bars.
constexpr std::string_view kTasks[] = {"action", "query", "authority", "domain", "title", "read_url"};

enum class Role { kSystem, kDeveloper, kUser, kAssistant, kReminder };

/// A message after tool results have become parts of user messages.
struct Turn {
  struct Block {
    bool is_result = false;
    std::string call_id;  ///< of a result
    std::string text;
  };

  Role role = Role::kUser;
  std::string path;                  ///< where it came from, for error messages
  std::string text;                  ///< of all roles but user
  std::vector<Block> blocks;         ///< of a user
  std::string reasoning;             ///< of an assistant
  const Json* tool_calls = nullptr;  ///< of an assistant; never empty
  const Json* tools = nullptr;       ///< of a system or developer message
  const Json* response_format = nullptr;
  std::string task;
  bool prefix = false;

  bool is_user() const { return role == Role::kUser || role == Role::kDeveloper; }
  bool is_instruction() const { return role == Role::kSystem || role == Role::kDeveloper; }
};

using Turns = std::vector<Turn>;

std::string string_member(const Json& message, std::string_view name) {
  const Json* value = json_member(message, name);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

/// An array that is there and has elements, else nullptr.
const Json* filled_array(const Json* value) {
  return value != nullptr && value->is_array() && !value->empty() ? value : nullptr;
}

Result<Role> role_of(const Json& message, std::string_view path) {
  const std::string name = string_member(message, "role");
  if (name == "system") return Role::kSystem;
  if (name == "developer") return Role::kDeveloper;
  if (name == "user" || name == "tool") return Role::kUser;
  if (name == "assistant") return Role::kAssistant;
  if (name == "latest_reminder") return Role::kReminder;
  return invalid("{}.role: '{}' is not known to deepseek-v4", path, name);
}

Status check_task(const Turn& turn) {
  if (turn.task.empty() || std::find(std::begin(kTasks), std::end(kTasks), turn.task) != std::end(kTasks))
    return {};
  return invalid("{}.task: expected one of {}, found \"{}\"", turn.path,
                 fmt::join(std::begin(kTasks), std::end(kTasks), ", "), turn.task);
}

Result<Turn> read_turn(const Json& message, std::string path) {
  Turn turn;
  CADRE_TRY(turn.role, role_of(message, path));
  CADRE_TRY(turn.text, content_text(json_member(message, "content"), path + ".content"));
  if (turn.role == Role::kUser) {
    const bool is_result = string_member(message, "role") == "tool";
    turn.blocks.push_back({is_result, string_member(message, "tool_call_id"), std::move(turn.text)});
    turn.text.clear();
  }
  turn.path = std::move(path);
  turn.reasoning = string_member(message, "reasoning_content");
  turn.tool_calls = filled_array(json_member(message, "tool_calls"));
  turn.tools = filled_array(json_member(message, "tools"));
  if (turn.tools != nullptr && !turn.is_instruction())
    return invalid("{}.tools: only a system or developer message declares tools", turn.path);
  turn.response_format = json_member(message, "response_format");
  turn.task = string_member(message, "task");
  const Json* prefix = json_member(message, "prefix");
  turn.prefix = prefix != nullptr && *prefix == true;
  CADRE_CHECK_OK(check_task(turn));
  return turn;
}

/// Adjacent user and tool messages become one, unless a plain one follows a message with a task.
bool merges_into(const Turn& turn, const Turn& before) {
  return turn.role == Role::kUser && before.role == Role::kUser &&
         (turn.blocks.front().is_result || before.task.empty());
}

Result<Turns> read_turns(const ChatRequest& request, const ChatOptions& options) {
  Turns turns;
  for (size_t i = 0; i < request.messages.size(); ++i) {
    CADRE_TRY(Turn turn, read_turn(request.messages[i], fmt::format("messages[{}]", i)));
    if (!turns.empty() && merges_into(turn, turns.back())) {
      turns.back().blocks.push_back(std::move(turn.blocks.front()));
      if (!turn.task.empty()) turns.back().task = std::move(turn.task);
    } else {
      turns.push_back(std::move(turn));
    }
  }
  const Json* tools = filled_array(&request.tools);
  if (tools == nullptr && options.response_format == nullptr) return turns;
  if (turns.empty() || !turns.front().is_instruction()) {
    Turn instruction;
    instruction.role = Role::kSystem;
    turns.insert(turns.begin(), std::move(instruction));
  }
  Turn& first = turns.front();
  if (tools != nullptr && first.tools != nullptr)
    return invalid("tools: {} declares tools as well", first.path);
  if (options.response_format != nullptr && first.response_format != nullptr)
    return invalid("response_format: {} has one as well", first.path);
  if (tools != nullptr) first.tools = tools;
  if (options.response_format != nullptr) first.response_format = options.response_format;
  return turns;
}

/// Puts the results inside each user message in the order in which the assistant made the calls. Text between
/// them keeps its place; a result of an unknown call counts as one of the first call.
void sort_results(Turns& turns) {
  std::map<std::string, size_t> order;
  const auto place = [&](const Turn::Block& block) {
    const auto found = order.find(block.call_id);
    return found == order.end() ? size_t{0} : found->second;
  };
  for (Turn& turn : turns) {
    if (turn.tool_calls != nullptr) {
      order.clear();
      for (size_t i = 0; i < turn.tool_calls->size(); ++i) {
        const std::string id = string_member((*turn.tool_calls)[i], "id");
        if (!id.empty()) order[id] = i;
      }
    }
    std::vector<Turn::Block> results;
    for (const Turn::Block& block : turn.blocks)
      if (block.is_result) results.push_back(block);
    std::stable_sort(results.begin(), results.end(),
                     [&](const auto& a, const auto& b) { return place(a) < place(b); });
    auto next = results.begin();
    for (Turn::Block& block : turn.blocks)
      if (block.is_result) block = std::move(*next++);
  }
}

/// Index of the last user or developer message; -1 without one.
ptrdiff_t last_user(const Turns& turns) {
  const auto found =
      std::find_if(turns.rbegin(), turns.rend(), [](const Turn& turn) { return turn.is_user(); });
  return turns.rend() - found - 1;
}

/// Forgets the reasoning of earlier rounds, and what developers said in them.
void drop_earlier_thinking(Turns& turns) {
  const auto end = turns.begin() + std::max<ptrdiff_t>(last_user(turns), 0);
  std::for_each(turns.begin(), end, [](Turn& turn) { turn.reasoning.clear(); });
  turns.erase(
      std::remove_if(turns.begin(), end, [](const Turn& turn) { return turn.role == Role::kDeveloper; }),
      end);
}

/// Writes prepared turns.
class V4Writer {
 public:
  V4Writer(const Turns& turns, bool thinking, bool drop_thinking, bool generation_prompt,
           std::string_view eos)
      : turns_(turns),
        last_user_(last_user(turns)),
        thinking_(thinking),
        drop_thinking_(drop_thinking),
        generation_prompt_(generation_prompt),
        eos_(eos) {}

  Status write(std::string& out) {
    for (size_t i = 0; i < turns_.size(); ++i) {
      CADRE_CHECK_OK(write_turn(i, out));
      write_transition(i, out);
    }
    return {};
  }

 private:
  Status write_turn(size_t index, std::string& out) const {
    const Turn& turn = turns_[index];
    switch (turn.role) {
      case Role::kSystem:
        return write_instruction(turn, out);
      case Role::kDeveloper:
        out += "<｜User｜>";
        return write_instruction(turn, out);
      case Role::kReminder:
        out += "<｜latest_reminder｜>" + turn.text;
        return {};
      case Role::kUser:
        write_blocks(turn, out);
        return {};
      case Role::kAssistant:
        return write_answer(index, out);
    }
    return {};
  }

  static Status write_instruction(const Turn& turn, std::string& out) {
    out += turn.text;
    if (turn.tools != nullptr) {
      const std::string path = turn.path.empty() ? "tools" : turn.path + ".tools";
      CADRE_TRY(const std::string section, dsml_tools_section(*turn.tools, DsmlDialect::kV4, path));
      out += "\n\n" + section;
    }
    if (turn.response_format != nullptr)
      out.append("\n\n").append(kResponseFormat) += dump_json(*turn.response_format);
    return {};
  }

  static void write_blocks(const Turn& turn, std::string& out) {
    out += "<｜User｜>";
    for (size_t i = 0; i < turn.blocks.size(); ++i) {
      const Turn::Block& block = turn.blocks[i];
      if (i > 0) out += "\n\n";
      out += block.is_result ? "<tool_result>" + block.text + "</tool_result>" : block.text;
    }
  }

  Status write_answer(size_t index, std::string& out) const {
    const Turn& turn = turns_[index];
    const bool after_task = index > 0 && !turns_[index - 1].task.empty();
    const bool kept = !drop_thinking_ || static_cast<ptrdiff_t>(index) > last_user_;
    if (thinking_ && !after_task && kept) out += turn.reasoning + "</think>";
    out += turn.text;
    if (turn.tool_calls != nullptr) {
      CADRE_TRY(const std::string calls,
                dsml_tool_calls(*turn.tool_calls, DsmlDialect::kV4, turn.path + ".tool_calls"));
      out += "\n\n" + calls;
    }
    if (!turn.prefix) out += eos_;
    return {};
  }

  /// What stands between a message and an answer to it.
  void write_transition(size_t index, std::string& out) const {
    const Turn& turn = turns_[index];
    const bool last = index + 1 == turns_.size();
    if (last && !generation_prompt_) return;
    if (!last && turns_[index + 1].role != Role::kAssistant && turns_[index + 1].role != Role::kReminder)
      return;
    if (turn.task == "action") {
      out.append("<｜Assistant｜>").append(thinking_ ? "<think>" : "</think>").append("<｜action｜>");
    } else if (!turn.task.empty()) {
      out += "<｜" + turn.task + "｜>";
    } else if (turn.is_user()) {
      const bool think = thinking_ && (!drop_thinking_ || static_cast<ptrdiff_t>(index) >= last_user_);
      out.append("<｜Assistant｜>").append(think ? "<think>" : "</think>");
    }
  }

  const Turns& turns_;
  ptrdiff_t last_user_;
  bool thinking_;
  bool drop_thinking_;
  bool generation_prompt_;
  std::string_view eos_;
};

/// The words put before everything for a reasoning effort.
Result<std::string_view> effort_text(std::string_view effort, V4Release release) {
  constexpr std::string_view kEfforts[] = {"", "none", "minimal", "low", "medium", "high", "max"};
  if (std::find(std::begin(kEfforts), std::end(kEfforts), effort) == std::end(kEfforts))
    return invalid("reasoning_effort: expected none, minimal, low, medium, high or max, found \"{}\"",
                   effort);
  if (release == V4Release::k0731 && effort == "max") return kBeyondMaximum;
  if (effort == (release == V4Release::k0731 ? "high" : "max")) return kAbsoluteMaximum;
  return std::string_view();
}

}  // namespace

Result<std::string> render_v4(const ChatRequest& request, V4Release release, std::string_view bos_token,
                              std::string_view eos_token) {
  CADRE_TRY(const ChatOptions options, read_chat_options(request));
  const bool thinking = options.thinking.value_or(false);
  CADRE_TRY(Turns turns, read_turns(request, options));
  sort_results(turns);
  const bool has_tools =
      std::any_of(turns.begin(), turns.end(), [](const Turn& turn) { return turn.tools != nullptr; });
  const bool drop_thinking = options.drop_thinking && !has_tools;
  if (thinking && drop_thinking) drop_earlier_thinking(turns);

  std::string out(bos_token);
  CADRE_TRY(const std::string_view effort, effort_text(options.reasoning_effort, release));
  if (thinking && !turns.empty()) out += effort;
  V4Writer writer(turns, thinking, drop_thinking, options.add_generation_prompt, eos_token);
  CADRE_CHECK_OK(writer.write(out));
  return out;
}

}  // namespace cadre
