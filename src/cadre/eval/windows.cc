#include "cadre/eval/windows.h"

#include <algorithm>

namespace cadre {

std::vector<Window> cut_windows(int64_t tokens, int64_t room, int64_t stride, bool has_bos) {
  std::vector<Window> windows;
  int64_t counted = 0;  // tokens before this one have counted, or cannot
  for (int64_t begin = 0; begin < tokens && counted < tokens; begin += stride) {
    const int64_t end = std::min(begin + room, tokens);
    const int64_t first = std::max(counted, begin + (has_bos ? 0 : 1));
    if (first < end) windows.push_back({begin, end, first});
    counted = std::max(counted, end);
  }
  return windows;
}

}  // namespace cadre
