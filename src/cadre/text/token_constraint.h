#pragma once
/// What the next token of an answer may be. Constrained decoding (a JSON schema, a tool call) implements it;
/// the scheduler asks before it samples. It knows tokens and bytes, no model.

#include <cstdint>
#include <span>

namespace cadre {

/// State of one answer; not shared between threads.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;

  /// Sets bit t % 64 of word t / 64 for each id t that may come next and clears all others. `mask` has a bit
  /// for every id of the vocabulary. At least one is set unless complete().
  virtual void allow(std::span<uint64_t> mask) const = 0;

  /// Takes a token that allow() permitted.
  virtual void accept(int32_t token) = 0;

  /// Whether the answer may end here: an end-of-sequence token is allowed only then.
  virtual bool may_end() const = 0;
  /// Whether it must: nothing more is allowed.
  virtual bool complete() const = 0;
};

}  // namespace cadre
