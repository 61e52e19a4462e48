#pragma once
/// What a rendering shares with the functions it calls: its budget of work, the makers of values (which
/// charge for them), and the tables of filters, tests, methods and global functions.

#include <array>
#include <cstdint>
#include <ctime>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "cadre/text/jinja_value.h"

namespace cadre::jinja {

class Runtime;

/// Arguments of a call, evaluated.
struct CallArguments {
  Values positional;
  std::vector<std::pair<std::string, Value>> named;
};

/// Arguments matched to the parameters of a Builtin.
class Bound {
 public:
  static constexpr size_t kMax = 5;

  /// nullptr when the argument was not given.
  const Value* find(size_t index) const { return values_[index] ? &*values_[index] : nullptr; }
  const Value& at(size_t index) const { return *values_[index]; }  ///< of a required parameter
  bool truthy(size_t index, bool otherwise = false) const {
    return values_[index] ? values_[index]->truthy() : otherwise;
  }
  /// A string, or `otherwise` when not given. Errors: another type.
  Result<std::string_view> text(size_t index, std::string_view otherwise = {}) const;
  /// An integer between -2^62 and 2^62, or `otherwise` when not given or none. Errors: another type or range.
  Result<int64_t> integer(size_t index, int64_t otherwise) const;
  /// All arguments, for a variadic Builtin.
  const CallArguments& all() const { return *all_; }

 private:
  friend Result<Value> call_builtin(Runtime&, const Builtin&, const Value&, const CallArguments&);
  std::array<std::optional<Value>, kMax> values_;
  const CallArguments* all_ = nullptr;
};

/// A filter, test, method or global function. `self` is what the filter or method is applied to.
struct Builtin {
  std::string_view name;
  Result<Value> (*function)(Runtime& runtime, const Value& self, const Bound& arguments);
  size_t required = 0;  ///< so many of the parameters must be given
  std::array<std::string_view, Bound::kMax> parameters = {};
  bool variadic = false;  ///< takes any arguments; see Bound::all
};

/// Errors: a missing, surplus or unknown argument, and whatever the function says.
Result<Value> call_builtin(Runtime& runtime, const Builtin& builtin, const Value& self,
                           const CallArguments& arguments);

// Each returns nullptr for a name it does not have. All tables are constant.
const Builtin* find_filter(std::string_view name);
const Builtin* find_test(std::string_view name);
const Builtin* find_method(const Value& self, std::string_view name);
const Builtin* find_global(std::string_view name);

/// Looks a name up in one table.
const Builtin* find_builtin(std::span<const Builtin> table, std::string_view name);

/// Budget and makers of values of one rendering. Owns its namespaces. Not thread-safe.
class Runtime {
 public:
  explicit Runtime(uint64_t steps, std::tm now) : steps_left_(steps), steps_(steps), now_(now) {}

  /// Accounts for `steps` of work before it is done. Errors: kTooLarge when the budget is spent.
  Status charge(uint64_t steps);
  Status charge_text(uint64_t bytes) { return charge(1 + bytes / kBytesPerStep); }

  // Makers of values that check nesting (kTooLarge) and charge for what they hold.
  Result<Value> make_text(std::string text);
  Result<Value> make_sequence(Values items, SequenceKind kind = SequenceKind::kList);
  Result<Value> make_generator(Values items);
  Result<Value> make_dict(Dict dict);
  Result<Value> make_namespace(Namespace space);
  /// dict[key] = value, charging for the search. Errors: a key that is not hashable.
  Status set_item(Dict& dict, const Value& key, Value value);

  /// What `for` walks over: elements, characters, keys. A generator is exhausted by it.
  /// Errors: a value that cannot be walked.
  Result<Values> iterate(const Value& value);
  /// a == b, charging for the comparison.
  Result<bool> equal(const Value& a, const Value& b);
  Result<bool> less(const Value& a, const Value& b);
  /// str(value), charging for the text.
  Result<std::string> str(const Value& value);

  const std::tm& now() const { return now_; }

 private:
  uint64_t steps_left_;
  uint64_t steps_;
  std::tm now_;
  std::deque<Namespace> namespaces_;
};

}  // namespace cadre::jinja
