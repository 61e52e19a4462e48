#pragma once
/// Regular languages over bytes: expressions with intersection and complement, compiled to automata whose
/// every state can still reach the end of a word.

#include <array>
#include <bitset>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cadre/base/result.h"

namespace cadre {

/// A deterministic automaton. State 0 is the start; there is no state from which no word can be completed.
class ByteAutomaton {
 public:
  static constexpr int32_t kDead = -1;

  int32_t step(int32_t state, uint8_t byte) const {
    return next_[static_cast<size_t>(state) * classes_ + class_of_[byte]];
  }
  /// Whether the bytes so far are a word.
  bool accepts(int32_t state) const { return (flags_[static_cast<size_t>(state)] & kAccepts) != 0; }
  /// Whether they are the beginning of a longer one.
  bool extends(int32_t state) const { return (flags_[static_cast<size_t>(state)] & kExtends) != 0; }
  /// No word at all.
  bool empty() const { return flags_.empty(); }
  size_t states() const { return flags_.size(); }
  bool matches(std::string_view word) const;

 private:
  friend class RegularBuilder;
  enum : uint8_t { kAccepts = 1, kExtends = 2 };

  std::array<uint8_t, 256> class_of_{};  // bytes of a class are never told apart
  size_t classes_ = 1;
  std::vector<int32_t> next_;  // [state][class]
  std::vector<uint8_t> flags_;
};

/// Makes expressions and compiles them, by Brzozowski's derivatives (J. ACM 11, 1964): the derivative of a
/// language by a byte is what may follow that byte, and equal derivatives are one state. Intersection and
/// complement cost no more than union. Equal expressions are one, so they are compared by id.
class RegularBuilder {
 public:
  using Id = int32_t;
  static constexpr int64_t kUnbounded = -1;

  RegularBuilder();

  Id none() const { return 0; }   ///< no word
  Id empty() const { return 1; }  ///< the empty word
  Id any() const { return 2; }    ///< every word
  Id bytes(uint8_t first, uint8_t last);
  Id literal(std::string_view text);
  Id sequence(Id left, Id right);
  Id sequence(const std::vector<Id>& parts);
  Id either(const std::vector<Id>& parts);
  Id both(Id left, Id right);
  Id complement(Id part);
  /// `most` may be kUnbounded.
  Id repeat(Id part, int64_t least, int64_t most);
  /// Decimal digits, none or more, that read a multiple of `divisor`.
  Id multiple_of(int64_t divisor) { return remainder(divisor, 0); }
  Id optional(Id part) { return repeat(part, 0, 1); }

  /// Errors: kTooLarge beyond `max_states`, and once all compilations together have taken too long.
  Result<ByteAutomaton> compile(Id id, size_t max_states);

 private:
  enum class Kind : uint8_t { kNone, kEmpty, kBytes, kSequence, kEither, kBoth, kNot, kRepeat, kRemainder };
  struct Node {
    Kind kind = Kind::kNone;
    bool nullable = false;
    int32_t set = -1;       // of kBytes
    std::vector<Id> parts;  // sorted for kEither and kBoth
    int64_t least = 0;      // of kRemainder: the divisor
    int64_t most = 0;       // of kRemainder: what is left
    friend bool operator==(const Node&, const Node&) = default;
  };
  struct NodeHash {
    size_t operator()(const Node& node) const;
  };

  Id add(Node node);
  /// Digits that read a multiple of `divisor` after others that leave `rest`.
  Id remainder(int64_t divisor, int64_t rest);
  Id derivative(Id id, uint8_t byte);
  /// Numbers the classes of bytes that no set below `id` tells apart; returns one byte of each.
  std::vector<uint8_t> classify(Id id, std::array<uint8_t, 256>& class_of) const;

  std::vector<Node> nodes_;
  std::unordered_map<Node, Id, NodeHash> ids_;
  std::vector<std::bitset<256>> sets_;
  std::unordered_map<uint64_t, Id> derivatives_;
  size_t work_ = 0;  // parts of expressions that were looked at
};

}  // namespace cadre
