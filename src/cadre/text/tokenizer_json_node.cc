#include "cadre/text/tokenizer_json_node.h"

namespace cadre {
namespace {

/// The value for a message, cut to a readable length.
std::string describe(simdjson::dom::element value) {
  using Type = simdjson::dom::element_type;
  switch (value.type()) {
    case Type::ARRAY:
      return "an array";
    case Type::OBJECT:
      return "an object";
    case Type::STRING: {
      const std::string_view text = value.get_string().value_unsafe();
      constexpr size_t kShown = 60;
      if (text.size() > kShown) return fmt::format("a string of {} bytes", text.size());
      return fmt::format("\"{}\"", text);
    }
    default:
      return simdjson::minify(value);
  }
}

}  // namespace

tl::unexpected<Error> JsonNode::error(std::string_view message) const {
  if (path_.empty()) return invalid("{}: {}", origin_, message);
  return invalid("{}: field '{}': {}", origin_, path_, message);
}

tl::unexpected<Error> JsonNode::expected(std::string_view what) const {
  return error(fmt::format("expected {}, found {}", what, describe(value_)));
}

Result<simdjson::dom::object> JsonNode::object() const {
  simdjson::dom::object object;
  if (value_.get_object().get(object) != simdjson::SUCCESS) return expected("an object");
  return object;
}

Result<simdjson::dom::array> JsonNode::array() const {
  simdjson::dom::array array;
  if (value_.get_array().get(array) != simdjson::SUCCESS) return expected("an array");
  return array;
}

Result<std::optional<JsonNode>> JsonNode::find(std::string_view key) const {
  CADRE_TRY(const simdjson::dom::object fields, object());
  std::optional<JsonNode> found;
  for (const simdjson::dom::key_value_pair field : fields) {
    if (field.key != key) continue;
    if (found) return found->error("occurs twice");
    found =
        JsonNode(field.value, origin_, path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key));
  }
  if (found && found->value_.is_null()) return std::nullopt;
  return found;
}

Result<JsonNode> JsonNode::get(std::string_view key) const {
  CADRE_TRY(std::optional<JsonNode> found, find(key));
  if (found) return *std::move(found);
  return JsonNode(value_, origin_, path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key))
      .error("is missing");
}

JsonNode JsonNode::element(simdjson::dom::element value, size_t index) const {
  return JsonNode(value, origin_, fmt::format("{}[{}]", path_, index));
}

Result<std::string_view> JsonNode::string() const {
  std::string_view text;
  if (value_.get_string().get(text) != simdjson::SUCCESS) return expected("a string");
  return text;
}

Result<int64_t> JsonNode::integer(int64_t lowest, int64_t highest) const {
  int64_t number = 0;
  if (value_.get_int64().get(number) != simdjson::SUCCESS || number < lowest || number > highest) {
    return expected(fmt::format("an integer from {} to {}", lowest, highest));
  }
  return number;
}

Result<bool> JsonNode::boolean_or(std::string_view key, bool fallback) const {
  CADRE_TRY(const std::optional<JsonNode> node, find(key));
  if (!node) return fallback;
  bool value = false;
  if (node->value_.get_bool().get(value) != simdjson::SUCCESS) return node->expected("true or false");
  return value;
}

}  // namespace cadre
