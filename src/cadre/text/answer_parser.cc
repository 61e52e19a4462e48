#include "cadre/text/answer_parser.h"

#include <algorithm>
#include <utility>

#include "cadre/text/string_encoding.h"

namespace cadre {
namespace {

constexpr size_t kMaxNameBytes = 256;
constexpr size_t kMaxBlanks = 16;  // between markers
constexpr std::string_view kMemberBegin = "<｜DSML｜parameter name=\"";
constexpr std::string_view kMemberEnd = "</｜DSML｜parameter>";

/// Whether one of the two begins with the other.
bool agree(std::string_view text, std::string_view marker) {
  const size_t size = std::min(text.size(), marker.size());
  return text.substr(0, size) == marker.substr(0, size);
}

/// How many blanks and line breaks `text` begins with.
size_t blanks(std::string_view text) { return std::min(text.find_first_not_of(" \n"), text.size()); }

/// How many bytes at the end of `text` could be the beginning of `marker`.
size_t open_end(std::string_view text, std::string_view marker) {
  size_t size = std::min(text.size(), marker.size() - 1);
  while (size > 0 && !marker.starts_with(text.substr(text.size() - size))) --size;
  return size;
}

}  // namespace

AnswerParser::AnswerParser(AnswerFormat format, bool in_reasoning)
    : format_(format.tool_calls), state_(in_reasoning ? State::kReasoning : State::kStart) {
  if (format_ == ToolCallFormat::kNone) return;
  markers_ = tool_call_markers(format_);
  block_begin_ = markers_.block_begin;
  if (block_begin_.ends_with('\n')) block_begin_.remove_suffix(1);
}

bool AnswerParser::is_dsml() const {
  return format_ == ToolCallFormat::kDsmlV32 || format_ == ToolCallFormat::kDsmlV4;
}

AnswerDelta AnswerParser::push(std::string_view text) {
  AnswerDelta out;
  held_ += text;
  for (bool go_on = true; go_on;) {
    switch (state_) {
      case State::kStart:
        go_on = parse_start(out);
        break;
      case State::kReasoning:
        go_on = parse_reasoning(out);
        break;
      case State::kAfterReasoning:
        go_on = parse_after_reasoning();
        break;
      case State::kContent:
        go_on = parse_content(out);
        break;
      case State::kArguments:
      case State::kMemberValue:
        go_on = parse_arguments(out);
        break;
      case State::kMembers:
        go_on = parse_members(out);
        break;
      case State::kMemberText:
        go_on = parse_member_text(out);
        break;
      case State::kBetweenCalls:
        go_on = parse_between_calls(out);
        break;
    }
  }
  return out;
}

AnswerDelta AnswerParser::finish() {
  ended_ = true;
  return push("");
}

bool AnswerParser::parse_start(AnswerDelta& /*out*/) {
  if (held_.starts_with(kThinkBegin)) {
    take(kThinkBegin.size());
    state_ = State::kReasoning;
    return true;
  }
  if (!ended_ && kThinkBegin.starts_with(held_)) return false;
  state_ = State::kContent;
  return true;
}

bool AnswerParser::parse_reasoning(AnswerDelta& out) {
  // V3 and R1 set the end of reasoning off with line breaks, which belong to neither side.
  const bool set_off = format_ == ToolCallFormat::kFenced;
  const size_t end = held_.find(kThinkEnd);
  size_t settled = end;
  if (end == held_.npos) {
    settled = held_.size() - (ended_ ? 0 : open_end(held_, kThinkEnd));
    if (!ended_ && set_off && settled > 0 && held_[settled - 1] == '\n') --settled;
    out.reasoning += held_.substr(0, settled);
    take(settled);
    return false;
  }
  if (set_off && settled > 0 && held_[settled - 1] == '\n') --settled;
  out.reasoning += held_.substr(0, settled);
  take(end + kThinkEnd.size());
  breaks_ = set_off ? 2 : 0;
  state_ = State::kAfterReasoning;
  return true;
}

bool AnswerParser::parse_after_reasoning() {
  for (; breaks_ > 0 && held_.starts_with('\n'); --breaks_) take(1);
  if (breaks_ > 0 && held_.empty() && !ended_) return false;
  state_ = State::kContent;
  return true;
}

/// A name and the marker after it, at the beginning of `text`.
AnswerParser::Match AnswerParser::match_call(std::string_view text) const {
  const size_t start = blanks(text);
  if (start > kMaxBlanks) return {};
  const std::string_view rest = text.substr(start);
  if (!agree(rest, markers_.call_begin)) return {};
  if (rest.size() <= markers_.call_begin.size()) return {.found = Found::kPerhaps};
  const std::string_view after = rest.substr(markers_.call_begin.size());
  const size_t length = after.find_first_of("\"<>\n");
  if (length == 0 || std::min(length, after.size()) > kMaxNameBytes) return {};
  if (length == after.npos) return {.found = Found::kPerhaps};
  if (!agree(after.substr(length), markers_.name_end)) return {};
  if (after.size() - length < markers_.name_end.size()) return {.found = Found::kPerhaps};
  return {.found = Found::kYes,
          .length = start + markers_.call_begin.size() + length + markers_.name_end.size(),
          .name = after.substr(0, length)};
}

/// The beginning of an argument in DSML.
AnswerParser::Match AnswerParser::match_member(std::string_view text) {
  if (!agree(text, kMemberBegin)) return {};
  if (text.size() <= kMemberBegin.size()) return {.found = Found::kPerhaps};
  const std::string_view after = text.substr(kMemberBegin.size());
  const size_t length = after.find_first_of("\"<>\n");
  if (std::min(length, after.size()) > kMaxNameBytes) return {};
  if (length == after.npos) return {.found = Found::kPerhaps};
  const std::string_view rest = after.substr(length);
  for (const bool is_string : {true, false}) {
    const std::string_view end = is_string ? "\" string=\"true\">" : "\" string=\"false\">";
    if (!agree(rest, end)) continue;
    if (rest.size() < end.size()) return {.found = Found::kPerhaps};
    return {.found = Found::kYes,
            .length = kMemberBegin.size() + length + end.size(),
            .name = after.substr(0, length),
            .is_string = is_string};
  }
  return {};
}

bool AnswerParser::parse_content(AnswerDelta& out) {
  if (format_ == ToolCallFormat::kNone) {
    out.content += std::exchange(held_, {});
    return false;
  }
  // Where a block of calls begins or may begin; the text before it is content.
  size_t begin = held_.find(block_begin_);
  Match call;
  for (; begin != held_.npos; begin = held_.find(block_begin_, begin + 1)) {
    call = match_call(std::string_view(held_).substr(begin + block_begin_.size()));
    if (call.found == Found::kYes || (call.found == Found::kPerhaps && !ended_)) break;
  }
  if (ended_ && begin == held_.npos) {
    out.content += std::exchange(held_, {});
    return false;
  }
  size_t settled = begin == held_.npos ? held_.size() - open_end(held_, block_begin_) : begin;
  const size_t set_off = markers_.lead.size();  // line breaks that belong to the block
  for (size_t i = 0; i < set_off && settled > 0 && held_[settled - 1] == '\n'; ++i) --settled;
  out.content += held_.substr(0, settled);
  if (call.found != Found::kYes) {
    take(settled);
    return false;
  }
  begin_call(call.name, out);
  take(begin + block_begin_.size() + call.length);
  return true;
}

void AnswerParser::begin_call(std::string_view name, AnswerDelta& out) {
  out.tool_calls.push_back({calls_++, std::string(name), ""});
  in_string_ = escaped_ = false;
  first_member_ = true;
  state_ = is_dsml() ? State::kMembers : State::kArguments;
}

void AnswerParser::add_arguments(std::string_view text, AnswerDelta& out) const {
  if (text.empty()) return;
  const size_t index = calls_ - 1;
  if (out.tool_calls.empty() || out.tool_calls.back().index != index)
    out.tool_calls.push_back({index, "", ""});
  out.tool_calls.back().arguments += text;
}

/// A marker inside of a string of JSON is text of that string.
size_t AnswerParser::scan_json(std::initializer_list<std::string_view> ends, Match& end) {
  for (size_t i = 0; i < held_.size(); ++i) {
    const std::string_view rest = std::string_view(held_).substr(i);
    if (!in_string_) {
      for (const std::string_view marker : ends) {
        if (!agree(rest, marker)) continue;
        if (rest.size() >= marker.size())
          end = {.found = Found::kYes, .length = marker.size()};
        else if (!ended_)
          end = {.found = Found::kPerhaps};
        else
          continue;
        return i;
      }
    }
    const char c = held_[i];
    if (escaped_)
      escaped_ = false;
    else if (in_string_ && c == '\\')
      escaped_ = true;
    else if (c == '"')
      in_string_ = !in_string_;
  }
  return held_.size();
}

bool AnswerParser::parse_arguments(AnswerDelta& out) {
  const bool member = state_ == State::kMemberValue;
  Match end;
  // A model may put a line break between its fence and the end of the call.
  const size_t settled = member ? scan_json({kMemberEnd}, end)
                         : format_ == ToolCallFormat::kFenced
                             ? scan_json({markers_.call_end, "\n```\n<｜tool▁call▁end｜>"}, end)
                             : scan_json({markers_.call_end}, end);
  add_arguments(std::string_view(held_).substr(0, settled), out);
  take(settled + end.length);
  if (end.found != Found::kYes) return false;
  state_ = member ? State::kMembers : State::kBetweenCalls;
  return true;
}

bool AnswerParser::parse_members(AnswerDelta& out) {
  const size_t start = blanks(held_);
  const std::string_view rest = std::string_view(held_).substr(start);
  std::string_view call_end = markers_.call_end;
  call_end.remove_suffix(1);  // its line break is one of the blanks that follow
  if (rest.starts_with(call_end)) {
    add_arguments(first_member_ ? "{}" : "}", out);
    take(start + call_end.size());
    state_ = State::kBetweenCalls;
    return true;
  }
  const Match member = match_member(rest);
  if (member.found == Found::kYes) {
    const std::string name = encode_string(member.name, StringEncoding::kJson);
    add_arguments(fmt::format("{}\"{}\": {}", first_member_ ? "{" : ", ", name, member.is_string ? "\"" : ""),
                  out);
    first_member_ = false;
    in_string_ = escaped_ = false;
    state_ = member.is_string ? State::kMemberText : State::kMemberValue;
    take(start + member.length);
    return true;
  }
  if (ended_) {
    held_.clear();
    return false;
  }
  if (start <= kMaxBlanks && (agree(rest, call_end) || member.found == Found::kPerhaps)) return false;
  // Not what a call is made of: it ends here.
  add_arguments(first_member_ ? "{}" : "}", out);
  state_ = State::kContent;
  return true;
}

bool AnswerParser::parse_member_text(AnswerDelta& out) {
  const size_t end = held_.find(kMemberEnd);
  const size_t settled = end != held_.npos ? end : held_.size() - (ended_ ? 0 : open_end(held_, kMemberEnd));
  add_arguments(encode_string(std::string_view(held_).substr(0, settled), StringEncoding::kJson), out);
  if (end == held_.npos) {
    take(settled);
    return false;
  }
  add_arguments("\"", out);
  take(end + kMemberEnd.size());
  state_ = State::kMembers;
  return true;
}

bool AnswerParser::parse_between_calls(AnswerDelta& out) {
  const size_t start = blanks(held_);
  const std::string_view rest = std::string_view(held_).substr(start);
  if (rest.starts_with(markers_.block_end)) {
    take(start + markers_.block_end.size());
    state_ = State::kContent;
    return true;
  }
  const Match call = match_call(held_);
  if (call.found == Found::kYes) {
    begin_call(call.name, out);
    take(call.length);
    return true;
  }
  const bool open = agree(rest, markers_.block_end) || call.found == Found::kPerhaps;
  if (open && start <= kMaxBlanks) {
    if (ended_) held_.clear();  // the answer broke off inside of a marker
    return false;
  }
  state_ = State::kContent;
  return true;
}

}  // namespace cadre
