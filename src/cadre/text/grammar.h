#pragma once
/// Context-free grammars over bytes whose terminals are automata: what constrained decoding runs.

#include <cstdint>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cadre/base/result.h"
#include "cadre/text/byte_automaton.h"

namespace cadre {

/// Index of a node in its Grammar.
using GrammarId = int32_t;

struct GrammarNode {
  enum class Kind : uint8_t {
    kAutomaton,  ///< a word of an automaton
    kString,     ///< a JSON string of `least` to `most` characters
    kKey,        ///< a word of an automaton that no other kKey of the same object is
    kSequence,   ///< its parts one after another
    kChoice,     ///< one of its parts
  };
  Kind kind = Kind::kSequence;
  bool nests = false;  ///< a sequence that counts as one level of nesting
  int32_t automaton = -1;
  int64_t least = 0;
  int64_t most = 0;  ///< RegularBuilder::kUnbounded: any number
  std::vector<GrammarId> parts;
  /// Levels of nesting in the flattest text of this node; kNoText if there is none.
  int32_t depth = 0;

  static constexpr int32_t kNoText = INT32_MAX;
  bool is_terminal() const { return kind != Kind::kSequence && kind != Kind::kChoice; }
};

/// Immutable; any number of threads may use it. No node is without text: what had none was removed.
class Grammar {
 public:
  static constexpr int64_t kDead = -1;

  const GrammarNode& node(GrammarId id) const { return nodes_[static_cast<size_t>(id)]; }
  GrammarId root() const { return root_; }
  size_t size() const { return nodes_.size(); }
  const ByteAutomaton& automaton(int32_t index) const { return automata_[static_cast<size_t>(index)]; }
  size_t automata() const { return automata_.size(); }
  int max_nesting() const { return max_nesting_; }

  /// Terminals step byte by byte through positions, of which the first is 0.
  int64_t step(const GrammarNode& terminal, int64_t position, uint8_t byte) const {
    if (terminal.kind == GrammarNode::Kind::kString) return step_string(terminal, position, byte);
    return automaton(terminal.automaton).step(static_cast<int32_t>(position), byte);
  }
  /// Whether the bytes so far are a text of the terminal.
  bool accepts(const GrammarNode& terminal, int64_t position) const {
    if (terminal.kind == GrammarNode::Kind::kString) return position == kStringEnd;
    return automaton(terminal.automaton).accepts(static_cast<int32_t>(position));
  }
  /// Whether they are the beginning of a longer one.
  bool extends(const GrammarNode& terminal, int64_t position) const {
    if (terminal.kind == GrammarNode::Kind::kString) return position != kStringEnd;
    return automaton(terminal.automaton).extends(static_cast<int32_t>(position));
  }
  /// Two positions of terminals with the same key allow the same next bytes, `horizon` bytes far.
  struct PositionKey {
    int64_t automaton = 0;  ///< its index, -1 for a string
    int64_t state = 0;
    int64_t missing = 0;  ///< of a string: characters that must still come, up to `horizon`
    int64_t room = 0;     ///< characters that may still come, up to `horizon`
    // clang-tidy 14 takes the 0 that it is compared with for a pointer. NOLINTNEXTLINE(modernize-use-nullptr)
    friend auto operator<=>(const PositionKey&, const PositionKey&) = default;
  };
  PositionKey key(const GrammarNode& terminal, int64_t position, int64_t horizon) const;

 private:
  friend class GrammarBuilder;

  // Positions of a string: 0 before the opening quote, then kStringEnd, then count * states + state, where
  // `count` characters are complete (as many as the bounds can tell apart) and `state` is that of the
  // automaton of one character, 0 between characters.
  static constexpr int64_t kStringEnd = 1;
  static constexpr int64_t kStringBody = 2;
  int64_t step_string(const GrammarNode& terminal, int64_t position, uint8_t byte) const;

  std::vector<GrammarNode> nodes_;
  std::vector<ByteAutomaton> automata_;
  ByteAutomaton character_;
  GrammarId root_ = 0;
  int max_nesting_ = 0;
};

/// Puts a grammar together. Nodes may refer to each other in circles: make the node first with choice(), and
/// give it its parts later.
class GrammarBuilder {
 public:
  static constexpr size_t kMaxNodes = 200'000;
  static constexpr size_t kMaxStates = 100'000;  ///< of all automata together

  GrammarBuilder();

  RegularBuilder& regular() { return regular_; }

  /// Errors: kTooLarge.
  Result<GrammarId> automaton(RegularBuilder::Id expression);
  Result<GrammarId> literal(std::string_view text) { return automaton(regular_.literal(text)); }
  Result<GrammarId> key(RegularBuilder::Id expression);
  GrammarId string(int64_t least, int64_t most);
  GrammarId empty() { return sequence({}); }
  GrammarId sequence(std::vector<GrammarId> parts, bool nests = false);
  GrammarId choice(std::vector<GrammarId> parts);
  void set_parts(GrammarId choice, std::vector<GrammarId> parts);
  /// A copy of all of `grammar`; returns its root.
  GrammarId import(const Grammar& grammar);
  bool too_large() const { return grammar_.nodes_.size() > kMaxNodes; }

  /// Errors: kTooLarge; kInvalid where `root` has no text at all, or none within `max_nesting` levels.
  Result<std::shared_ptr<const Grammar>> build(GrammarId root, int max_nesting) &&;

 private:
  GrammarId add(GrammarNode node);
  Result<int32_t> compile(RegularBuilder::Id expression);

  Grammar grammar_;
  RegularBuilder regular_;
  std::unordered_map<RegularBuilder::Id, int32_t> compiled_;
  size_t states_ = 0;
};

}  // namespace cadre
