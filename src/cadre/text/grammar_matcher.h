#pragma once
/// All ways in which the bytes of an answer can be read by a grammar, and how they go on.

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cadre/text/grammar.h"

namespace cadre {

/// One reading: the terminal being read and, through `parent`, what comes after it.
struct GrammarStack {
  GrammarId node = -1;
  uint32_t memory = 0;   ///< of a kKey: its text so far; of a sequence: keys of the object so far
  int64_t position = 0;  ///< in the terminal, or the next part of the sequence
  uint32_t parent = 0;
  int32_t depth = 0;  ///< levels of nesting that are open

  friend bool operator==(const GrammarStack&, const GrammarStack&) = default;
};

/// Makes states (sets of stacks) and follows them. A state is never empty but for kNoState, and the grammar
/// can complete each: there are no dead ends. Grows with what it is asked; see compact(). Not thread-safe.
class GrammarMatcher {
 public:
  using State = uint32_t;
  static constexpr State kNoState = 0;

  explicit GrammarMatcher(std::shared_ptr<const Grammar> grammar);

  const Grammar& grammar() const { return *grammar_; }
  State start() const { return start_; }
  /// The state after one more byte.
  State step(State state, uint8_t byte);
  State step(State state, std::string_view bytes);

  /// Whether the text may end here.
  bool may_end(State state) const { return !stacks(state).empty() && stacks(state)[0] == kEnd; }
  /// Whether it must.
  bool must_end(State state) const { return stacks(state).size() == 1 && stacks(state)[0] == kEnd; }

  /// Ids of the readings; kEnd is the one that has read all.
  std::span<const uint32_t> stacks(State state) const { return states_[state]; }
  const GrammarStack& stack(uint32_t id) const { return cells_[id]; }
  static constexpr uint32_t kEnd = 0;

  /// The state once the terminal on top of stack `id` has been read to its end by `rest`: kNoState where that
  /// is forbidden.
  State after(uint32_t id, std::string_view rest);

  /// Forgets all states but `state`, start() as well, and renumbers it.
  State compact(State state);
  /// How much has been made.
  size_t size() const { return cells_.size() + memories_.size() + states_.size(); }

 private:
  /// A persistent list: of bytes, or of the ids of such lists.
  struct Memory {
    uint32_t before = 0;
    uint32_t value = 0;
    friend bool operator==(const Memory&, const Memory&) = default;
  };
  struct Hash {
    size_t operator()(const GrammarStack& stack) const;
    size_t operator()(const Memory& memory) const;
    size_t operator()(const std::vector<uint32_t>& stacks) const;
  };

  uint32_t intern(const GrammarStack& stack);
  uint32_t remember(uint32_t before, uint32_t value);
  State intern_state();
  bool visit(uint32_t id);
  /// The level at which parts of `parent` lie.
  int32_t depth_below(uint32_t parent) const { return parent == kEnd ? 0 : cells_[parent].depth; }

  // These collect the stacks of the next state in collected_.
  void begin();
  void run();
  void expand(GrammarId id, uint32_t memory, uint32_t parent);
  void advance(GrammarId sequence, int64_t part, uint32_t memory, uint32_t parent);
  void pop(uint32_t parent);
  void complete(const GrammarStack& terminal);
  void collect(const GrammarStack& terminal);

  std::shared_ptr<const Grammar> grammar_;
  std::vector<GrammarStack> cells_;
  std::unordered_map<GrammarStack, uint32_t, Hash> cell_ids_;
  std::vector<uint32_t> visited_;  // by cell: the round in which it was met
  uint32_t round_ = 0;
  std::vector<Memory> memories_;
  std::unordered_map<Memory, uint32_t, Hash> memory_ids_;
  std::vector<std::vector<uint32_t>> states_;
  std::unordered_map<std::vector<uint32_t>, State, Hash> state_ids_;
  std::unordered_map<uint64_t, State> steps_;
  std::vector<GrammarStack> todo_;
  std::vector<uint32_t> collected_;
  State start_ = kNoState;
};

/// Whether `text`, as a whole, is a text of `grammar`.
bool grammar_accepts(std::shared_ptr<const Grammar> grammar, std::string_view text);

}  // namespace cadre
