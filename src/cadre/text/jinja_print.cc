// How values are written: str(), repr() and json.dumps().
#include <algorithm>
#include <cmath>

#include "cadre/text/jinja_text.h"
#include "cadre/text/jinja_value.h"
#include "cadre/text/utf8.h"

namespace cadre::jinja {
namespace {

void write_repr(const Value& value, std::string& out);

void write_items(const Values& items, std::string& out) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ", ";
    write_repr(items[i], out);
  }
}

/// The items came from range(): they are first, first + step, ...
void write_range(const Values& items, std::string& out) {
  const Int first = items.empty() ? 0 : items.front().as_integer();
  const Int step = items.size() < 2 ? 1 : items[1].as_integer() - first;
  const Int stop = items.empty() ? 0 : items.back().as_integer() + step;
  out += fmt::format("range({}, {}", first, stop);
  if (step != 1) out += fmt::format(", {}", step);
  out += ')';
}

void write_sequence(const Sequence& sequence, std::string& out) {
  switch (sequence.kind) {
    case SequenceKind::kRange:
      return write_range(sequence.items, out);
    case SequenceKind::kTuple:
      out += '(';
      write_items(sequence.items, out);
      out += sequence.items.size() == 1 ? ",)" : ")";
      return;
    case SequenceKind::kList:
      out += '[';
      break;
    case SequenceKind::kKeys:
      out += "dict_keys([";
      break;
    case SequenceKind::kValues:
      out += "dict_values([";
      break;
    case SequenceKind::kItems:
      out += "dict_items([";
      break;
  }
  write_items(sequence.items, out);
  out += sequence.kind == SequenceKind::kList ? "]" : "])";
}

void write_dict(const Dict& dict, std::string& out) {
  out += '{';
  bool first = true;
  for (const auto& [key, value] : dict.entries()) {
    if (!first) out += ", ";
    first = false;
    write_repr(key, out);
    out += ": ";
    write_repr(value, out);
  }
  out += '}';
}

void write_repr(const Value& value, std::string& out) {
  switch (value.kind()) {
    case Kind::kUndefined:
      out += "Undefined";
      return;
    case Kind::kNone:
      out += "None";
      return;
    case Kind::kBool:
      out += value.as_bool() ? "True" : "False";
      return;
    case Kind::kInt:
      out += fmt::format("{}", value.as_integer());
      return;
    case Kind::kFloat:
      out += float_repr(value.as_double());
      return;
    case Kind::kString:
      out += quote_python(value.text());
      return;
    case Kind::kSequence:
      return write_sequence(value.sequence(), out);
    case Kind::kDict:
      return write_dict(value.dict(), out);
    case Kind::kGenerator:
    case Kind::kNamespace:  // not its members: a namespace may hold itself
    case Kind::kMacro:
    case Kind::kLoop:
    case Kind::kMethod:
    case Kind::kFunction:
      out += fmt::format("<{}>", value.type_name());
      return;
  }
}

void write_json_string(std::string_view text, bool ensure_ascii, std::string& out) {
  out += '"';
  for (size_t at = 0; at < text.size();) {
    const auto [code, length, kind] = decode_utf8(text, at);
    if (code == '"' || code == '\\')
      out.append(1, '\\').append(1, static_cast<char>(code));
    else if (code == '\n')
      out += "\\n";
    else if (code == '\r')
      out += "\\r";
    else if (code == '\t')
      out += "\\t";
    else if (code == '\b')
      out += "\\b";
    else if (code == '\f')
      out += "\\f";
    else if (code < 0x20 || (ensure_ascii && code >= 0x7F && code < 0x10000))
      out += fmt::format("\\u{:04x}", static_cast<uint32_t>(code));
    else if (ensure_ascii && code >= 0x10000)
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((static_cast<uint32_t>(code) - 0x10000) >> 10),
                         0xDC00 + ((static_cast<uint32_t>(code) - 0x10000) & 0x3FF));
    else
      out += text.substr(at, length);
    at += length;
  }
  out += '"';
}

