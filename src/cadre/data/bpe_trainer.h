#pragma once
/// Learning the merges of byte-pair encoding (Sennrich, Haddow, Birch 2016) from words and how often each
/// occurs.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cadre/base/function_ref.h"
#include "cadre/base/result.h"
#include "cadre/text/bpe.h"

namespace cadre {

/// A piece of text within which merges may happen.
struct WordCount {
  std::string word;
  int64_t count = 0;
};

struct BpeTrainerOptions {
  int64_t tokens = 0;     ///< stop at so many, the 256 bytes included
  int64_t min_count = 2;  ///< a pair that occurs less often is not merged
};

/// Called now and then with the tokens there are and those wanted; its error ends the learning.
using MergeProgress = FunctionRef<Status(int64_t done, int64_t total)>;

/// Starts from the 256 bytes (token b is byte b) and merges the most frequent pair of neighbours, again and
/// again; among equally frequent ones that of the lower left, then lower right token. New tokens are numbered
/// from 256; a merge whose text is a token already results in that token. Applying the merges to one of
/// `words` as Bpe::encode does gives the segmentation that learning ended with. The result depends on the
/// counts alone, not on the order of `words`. Ends early when no pair is frequent enough.
/// Time: each merge costs the length of the words it occurs in.
/// Errors: the progress's.
Result<std::vector<BpeMerge>> learn_merges(std::span<const WordCount> words, const BpeTrainerOptions& options,
                                           MergeProgress progress);

}  // namespace cadre
