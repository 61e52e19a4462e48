#include "cadre/text/byte_automaton.h"

#include <algorithm>
#include <string>
#include <unordered_set>

namespace cadre {
namespace {

// Bounds the time of a compilation to about a second, and its memory.
constexpr size_t kMaxWork = 3'000'000;

size_t mix(size_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
  return hash ^ (hash >> 29);
}

}  // namespace

bool ByteAutomaton::matches(std::string_view word) const {
  if (empty()) return false;
  int32_t state = 0;
  for (const char c : word) {
    state = step(state, static_cast<uint8_t>(c));
    if (state == kDead) return false;
  }
  return accepts(state);
}

size_t RegularBuilder::NodeHash::operator()(const Node& node) const {
  size_t hash = mix(static_cast<size_t>(node.kind), static_cast<uint64_t>(node.set));
  hash = mix(mix(hash, static_cast<uint64_t>(node.least)), static_cast<uint64_t>(node.most));
  for (const Id part : node.parts) hash = mix(hash, static_cast<uint64_t>(part));
  return hash;
}

RegularBuilder::RegularBuilder() {
  add({.kind = Kind::kNone});
  add({.kind = Kind::kEmpty, .nullable = true});
  add({.kind = Kind::kNot, .nullable = true, .parts = {none()}});
}

RegularBuilder::Id RegularBuilder::add(Node node) {
  const auto [found, inserted] = ids_.try_emplace(node, static_cast<Id>(nodes_.size()));
  if (inserted) nodes_.push_back(std::move(node));
  return found->second;
}

RegularBuilder::Id RegularBuilder::bytes(uint8_t first, uint8_t last) {
  std::bitset<256> set;
  for (int byte = first; byte <= last; ++byte) set.set(static_cast<size_t>(byte));
  const auto found = std::find(sets_.begin(), sets_.end(), set);
  const auto index = static_cast<int32_t>(found - sets_.begin());
  if (found == sets_.end()) sets_.push_back(set);
  return add({.kind = Kind::kBytes, .set = index});
}

RegularBuilder::Id RegularBuilder::literal(std::string_view text) {
  Id id = empty();
  for (size_t i = text.size(); i > 0; --i) {
    const auto byte = static_cast<uint8_t>(text[i - 1]);
    id = sequence(bytes(byte, byte), id);
  }
  return id;
}

RegularBuilder::Id RegularBuilder::sequence(Id left, Id right) {
  if (left == none() || right == none()) return none();
  if (left == empty()) return right;
  if (right == empty()) return left;
  // Sequences lean to the right, so that equal ones are one.
  std::vector<Id> heads;
  for (; nodes_[static_cast<size_t>(left)].kind == Kind::kSequence;
       left = nodes_[static_cast<size_t>(left)].parts[1])
    heads.push_back(nodes_[static_cast<size_t>(left)].parts[0]);
  heads.push_back(left);
  for (; !heads.empty(); heads.pop_back()) {
    const Id head = heads.back();
    const bool nullable =
        nodes_[static_cast<size_t>(head)].nullable && nodes_[static_cast<size_t>(right)].nullable;
    right = add({.kind = Kind::kSequence, .nullable = nullable, .parts = {head, right}});
  }
  return right;
}

RegularBuilder::Id RegularBuilder::sequence(const std::vector<Id>& parts) {
  Id id = empty();
  for (size_t i = parts.size(); i > 0; --i) id = sequence(parts[i - 1], id);
  return id;
}

RegularBuilder::Id RegularBuilder::either(const std::vector<Id>& parts) {
  std::vector<Id> flat;
  for (const Id part : parts) {
    const Node& node = nodes_[static_cast<size_t>(part)];
    if (node.kind == Kind::kEither)
      flat.insert(flat.end(), node.parts.begin(), node.parts.end());
    else if (part == any())
      return any();
    else if (part != none())
      flat.push_back(part);
  }
  std::sort(flat.begin(), flat.end());
  flat.erase(std::unique(flat.begin(), flat.end()), flat.end());
  if (flat.empty()) return none();
  if (flat.size() == 1) return flat[0];
  const bool nullable = std::any_of(flat.begin(), flat.end(),
                                    [&](Id part) { return nodes_[static_cast<size_t>(part)].nullable; });
  return add({.kind = Kind::kEither, .nullable = nullable, .parts = std::move(flat)});
}

RegularBuilder::Id RegularBuilder::both(Id left, Id right) {
  if (left == none() || right == none()) return none();
  if (left == any() || left == right) return right;
  if (right == any()) return left;
  const bool nullable =
      nodes_[static_cast<size_t>(left)].nullable && nodes_[static_cast<size_t>(right)].nullable;
  return add(
      {.kind = Kind::kBoth, .nullable = nullable, .parts = {std::min(left, right), std::max(left, right)}});
}

RegularBuilder::Id RegularBuilder::complement(Id part) {
  const Node& node = nodes_[static_cast<size_t>(part)];
  if (node.kind == Kind::kNot) return node.parts[0];
  return add({.kind = Kind::kNot, .nullable = !node.nullable, .parts = {part}});
}

RegularBuilder::Id RegularBuilder::repeat(Id part, int64_t least, int64_t most) {
  if (most == 0 || part == empty()) return empty();
  const Node& node = nodes_[static_cast<size_t>(part)];
  if (part == none()) return least == 0 ? empty() : none();
  if (node.nullable) least = 0;
  if (least == 1 && most == 1) return part;
  return add({.kind = Kind::kRepeat, .nullable = least == 0, .parts = {part}, .least = least, .most = most});
}

RegularBuilder::Id RegularBuilder::remainder(int64_t divisor, int64_t rest) {
  return add({.kind = Kind::kRemainder, .nullable = rest == 0, .least = divisor, .most = rest});
}

RegularBuilder::Id RegularBuilder::derivative(Id id, uint8_t byte) {
  const uint64_t key = static_cast<uint64_t>(id) << 8 | byte;
  if (const auto found = derivatives_.find(key); found != derivatives_.end()) return found->second;
  const Node node = nodes_[static_cast<size_t>(id)];  // a copy: nodes_ grows below
  work_ += 1 + node.parts.size();
  Id result = none();
  switch (node.kind) {
    case Kind::kNone:
    case Kind::kEmpty:
      break;
    case Kind::kBytes:
      if (sets_[static_cast<size_t>(node.set)].test(byte)) result = empty();
      break;
    case Kind::kSequence: {
      result = sequence(derivative(node.parts[0], byte), node.parts[1]);
      if (nodes_[static_cast<size_t>(node.parts[0])].nullable)
        result = either({result, derivative(node.parts[1], byte)});
      break;
    }
    case Kind::kEither: {
      std::vector<Id> parts;
      parts.reserve(node.parts.size());
      for (const Id part : node.parts) parts.push_back(derivative(part, byte));
      result = either(parts);
      break;
    }
    case Kind::kBoth:
      result = both(derivative(node.parts[0], byte), derivative(node.parts[1], byte));
      break;
    case Kind::kNot:
      result = complement(derivative(node.parts[0], byte));
      break;
    case Kind::kRepeat: {
      const int64_t most = node.most == kUnbounded ? kUnbounded : node.most - 1;
      const Id rest = repeat(node.parts[0], std::max<int64_t>(node.least - 1, 0), most);
      result = sequence(derivative(node.parts[0], byte), rest);
      break;
    }
    case Kind::kRemainder:
      if (byte >= '0' && byte <= '9')
        result = remainder(node.least, (node.most * 10 + (byte - '0')) % node.least);
      break;
  }
  derivatives_.emplace(key, result);
  return result;
}

std::vector<uint8_t> RegularBuilder::classify(Id id, std::array<uint8_t, 256>& class_of) const {
  std::unordered_set<Id> seen;
  std::vector<bool> used(sets_.size());
  bool digits = false;
  std::vector<Id> todo{id};
  while (!todo.empty()) {
    const Id next = todo.back();
    todo.pop_back();
    if (!seen.insert(next).second) continue;
    const Node& node = nodes_[static_cast<size_t>(next)];
    if (node.kind == Kind::kBytes) used[static_cast<size_t>(node.set)] = true;
    digits = digits || node.kind == Kind::kRemainder;
    todo.insert(todo.end(), node.parts.begin(), node.parts.end());
  }
  std::unordered_map<std::string, uint8_t> classes;
  std::vector<uint8_t> representatives;
  for (size_t byte = 0; byte < 256; ++byte) {
    std::string membership;
    for (size_t set = 0; set < sets_.size(); ++set)
      if (used[set]) membership += sets_[set].test(byte) ? '1' : '0';
    if (digits && byte >= '0' && byte <= '9') membership += static_cast<char>(byte);
    const auto [found, inserted] =
        classes.try_emplace(membership, static_cast<uint8_t>(representatives.size()));
    if (inserted) representatives.push_back(static_cast<uint8_t>(byte));
    class_of[byte] = found->second;
  }
  return representatives;
}

Result<ByteAutomaton> RegularBuilder::compile(Id id, size_t max_states) {
  ByteAutomaton automaton;
  const std::vector<uint8_t> representatives = classify(id, automaton.class_of_);
  const size_t classes = representatives.size();
  std::unordered_map<Id, int32_t> states{{id, 0}};
  std::vector<Id> expressions{id};
  std::vector<int32_t> next;
  for (size_t state = 0; state < expressions.size(); ++state) {
    for (const uint8_t byte : representatives) {
      const Id target = derivative(expressions[state], byte);
      if (target == none()) {
        next.push_back(ByteAutomaton::kDead);
        continue;
      }
      const auto [found, inserted] = states.try_emplace(target, static_cast<int32_t>(expressions.size()));
      if (inserted) expressions.push_back(target);
      next.push_back(found->second);
    }
    if (expressions.size() > max_states)
      return fail(ErrorKind::kTooLarge, "needs an automaton of more than {} states", max_states);
    work_ += representatives.size();
    if (work_ > kMaxWork) return fail(ErrorKind::kTooLarge, "needs an automaton that takes too long to make");
  }

  // Backwards from the ends of words: what they cannot be reached from is dropped.
  std::vector<std::vector<int32_t>> sources(expressions.size());
  std::vector<bool> live(expressions.size());
  std::vector<size_t> todo;
  for (size_t state = 0; state < expressions.size(); ++state) {
    for (size_t c = 0; c < classes; ++c) {
      const int32_t target = next[state * classes + c];
      if (target != ByteAutomaton::kDead)
        sources[static_cast<size_t>(target)].push_back(static_cast<int32_t>(state));
    }
    if (nodes_[static_cast<size_t>(expressions[state])].nullable) {
      live[state] = true;
      todo.push_back(state);
    }
  }
  while (!todo.empty()) {
    const size_t state = todo.back();
    todo.pop_back();
    for (const int32_t source : sources[state]) {
      if (live[static_cast<size_t>(source)]) continue;
      live[static_cast<size_t>(source)] = true;
      todo.push_back(static_cast<size_t>(source));
    }
  }
  automaton.classes_ = classes;
  if (!live[0]) return automaton;
  std::vector<int32_t> renumbered(expressions.size(), ByteAutomaton::kDead);
  int32_t count = 0;
  for (size_t state = 0; state < expressions.size(); ++state)
    if (live[state]) renumbered[state] = count++;
  for (size_t state = 0; state < expressions.size(); ++state) {
    if (!live[state]) continue;
    uint8_t flags = nodes_[static_cast<size_t>(expressions[state])].nullable ? ByteAutomaton::kAccepts : 0;
    for (size_t c = 0; c < classes; ++c) {
      const int32_t old = next[state * classes + c];
      const int32_t target = old == ByteAutomaton::kDead ? old : renumbered[static_cast<size_t>(old)];
      if (target != ByteAutomaton::kDead) flags |= ByteAutomaton::kExtends;
      automaton.next_.push_back(target);
    }
    automaton.flags_.push_back(flags);
  }
  return automaton;
}

}  // namespace cadre