std::string json_float(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return float_repr(value);
}

class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}

  Status write(const Value& value) {
    switch (value.kind()) {
      case Kind::kNone:
        out_ += "null";
        return {};
      case Kind::kBool:
        out_ += value.as_bool() ? "true" : "false";
        return {};
      case Kind::kInt:
        out_ += fmt::format("{}", value.as_integer());
        return {};
      case Kind::kFloat:
        out_ += json_float(value.as_double());
        return {};
      case Kind::kString:
        write_json_string(value.text(), style_.ensure_ascii, out_);
        return {};
      case Kind::kSequence:
        if (value.sequence().kind > SequenceKind::kTuple) break;
        return write_array(value.sequence().items, 0);
      case Kind::kGenerator:  // json.dumps refuses it; templates written for other engines need it
        return write_array(value.generator().items,
                           std::exchange(value.generator().next, value.generator().items.size()));
      case Kind::kDict:
        return write_object(value.dict());
      default:
        break;
    }
    return invalid("Object of type {} is not JSON serializable", value.type_name());
  }

  std::string take() { return std::move(out_); }

 private:
  void begin(char bracket) {
    out_ += bracket;
    ++level_;
  }
  void between(bool first) {
    if (!first) out_ += style_.item_separator;
    break_line();
  }
  void end(char bracket, bool empty) {
    --level_;
    if (!empty) break_line();
    out_ += bracket;
  }
  void break_line() {
    if (style_.indent >= 0) out_.append(1, '\n').append(static_cast<size_t>(style_.indent) * level_, ' ');
  }

  Status write_array(const Values& items, size_t from) {
    begin('[');
    for (size_t i = from; i < items.size(); ++i) {
      between(i == from);
      CADRE_CHECK_OK(write(items[i]));
    }
    end(']', from >= items.size());
    return {};
  }

  Status write_object(const Dict& dict) {
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : dict.entries()) entries.push_back(&entry);
    if (style_.sort_keys) CADRE_CHECK_OK(sort_entries(entries));
    begin('{');
    bool first = true;
    for (const auto* entry : entries) {
      between(first);
      first = false;
      CADRE_TRY(const std::string key, key_text(entry->first));
      write_json_string(key, style_.ensure_ascii, out_);
      out_ += style_.key_separator;
      CADRE_CHECK_OK(write(entry->second));
    }
    end('}', first);
    return {};
  }

  static Status sort_entries(std::vector<const std::pair<Value, Value>*>& entries) {
    Status status;
    std::stable_sort(entries.begin(), entries.end(), [&](const auto* a, const auto* b) {
      const Result<bool> less = value_less(a->first, b->first);
      if (!less && status) status = tl::unexpected<Error>(less.error());
      return less.value_or(false);
    });
    return status;
  }

  static Result<std::string> key_text(const Value& key) {
    switch (key.kind()) {
      case Kind::kString:
        return key.text();
      case Kind::kNone:
        return std::string("null");
      case Kind::kBool:
        return std::string(key.as_bool() ? "true" : "false");
      case Kind::kInt:
        return fmt::format("{}", key.as_integer());
      case Kind::kFloat:
        return json_float(key.as_double());
      default:
        return invalid("keys must be str, int, float, bool or None, not {}", key.type_name());
    }
  }

  const JsonStyle& style_;
  std::string out_;
  size_t level_ = 0;
};

}  // namespace

std::string value_repr(const Value& value) {
  std::string out;
  write_repr(value, out);
  return out;
}

std::string value_str(const Value& value) {
  if (value.is_string()) return value.text();
  if (value.is_undefined()) return {};
  return value_repr(value);
}

Result<std::string> value_to_json(const Value& value, const JsonStyle& style) {
  JsonWriter writer(style);
  CADRE_CHECK_OK(writer.write(value));
  return writer.take();
}

}  // namespace cadre::jinja
