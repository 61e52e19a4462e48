#include "cadre/server/answer.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "cadre/text/utf8.h"

namespace cadre::server {

size_t AnswerPiece::size() const {
  constexpr size_t kTokenBytes = 128;
  size_t size = reasoning.size() + content.size();
  for (const ToolCall& call : tool_calls) size += call.name.size() + call.arguments.size();
  for (const AnswerToken& token : tokens) size += kTokenBytes * (1 + token.top.size() + token.routing.size());
  return size;
}

bool AnswerPiece::append(AnswerPiece& next) {
  if (!tool_calls.empty() && !next.content.empty()) return false;
  if (!(tool_calls.empty() && content.empty()) && !next.reasoning.empty()) return false;
  reasoning += next.reasoning;
  content += next.content;
  for (ToolCall& call : next.tool_calls) {
    if (call.id.empty() && !tool_calls.empty() && tool_calls.back().index == call.index)
      tool_calls.back().arguments += call.arguments;
    else
      tool_calls.push_back(std::move(call));
  }
  std::move(next.tokens.begin(), next.tokens.end(), std::back_inserter(tokens));
  return true;
}

void Answer::append(const AnswerPiece& piece) {
  reasoning += piece.reasoning;
  content += piece.content;
  for (const ToolCall& part : piece.tool_calls) {
    const auto index = static_cast<size_t>(part.index);
    if (index >= tool_calls.size()) tool_calls.resize(index + 1);
    ToolCall& call = tool_calls[index];
    call.index = part.index;
    if (!part.id.empty()) call.id = part.id;
    call.name += part.name;
    call.arguments += part.arguments;
  }
  tokens.insert(tokens.end(), piece.tokens.begin(), piece.tokens.end());
}

std::string sse_event(const Json& data, std::string_view name) {
  if (name.empty()) return fmt::format("data: {}\n\n", dump_json(data));
  return fmt::format("event: {}\ndata: {}\n\n", name, dump_json(data));
}

Json routing_json(const std::vector<AnswerToken>& tokens) {
  Json list = Json::array();
  for (const AnswerToken& token : tokens) {
    Json layers = Json::array();
    for (const ExpertChoice& choice : token.routing) {
      if (layers.empty() || layers.back()["layer"] != choice.layer)
        layers.push_back({{"layer", choice.layer}, {"experts", Json::array()}, {"weights", Json::array()}});
      layers.back()["experts"].push_back(choice.expert);
      layers.back()["weights"].push_back(std::round(choice.weight * 1e5) / 1e5);
    }
    list.push_back({{"id", token.token.id},
                    {"token", replace_invalid_utf8(token.token.bytes)},
                    {"layers", std::move(layers)}});
  }
  return list;
}

}  // namespace cadre::server
