#include "cadre/text/grammar_matcher.h"

#include <algorithm>

namespace cadre {
namespace {

// Readings that are followed at once. Only a schema of nested alternatives with the same beginning has more;
// the first ones are kept then, each of which can be completed.
constexpr size_t kMaxStacks = 4096;

// Marks the values of a text, which are bytes, so that a text and a list of keys are never one.
constexpr uint32_t kByte = uint32_t{1} << 31;

size_t mix(size_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
  return hash ^ (hash >> 29);
}

}  // namespace

size_t GrammarMatcher::Hash::operator()(const GrammarStack& stack) const {
  const uint64_t low = static_cast<uint64_t>(static_cast<uint32_t>(stack.node)) << 32 | stack.parent;
  return mix(mix(mix(low, stack.memory), static_cast<uint64_t>(stack.position)), 1);
}

size_t GrammarMatcher::Hash::operator()(const Memory& memory) const {
  return mix(mix(memory.before, memory.value), 1);
}

size_t GrammarMatcher::Hash::operator()(const std::vector<uint32_t>& stacks) const {
  size_t hash = stacks.size();
  for (const uint32_t stack : stacks) hash = mix(hash, stack);
  return hash;
}

GrammarMatcher::GrammarMatcher(std::shared_ptr<const Grammar> grammar) : grammar_(std::move(grammar)) {
  cells_.emplace_back();
  visited_.push_back(0);
  memories_.emplace_back();
  states_.emplace_back();
  begin();
  expand(grammar_->root(), 0, kEnd);
  start_ = intern_state();
}

uint32_t GrammarMatcher::intern(const GrammarStack& stack) {
  const auto [found, inserted] = cell_ids_.try_emplace(stack, static_cast<uint32_t>(cells_.size()));
  if (inserted) {
    cells_.push_back(stack);
    visited_.push_back(0);
  }
  return found->second;
}

uint32_t GrammarMatcher::remember(uint32_t before, uint32_t value) {
  const Memory memory{before, value};
  const auto [found, inserted] = memory_ids_.try_emplace(memory, static_cast<uint32_t>(memories_.size()));
  if (inserted) memories_.push_back(memory);
  return found->second;
}

void GrammarMatcher::begin() {
  collected_.clear();
  ++round_;
}

GrammarMatcher::State GrammarMatcher::intern_state() {
  run();
  if (collected_.empty()) return kNoState;
  std::sort(collected_.begin(), collected_.end());
  const auto [found, inserted] = state_ids_.try_emplace(collected_, static_cast<State>(states_.size()));
  if (inserted) states_.push_back(collected_);
  return found->second;
}

/// True the first time in a round.
bool GrammarMatcher::visit(uint32_t id) {
  if (visited_[id] == round_) return false;
  visited_[id] = round_;
  return true;
}

void GrammarMatcher::collect(const GrammarStack& terminal) {
  if (collected_.size() >= kMaxStacks) return;
  const uint32_t id = intern(terminal);
  if (visit(id)) collected_.push_back(id);
}

/// Puts a node on top of `parent`. Nodes that lead to further nodes wait in todo_, because chains of them are
/// as long as a schema.
void GrammarMatcher::expand(GrammarId id, uint32_t memory, uint32_t parent) {
  const GrammarNode& node = grammar_->node(id);
  if (node.is_terminal()) {
    const GrammarStack terminal{.node = id, .parent = parent};
    if (grammar_->extends(node, 0)) collect(terminal);
    if (grammar_->accepts(node, 0)) complete(terminal);
    return;
  }
  const GrammarStack begun{.node = id, .memory = memory, .position = -1, .parent = parent};
  if (visit(intern(begun))) todo_.push_back(begun);
}

void GrammarMatcher::run() {
  while (!todo_.empty()) {
    const GrammarStack next = todo_.back();
    todo_.pop_back();
    const GrammarNode& node = grammar_->node(next.node);
    if (node.kind == GrammarNode::Kind::kSequence) {
      advance(next.node, 0, next.memory, next.parent);
      continue;
    }
    // What could not be completed within the limit of nesting is not begun. Where a node was begun, there is
    // a part of it that can be.
    const int32_t room = grammar_->max_nesting() - depth_below(next.parent);
    for (const GrammarId part : node.parts)
      if (grammar_->node(part).depth <= room) expand(part, next.memory, next.parent);
  }
}

void GrammarMatcher::advance(GrammarId sequence, int64_t part, uint32_t memory, uint32_t parent) {
  const GrammarNode& node = grammar_->node(sequence);
  const auto count = static_cast<int64_t>(node.parts.size());
  if (part == count) {
    pop(parent);
    return;
  }
  const GrammarId child = node.parts[static_cast<size_t>(part)];
  // The last part of a sequence takes its place, so that a list does not make stacks grow with its length.
  if (part + 1 == count && !node.nests) {
    expand(child, memory, parent);
    return;
  }
  const int32_t depth = depth_below(parent) + (node.nests ? 1 : 0);
  const uint32_t rest =
      intern({.node = sequence, .memory = memory, .position = part + 1, .parent = parent, .depth = depth});
  expand(child, 0, rest);
}

void GrammarMatcher::pop(uint32_t parent) {
  if (!visit(parent)) return;
  if (parent == kEnd) {
    collected_.push_back(kEnd);
    return;
  }
  const GrammarStack rest = cells_[parent];
  advance(rest.node, rest.position, rest.memory, rest.parent);
}

/// Goes on after a terminal that has been read.
void GrammarMatcher::complete(const GrammarStack& terminal) {
  if (grammar_->node(terminal.node).kind != GrammarNode::Kind::kKey) {
    pop(terminal.parent);
    return;
  }
  const GrammarStack rest = cells_[terminal.parent];
  for (uint32_t keys = rest.memory; keys != 0; keys = memories_[keys].before)
    if (memories_[keys].value == terminal.memory) return;
  advance(rest.node, rest.position, remember(rest.memory, terminal.memory), rest.parent);
}

GrammarMatcher::State GrammarMatcher::step(State state, uint8_t byte) {
  const uint64_t key = static_cast<uint64_t>(state) << 8 | byte;
  if (const auto found = steps_.find(key); found != steps_.end()) return found->second;
  begin();
  for (size_t i = 0; i < states_[state].size(); ++i) {
    const uint32_t id = states_[state][i];
    if (id == kEnd) continue;
    GrammarStack stack = cells_[id];
    const GrammarNode& node = grammar_->node(stack.node);
    stack.position = grammar_->step(node, stack.position, byte);
    if (stack.position == Grammar::kDead) continue;
    if (node.kind == GrammarNode::Kind::kKey) stack.memory = remember(stack.memory, kByte | byte);
    if (grammar_->extends(node, stack.position)) collect(stack);
    if (grammar_->accepts(node, stack.position)) complete(stack);
  }
  const State next = intern_state();
  steps_.emplace(key, next);
  return next;
}

GrammarMatcher::State GrammarMatcher::step(State state, std::string_view bytes) {
  for (const char byte : bytes) state = step(state, static_cast<uint8_t>(byte));
  return state;
}

GrammarMatcher::State GrammarMatcher::after(uint32_t id, std::string_view rest) {
  begin();
  GrammarStack terminal = cells_[id];
  if (grammar_->node(terminal.node).kind == GrammarNode::Kind::kKey)
    for (const char byte : rest)
      terminal.memory = remember(terminal.memory, kByte | static_cast<uint8_t>(byte));
  complete(terminal);
  return intern_state();
}

GrammarMatcher::State GrammarMatcher::compact(State state) {
  const std::vector<uint32_t> kept = states_[state];
  const std::vector<GrammarStack> cells = std::move(cells_);
  const std::vector<Memory> memories = std::move(memories_);
  cells_ = {GrammarStack{}};
  memories_ = {Memory{}};
  visited_ = {0};
  states_ = {{}};
  cell_ids_.clear();
  memory_ids_.clear();
  state_ids_.clear();
  steps_.clear();

  // Whatever a cell or a list refers to was made before it, and has the lower id.
  std::vector<uint32_t> todo = kept;
  std::vector<bool> cell_used(cells.size());
  std::vector<bool> memory_used(memories.size());
  while (!todo.empty()) {
    const uint32_t id = todo.back();
    todo.pop_back();
    if (cell_used[id] || id == kEnd) continue;
    cell_used[id] = true;
    todo.push_back(cells[id].parent);
    memory_used[cells[id].memory] = true;
  }
  const auto is_text = [&](const Memory& memory) { return (memory.value & kByte) != 0; };
  for (size_t id = memories.size(); id-- > 1;) {
    if (!memory_used[id]) continue;
    memory_used[memories[id].before] = true;
    if (!is_text(memories[id])) memory_used[memories[id].value] = true;
  }
  std::vector<uint32_t> new_memory(memories.size());
  for (size_t id = 1; id < memories.size(); ++id) {
    if (!memory_used[id]) continue;
    const uint32_t value = is_text(memories[id]) ? memories[id].value : new_memory[memories[id].value];
    new_memory[id] = remember(new_memory[memories[id].before], value);
  }
  std::vector<uint32_t> new_cell(cells.size());
  for (size_t id = 1; id < cells.size(); ++id) {
    if (!cell_used[id]) continue;
    GrammarStack stack = cells[id];
    stack.parent = new_cell[stack.parent];
    stack.memory = new_memory[stack.memory];
    new_cell[id] = intern(stack);
  }
  start_ = kNoState;
  begin();
  for (const uint32_t id : kept) collected_.push_back(new_cell[id]);
  return intern_state();
}

bool grammar_accepts(std::shared_ptr<const Grammar> grammar, std::string_view text) {
  GrammarMatcher matcher(std::move(grammar));
  return matcher.may_end(matcher.step(matcher.start(), text));
}

}  // namespace cadre
