#pragma once
/// How a text is cut for perplexity.

#include <cstdint>
#include <vector>

namespace cadre {

/// Tokens [begin, end) of the text go through the model together; those from `first_counted` on count.
struct Window {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t first_counted = 0;
};

/// `room` tokens of text fit a window (the context less BOS); windows start every `stride` <= room tokens.
/// Without BOS (`has_bos` false) a window's first token cannot count. Windows that would count nothing are
/// left out.
std::vector<Window> cut_windows(int64_t tokens, int64_t room, int64_t stride, bool has_bos);

}  // namespace cadre
