#pragma once
/// The values of a running template: Python's, as far as chat templates see them. Lists, tuples and dicts
/// are immutable (Hugging Face renders in an "immutable sandbox", where list.append is an error too), so
/// values can be shared and never form a cycle; the only thing that changes is a namespace, which belongs
/// to the Runtime of its rendering and is referred to by pointer.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "cadre/base/json.h"
#include "cadre/base/result.h"

namespace cadre::jinja {

/// Python's int, as far as we go: literals, JSON and results of arithmetic on 64-bit operands.
__extension__ typedef __int128 Int;  // NOLINT(modernize-use-using): __extension__ needs it

class Value;
struct Sequence;
struct Generator;
class Dict;
struct Namespace;
struct Macro;
struct LoopState;
struct BoundMethod;
struct Builtin;

/// Text of this many bytes counts as one step of work.
inline constexpr size_t kBytesPerStep = 16;

/// A variable or attribute that does not exist; prints as "" and refuses most else with `message`.
struct Undefined {
  std::shared_ptr<const std::string> message;
};
struct None {};

/// In the order of the alternatives of Value.
enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kSequence,   ///< list, tuple, range or a view of a dict
  kGenerator,  ///< what lazy filters return: can be walked once
  kDict,
  kNamespace,
  kMacro,
  kLoop,
  kMethod,
  kFunction,
};

/// One value, 32 bytes, cheap to copy. Thread-safe to read as a shared_ptr is.
class Value {
 public:
  Value() = default;
  static Value undefined(std::string message);
  static Value none() { return Value(Storage(None{})); }
  static Value boolean(bool value) { return Value(Storage(value)); }
  static Value integer(Int value) { return Value(Storage(value)); }
  static Value number(double value) { return Value(Storage(value)); }
  static Value string(std::string text) {
    return Value(std::make_shared<const std::string>(std::move(text)));
  }
  explicit Value(std::shared_ptr<const std::string> text) : storage_(std::move(text)) {}
  explicit Value(std::shared_ptr<const Sequence> items) : storage_(std::move(items)) {}
  explicit Value(std::shared_ptr<Generator> items) : storage_(std::move(items)) {}
  explicit Value(std::shared_ptr<const Dict> entries) : storage_(std::move(entries)) {}
  explicit Value(std::shared_ptr<const BoundMethod> method) : storage_(std::move(method)) {}
  explicit Value(Namespace* space) : storage_(space) {}
  explicit Value(const Macro* macro) : storage_(macro) {}
  explicit Value(LoopState* loop) : storage_(loop) {}
  explicit Value(const Builtin* function) : storage_(function) {}

  /// From outside data. Text is UTF-8 where `json` was parsed; deeper nesting than kMaxDepth is cut to none.
  static Value from_json(const Json& json, int depth = 0);

  Kind kind() const { return static_cast<Kind>(storage_.index()); }
  bool is(Kind kind) const { return this->kind() == kind; }
  bool is_undefined() const { return is(Kind::kUndefined); }
  bool is_none() const { return is(Kind::kNone); }
  bool is_string() const { return is(Kind::kString); }
  bool is_number() const { return is(Kind::kBool) || is(Kind::kInt) || is(Kind::kFloat); }
  bool is_integral() const { return is(Kind::kBool) || is(Kind::kInt); }

  // Each may be called only for its kind; `as_integer` and `as_double` also take the narrower numbers.
  const std::string& text() const { return *std::get<std::shared_ptr<const std::string>>(storage_); }
  bool as_bool() const { return std::get<bool>(storage_); }
  Int as_integer() const;
  double as_double() const;
  const Sequence& sequence() const { return *std::get<std::shared_ptr<const Sequence>>(storage_); }
  Generator& generator() const { return *std::get<std::shared_ptr<Generator>>(storage_); }
  const Dict& dict() const { return *std::get<std::shared_ptr<const Dict>>(storage_); }
  Namespace& space() const { return *std::get<Namespace*>(storage_); }
  const Macro& macro() const { return *std::get<const Macro*>(storage_); }
  LoopState& loop() const { return *std::get<LoopState*>(storage_); }
  const BoundMethod& method() const { return *std::get<std::shared_ptr<const BoundMethod>>(storage_); }
  const Builtin& function() const { return *std::get<const Builtin*>(storage_); }

  /// Why an undefined value is undefined: "'x' is undefined".
  std::string undefined_message() const;
  /// Python's truth value.
  bool truthy() const;
  /// "str", "list", "NoneType": type(value).__name__.
  std::string_view type_name() const;
  /// Levels of containers; bounded by kMaxDepth, so that walking a value cannot exhaust the stack.
  int depth() const;
  /// How much work walking the whole value is, saturating: a value may share parts of itself many times.
  uint64_t weight() const;

  /// Same object: equal scalars of one type, or one container (Python's `is`).
  bool same_as(const Value& other) const;

  static constexpr int kMaxDepth = 200;

 private:
  using Storage =
      std::variant<Undefined, None, bool, Int, double, std::shared_ptr<const std::string>,
                   std::shared_ptr<const Sequence>, std::shared_ptr<Generator>, std::shared_ptr<const Dict>,
                   Namespace*, const Macro*, LoopState*, std::shared_ptr<const BoundMethod>, const Builtin*>;
  explicit Value(Storage storage) : storage_(std::move(storage)) {}

  Storage storage_;
};

using Values = std::vector<Value>;

/// Depth and weight of a container that holds these; see Value.
struct Extent {
  int depth = 1;
  uint64_t weight = 1;
  void add(const Value& item);
};

enum class SequenceKind : uint8_t { kList, kTuple, kRange, kKeys, kValues, kItems };

struct Sequence {
  SequenceKind kind = SequenceKind::kList;
  Values items;
  Extent extent;
};

/// The elements are computed when the generator is made; `next` is the first one not yet taken.
struct Generator {
  Values items;
  Extent extent;
  size_t next = 0;
};

/// Keys in order of insertion. Keys compare as in Python: 1, 1.0 and true are one key.
class Dict {
 public:
  const Value* find(std::string_view key) const;
  const Value* find(const Value& key) const;
  /// The key must be hashable (see is_hashable).
  void set(const Value& key, Value value);
  const std::vector<std::pair<Value, Value>>& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }
  const Extent& extent() const { return extent_; }

 private:
  size_t index_of(std::string_view key) const;  // size() when absent
  size_t index_of(const Value& key) const;

  std::vector<std::pair<Value, Value>> entries_;
  std::unordered_map<std::string_view, size_t> strings_;  // views into the keys
  Extent extent_;
};

struct Namespace {
  std::vector<std::pair<std::string, Value>> members;
  const Value* find(std::string_view name) const;
  void set(std::string_view name, Value value);
};

/// A method of a value, looked up and not yet called.
struct BoundMethod {
  const Builtin* method = nullptr;
  Value self;
};

/// False for lists, dicts and tuples that hold them.
bool is_hashable(const Value& value);
/// Python's ==. The caller accounts for the work (Runtime::equal does).
bool values_equal(const Value& a, const Value& b);
/// Python's a < b. Errors: types that have no order between them.
Result<bool> value_less(const Value& a, const Value& b);

/// str(value): what a template prints.
std::string value_str(const Value& value);
/// repr(value): how a list prints its elements.
std::string value_repr(const Value& value);

/// Python's json.dumps as Hugging Face's `tojson` filter calls it.
struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  int indent = -1;  ///< negative: one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
/// Errors: values with no JSON form, by type name.
Result<std::string> value_to_json(const Value& value, const JsonStyle& style);

}  // namespace cadre::jinja
