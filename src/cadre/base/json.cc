#include "cadre/base/json.h"

#include <cmath>
#include <unordered_set>

#include "cadre/base/file.h"

namespace cadre {
namespace {

constexpr size_t kMaxDepth = 100;
constexpr size_t kShownBytes = 240;  // of the input in an error message

/// Builds the document in one pass. Deep nesting is refused before nlohmann's recursive destructor and dump
/// could overflow the stack, and so are duplicate keys, of which a plain parse silently keeps one. Fields are
/// appended without nlohmann's search for the key, which takes quadratic time in large objects.
class DocumentBuilder : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }  // not a thing of JSON text
  bool start_object(std::size_t) override {
    keys_.emplace_back();
    return open(Json::object());
  }
  bool end_object() override {
    keys_.pop_back();
    open_.pop_back();
    return true;
  }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_array() override {
    open_.pop_back();
    return true;
  }
  bool key(string_t& key) override {
    if (!keys_.back().insert(key).second) {
      message_ = fmt::format("key '{}' appears twice in one object", key.substr(0, kShownBytes));
      return false;
    }
    key_ = std::move(key);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    // "[json.exception.parse_error.101] parse error at ...: reason" -> from "parse error".
    const std::string text = e.what();
    const size_t start = text.find("] ");
    message_ = fmt::format("not valid JSON (byte {}): {}", position,
                           text.substr(start == std::string::npos ? 0 : start + 2, kShownBytes));
    return false;
  }
  const std::string& message() const { return message_; }
  Json take() { return std::move(root_); }

 private:
  /// Puts `value` where the text has it and returns its place.
  Json* place(Json value) {
    if (open_.empty()) return &(root_ = std::move(value));
    if (auto* array = open_.back()->get_ptr<Json::array_t*>(); array != nullptr)
      return &array->emplace_back(std::move(value));
    return &open_.back()->get_ptr<Json::object_t*>()->emplace_back(std::move(key_), std::move(value)).second;
  }
  bool add(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json value) {
    if (open_.size() == kMaxDepth) {
      message_ = fmt::format("nested deeper than {} levels", kMaxDepth);
      return false;
    }
    open_.push_back(place(std::move(value)));
    return true;
  }

  Json root_;
  std::vector<Json*> open_;  ///< an element stays where it is while something inside it is open
  std::vector<std::unordered_set<std::string>> keys_;  ///< of the objects among them
  std::string key_;
  std::string message_;
};

}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view origin) {
  // nlohmann takes a zero byte for the end of the text and would accept anything after it.
  if (const size_t zero = text.find('\0'); zero != text.npos)
    return invalid("{}: not valid JSON (byte {}): a zero byte", origin, zero + 1);
  DocumentBuilder builder;
  if (!Json::sax_parse(text, &builder)) return invalid("{}: {}", origin, builder.message());
  return builder.take();
}

Result<Json> read_json_file(const std::string& path) {
  CADRE_TRY(const std::string text, read_text_file(path));
  return parse_json(text, path);
}

namespace {

void dump_into(const Json& value, std::string& out) {
  if (value.is_object()) {
    out += '{';
    bool first = true;
    for (const auto& [key, item] : value.items()) {
      if (!first) out += ", ";
      first = false;
      dump_into(Json(key), out);
      out += ": ";
      dump_into(item, out);
    }
    out += '}';
  } else if (value.is_array()) {
    out += '[';
    for (size_t i = 0; i < value.size(); ++i) {
      if (i > 0) out += ", ";
      dump_into(value[i], out);
    }
    out += ']';
  } else if (value.is_number_float() && std::isfinite(value.get<double>())) {
    // Not nlohmann's own, which turns to exponents at 1e15 where Python does at 1e16.
    const std::string text = fmt::format("{}", value.get<double>());
    out += text.find_first_of(".e") == text.npos ? text + ".0" : text;
  } else {
    out += value.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
}

}  // namespace

std::string dump_json(const Json& value, int indent) {
  if (indent > 0) return value.dump(indent, ' ', false, Json::error_handler_t::replace);
  std::string out;
  dump_into(value, out);
  return out;
}

std::string describe_json(const Json& value) {
  if (value.is_null()) return "null";
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array";
  std::string text = dump_json(value);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

JsonFields::JsonFields(const Json& value, std::string origin, std::string path)
    : value_(&value), origin_(std::move(origin)), path_(std::move(path)) {}

const Json* JsonFields::find(std::string_view key) const {
  if (!value_->is_object()) return nullptr;
  const auto found = value_->find(std::string(key));
  return found == value_->end() || found->is_null() ? nullptr : &*found;
}

bool JsonFields::has(std::string_view key) const { return find(key) != nullptr; }

tl::unexpected<Error> JsonFields::error(std::string_view key, std::string_view message) const {
  return invalid("{}: field '{}{}{}': {}", origin_, path_, path_.empty() ? "" : ".", key, message);
}

Result<int64_t> JsonFields::integer(std::string_view key, int64_t lowest, int64_t highest) const {
  const Json* value = find(key);
  const std::string expected = fmt::format("expected an integer from {} to {}", lowest, highest);
  if (value == nullptr) return error(key, expected + ", found nothing");
  int64_t result = 0;
  if (value->is_number_integer()) {
    if (value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
      return error(key, expected + ", found " + describe_json(*value));
    result = value->get<int64_t>();
  } else if (value->is_number_float() && std::trunc(value->get<double>()) == value->get<double>() &&
             std::abs(value->get<double>()) < 9e15) {
    result = static_cast<int64_t>(value->get<double>());  // some writers print 10000.0
  } else {
    return error(key, expected + ", found " + describe_json(*value));
  }
  if (result < lowest || result > highest) return error(key, fmt::format("{}, found {}", expected, result));
  return result;
}

Result<int64_t> JsonFields::integer_or(std::string_view key, int64_t fallback, int64_t lowest,
                                       int64_t highest) const {
  return has(key) ? integer(key, lowest, highest) : Result<int64_t>(fallback);
}

Result<double> JsonFields::number(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return error(key, "expected a number, found nothing");
  if (!value->is_number()) return error(key, "expected a number, found " + describe_json(*value));
  return value->get<double>();
}

Result<double> JsonFields::number_or(std::string_view key, double fallback) const {
  return has(key) ? number(key) : Result<double>(fallback);
}

Result<bool> JsonFields::boolean_or(std::string_view key, bool fallback) const {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) return error(key, "expected true or false, found " + describe_json(*value));
  return value->get<bool>();
}

Result<std::string> JsonFields::string(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return error(key, "expected a string, found nothing");
  if (!value->is_string()) return error(key, "expected a string, found " + describe_json(*value));
  return value->get<std::string>();
}

Result<std::string> JsonFields::string_or(std::string_view key, std::string fallback) const {
  return has(key) ? string(key) : Result<std::string>(std::move(fallback));
}

Result<std::optional<JsonFields>> JsonFields::object(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::optional<JsonFields>();
  if (!value->is_object()) return error(key, "expected an object, found " + describe_json(*value));
  const std::string path = path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
  return std::optional<JsonFields>(JsonFields(*value, origin_, path));
}

}  // namespace cadre
