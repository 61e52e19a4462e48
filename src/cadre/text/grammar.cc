#include "cadre/text/grammar.h"

#include <algorithm>

#include "cadre/text/string_encoding.h"

namespace cadre {
int64_t Grammar::step_string(const GrammarNode& terminal, int64_t position, uint8_t byte) const {
  if (position == 0) return byte == '"' ? kStringBody : kDead;
  if (position == kStringEnd) return kDead;
  const auto states = static_cast<int64_t>(character_.states());
  int64_t count = (position - kStringBody) / states;
  const auto state = static_cast<int32_t>((position - kStringBody) % states);
  if (state == 0 && byte == '"') return count >= terminal.least ? kStringEnd : kDead;
  if (state == 0 && terminal.most != RegularBuilder::kUnbounded && count >= terminal.most) return kDead;
  const int32_t next = character_.step(state, byte);
  if (next == ByteAutomaton::kDead) return kDead;
  if (!character_.accepts(next)) return kStringBody + count * states + next;
  // Without an upper bound, more than `least` is all alike.
  if (terminal.most != RegularBuilder::kUnbounded || count < terminal.least) ++count;
  return kStringBody + count * states;
}

Grammar::PositionKey Grammar::key(const GrammarNode& terminal, int64_t position, int64_t horizon) const {
  if (terminal.kind != GrammarNode::Kind::kString) return {terminal.automaton, position, 0, 0};
  const auto states = static_cast<int64_t>(character_.states());
  const int64_t count = position < kStringBody ? 0 : (position - kStringBody) / states;
  PositionKey key{-1, position < kStringBody ? position - kStringBody : (position - kStringBody) % states, 0,
                  horizon};
  if (position == kStringEnd) return key;
  key.missing = std::clamp<int64_t>(terminal.least - count, 0, horizon);
  if (terminal.most != RegularBuilder::kUnbounded) key.room = std::min(terminal.most - count, horizon);
  return key;
}

GrammarBuilder::GrammarBuilder() {
  // A few hundred states always suffice for one character.
  grammar_.character_ = *regular_.compile(json_character(regular_), kMaxStates);
}

GrammarId GrammarBuilder::add(GrammarNode node) {
  grammar_.nodes_.push_back(std::move(node));
  return static_cast<GrammarId>(grammar_.nodes_.size() - 1);
}

Result<int32_t> GrammarBuilder::compile(RegularBuilder::Id expression) {
  if (const auto found = compiled_.find(expression); found != compiled_.end()) return found->second;
  CADRE_TRY(ByteAutomaton automaton, regular_.compile(expression, kMaxStates - states_));
  states_ += automaton.states();
  const auto index = static_cast<int32_t>(grammar_.automata_.size());
  grammar_.automata_.push_back(std::move(automaton));
  compiled_.emplace(expression, index);
  return index;
}

Result<GrammarId> GrammarBuilder::automaton(RegularBuilder::Id expression) {
  CADRE_TRY(const int32_t index, compile(expression));
  return add({.kind = GrammarNode::Kind::kAutomaton, .automaton = index});
}

Result<GrammarId> GrammarBuilder::key(RegularBuilder::Id expression) {
  CADRE_TRY(const int32_t index, compile(expression));
  return add({.kind = GrammarNode::Kind::kKey, .automaton = index});
}

GrammarId GrammarBuilder::string(int64_t least, int64_t most) {
  return add({.kind = GrammarNode::Kind::kString, .least = least, .most = most});
}

GrammarId GrammarBuilder::sequence(std::vector<GrammarId> parts, bool nests) {
  return add({.kind = GrammarNode::Kind::kSequence, .nests = nests, .parts = std::move(parts)});
}

GrammarId GrammarBuilder::choice(std::vector<GrammarId> parts) {
  return add({.kind = GrammarNode::Kind::kChoice, .parts = std::move(parts)});
}

void GrammarBuilder::set_parts(GrammarId choice, std::vector<GrammarId> parts) {
  grammar_.nodes_[static_cast<size_t>(choice)].parts = std::move(parts);
}

GrammarId GrammarBuilder::import(const Grammar& grammar) {
  const auto node_offset = static_cast<GrammarId>(grammar_.nodes_.size());
  const auto automaton_offset = static_cast<int32_t>(grammar_.automata_.size());
  for (GrammarNode node : grammar.nodes_) {
    if (node.automaton >= 0) node.automaton += automaton_offset;
    for (GrammarId& part : node.parts) part += node_offset;
    add(std::move(node));
  }
  grammar_.automata_.insert(grammar_.automata_.end(), grammar.automata_.begin(), grammar.automata_.end());
  return grammar.root_ + node_offset;
}

Result<std::shared_ptr<const Grammar>> GrammarBuilder::build(GrammarId root, int max_nesting) && {
  if (too_large()) return fail(ErrorKind::kTooLarge, "needs a grammar of more than {} nodes", kMaxNodes);
  std::vector<GrammarNode>& nodes = grammar_.nodes_;
  std::vector<std::vector<GrammarId>> users(nodes.size());
  for (size_t id = 0; id < nodes.size(); ++id)
    for (const GrammarId part : nodes[id].parts)
      users[static_cast<size_t>(part)].push_back(static_cast<GrammarId>(id));

  // Depths from the terminals upwards: a node is looked at again whenever a part of it became flatter.
  const auto depth_of = [&](const GrammarNode& node) {
    if (node.kind == GrammarNode::Kind::kString) {
      const bool possible = node.most == RegularBuilder::kUnbounded || node.least <= node.most;
      return possible ? 0 : GrammarNode::kNoText;
    }
    if (node.is_terminal()) return grammar_.automaton(node.automaton).empty() ? GrammarNode::kNoText : 0;
    const bool sequence = node.kind == GrammarNode::Kind::kSequence;
    int32_t depth = sequence ? 0 : GrammarNode::kNoText;
    for (const GrammarId part : node.parts) {
      const int32_t below = nodes[static_cast<size_t>(part)].depth;
      depth = sequence ? std::max(depth, below) : std::min(depth, below);
    }
    return depth == GrammarNode::kNoText ? depth : depth + (node.nests ? 1 : 0);
  };
  std::vector<GrammarId> todo(nodes.size());
  for (size_t id = 0; id < nodes.size(); ++id) {
    nodes[id].depth = GrammarNode::kNoText;
    todo[id] = static_cast<GrammarId>(id);
  }
  while (!todo.empty()) {
    const auto id = static_cast<size_t>(todo.back());
    todo.pop_back();
    const int32_t depth = depth_of(nodes[id]);
    if (depth >= nodes[id].depth) continue;
    nodes[id].depth = depth;
    todo.insert(todo.end(), users[id].begin(), users[id].end());
  }
  if (nodes[static_cast<size_t>(root)].depth == GrammarNode::kNoText)
    return invalid("no value can satisfy it");
  if (nodes[static_cast<size_t>(root)].depth > max_nesting)
    return invalid("only values nested deeper than {} levels can satisfy it", max_nesting);
  for (GrammarNode& node : nodes) {
    if (node.kind != GrammarNode::Kind::kChoice) continue;
    std::erase_if(node.parts, [&](GrammarId part) {
      return nodes[static_cast<size_t>(part)].depth == GrammarNode::kNoText;
    });
  }
  grammar_.root_ = root;
  grammar_.max_nesting_ = max_nesting;
  return std::make_shared<const Grammar>(std::move(grammar_));
}

}  // namespace cadre
