#include "cadre/text/constrained_decoding.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cadre/base/check.h"
#include "cadre/text/grammar_matcher.h"

namespace cadre {
namespace {

constexpr size_t kMaxTerminalMasks = 256;  // 16 KiB each for a vocabulary of 128k
constexpr size_t kMaxStateMasks = 64;
constexpr size_t kMaxMatcherSize = 200'000;

using Mask = std::vector<uint64_t>;

void set_bit(Mask& mask, int32_t token) {
  mask[static_cast<size_t>(token) / 64] |= uint64_t{1} << (static_cast<size_t>(token) % 64);
}

/// What the tokens do to one terminal, whatever comes after it.
struct TerminalMask {
  Mask inside;                  ///< tokens after which the terminal goes on
  std::vector<uint32_t> exits;  ///< nodes of the trie at which it may be over
};

/// Follows the tree of tokens and the grammar together. Most of the work is the same for all states that are
/// inside of the same terminal, such as a string: which tokens stay inside is found once, and only from where
/// they leave it is the rest of the grammar asked.
class GrammarConstraint : public TokenConstraint {
 public:
  GrammarConstraint(std::shared_ptr<const TokenTrie> tokens, std::shared_ptr<const Grammar> grammar)
      : tokens_(std::move(tokens)), matcher_(std::move(grammar)), state_(matcher_.start()) {}

  void allow(std::span<uint64_t> mask) const override {
    const Mask& allowed = mask_of(state_);
    CADRE_CHECK(mask.size() >= allowed.size(), "mask {} words {}", mask.size(), allowed.size());
    std::fill(std::copy(allowed.begin(), allowed.end(), mask.begin()), mask.end(), 0);
  }

  void accept(int32_t token) override {
    const GrammarMatcher::State next = matcher_.step(state_, tokens_->bytes(token));
    CADRE_CHECK(next != GrammarMatcher::kNoState, "token {} is not allowed", token);
    state_ = next;
    if (matcher_.size() <= kMaxMatcherSize) return;
    state_ = matcher_.compact(next);
    masks_.clear();
  }

  bool may_end() const override { return matcher_.may_end(state_); }
  bool complete() const override { return matcher_.must_end(state_); }

 private:
  using State = GrammarMatcher::State;

  const Mask& mask_of(State state) const {
    if (const auto found = masks_.find(state); found != masks_.end()) return found->second;
    if (masks_.size() >= kMaxStateMasks) masks_.clear();
    Mask mask((static_cast<size_t>(tokens_->vocab_size()) + 63) / 64);
    const auto stacks = matcher_.stacks(state);
    const std::vector<uint32_t> ids(stacks.begin(), stacks.end());  // a copy: the matcher makes new states
    for (const uint32_t id : ids)
      if (id != GrammarMatcher::kEnd) add_stack(id, mask);
    return masks_.emplace(state, std::move(mask)).first->second;
  }

  void add_stack(uint32_t id, Mask& mask) const {
    const GrammarStack stack = matcher_.stack(id);
    const GrammarNode& terminal = matcher_.grammar().node(stack.node);
    const TerminalMask& known = terminal_mask(terminal, stack.position);
    for (size_t i = 0; i < mask.size(); ++i) mask[i] |= known.inside[i];
    const bool is_key = terminal.kind == GrammarNode::Kind::kKey;
    State after = is_key || known.exits.empty() ? GrammarMatcher::kNoState : matcher_.after(id, "");
    for (const uint32_t exit : known.exits) {
      if (is_key) after = matcher_.after(id, tokens_->path(exit));
      if (after == GrammarMatcher::kNoState) continue;
      add_tokens(tokens_->nodes()[exit], mask);
      add_subtree(exit, after, mask);
    }
  }

  void add_tokens(const TokenTrie::Node& node, Mask& mask) const {
    for (const int32_t token : tokens_->tokens(node)) set_bit(mask, token);
  }

  /// Tokens below `node`, where the grammar is in `state`.
  void add_subtree(uint32_t node, State state, Mask& mask) const {
    const auto nodes = tokens_->nodes();
    for (uint32_t child = node + 1; child < nodes[node].end; child = nodes[child].end) {
      const State next = matcher_.step(state, nodes[child].byte);
      if (next == GrammarMatcher::kNoState) continue;
      add_tokens(nodes[child], mask);
      add_subtree(child, next, mask);
    }
  }

  const TerminalMask& terminal_mask(const GrammarNode& terminal, int64_t position) const {
    const Grammar& grammar = matcher_.grammar();
    const auto key = grammar.key(terminal, position, static_cast<int64_t>(tokens_->max_token_bytes()));
    if (const auto found = terminals_.find(key); found != terminals_.end()) return found->second;
    if (terminals_.size() >= kMaxTerminalMasks) terminals_.clear();
    TerminalMask made{Mask((static_cast<size_t>(tokens_->vocab_size()) + 63) / 64), {}};
    const auto nodes = tokens_->nodes();
    std::vector<std::pair<uint32_t, int64_t>> path{{nodes[0].end, position}};  // ends of subtrees, positions
    for (uint32_t node = 1; node < nodes.size();) {
      while (path.back().first <= node) path.pop_back();
      const int64_t next = grammar.step(terminal, path.back().second, nodes[node].byte);
      if (next == Grammar::kDead) {
        node = nodes[node].end;
        continue;
      }
      if (grammar.accepts(terminal, next)) made.exits.push_back(node);
      if (grammar.extends(terminal, next)) {
        add_tokens(nodes[node], made.inside);
        if (nodes[node].end > node + 1) path.emplace_back(nodes[node].end, next);
        ++node;
      } else {
        node = nodes[node].end;
      }
    }
    return terminals_.emplace(key, std::move(made)).first->second;
  }

  std::shared_ptr<const TokenTrie> tokens_;
  // Found on demand, also by allow(), which changes nothing that can be observed.
  mutable GrammarMatcher matcher_;
  mutable std::unordered_map<State, Mask> masks_;
  mutable std::map<Grammar::PositionKey, TerminalMask> terminals_;
  State state_;
};

}  // namespace

std::unique_ptr<TokenConstraint> constrain(std::shared_ptr<const TokenTrie> tokens,
                                           const JsonGrammar& grammar) {
  return std::make_unique<GrammarConstraint>(std::move(tokens), grammar.shared());
}

Result<std::unique_ptr<TokenConstraint>> constrain_answer(std::shared_ptr<const TokenTrie> tokens,
                                                          const AnswerRules& rules) {
  if (!rules.content && rules.tool_choice == ToolChoice::kNone) return nullptr;
  CADRE_TRY(std::shared_ptr<const Grammar> grammar, answer_grammar(*tokens, rules));
  return std::make_unique<GrammarConstraint>(std::move(tokens), std::move(grammar));
}

}  // namespace cadre
