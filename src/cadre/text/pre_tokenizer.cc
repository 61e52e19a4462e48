#include "cadre/text/pre_tokenizer.h"

#include <algorithm>

#include "cadre/text/pre_tokenizer_unicode.h"
#include "cadre/text/utf8.h"

namespace cadre {
namespace {

/// A piece on its way through the stages: what the patterns see, and what it stands for. They differ only in
/// characters replaced by stand-ins, so any position is the same in both.
struct Text {
  std::string_view seen;
  std::string_view meant;

  Text sub(size_t begin, size_t end) const {
    return {.seen = seen.substr(begin, end - begin), .meant = meant.substr(begin, end - begin)};
  }
};

struct Range {
  size_t begin = 0;
  size_t end = 0;
  bool match = false;
};

/// Calls `visit` for the matches of `pattern` and the stretches between them; none is empty. An empty match
/// still ends the stretch before it.
template <typename Visit>
void for_each_range(const Regex& pattern, std::string_view text, RegexWorkspace& workspace,
                    const Visit& visit) {
  size_t done = 0;
  size_t from = 0;
  while (from < text.size()) {
    const std::optional<Regex::Match> found = pattern.find(text, from, workspace);
    if (!found) break;
    if (found->begin > done) visit(Range{.begin = done, .end = found->begin, .match = false});
    done = found->end;
    from = found->end;
    if (found->end > found->begin) {
      visit(Range{.begin = found->begin, .end = found->end, .match = true});
    } else if (from < text.size()) {
      from += decode_utf8(text, from).length;
    }
  }
  if (done < text.size()) visit(Range{.begin = done, .end = text.size(), .match = false});
}

void merge_contiguous(std::vector<Range>& ranges) {
  std::vector<Range> merged;
  for (const Range& range : ranges) {
    if (!merged.empty() && merged.back().match == range.match) {
      merged.back().end = range.end;
    } else {
      merged.push_back(range);
    }
  }
  ranges = std::move(merged);
}

/// Joins a match to the range before it, unless that is a match too.
void merge_with_previous(std::vector<Range>& ranges) {
  std::vector<Range> merged;
  bool after_match = false;
  for (const Range& range : ranges) {
    if (range.match && !after_match && !merged.empty()) {
      merged.back().end = range.end;
    } else {
      merged.push_back(range);
    }
    after_match = range.match;
  }
  ranges = std::move(merged);
}

void merge_with_next(std::vector<Range>& ranges) {
  std::vector<Range> merged;  // from the last to the first
  bool before_match = false;
  std::for_each(ranges.rbegin(), ranges.rend(), [&](const Range& range) {
    if (range.match && !before_match && !merged.empty()) {
      merged.back().begin = range.begin;
    } else {
      merged.push_back(range);
    }
    before_match = range.match;
  });
  std::reverse(merged.begin(), merged.end());
  ranges = std::move(merged);
}

std::vector<Range> behave(std::vector<Range> ranges, SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::kIsolated:
      break;
    case SplitBehavior::kRemoved:
      std::erase_if(ranges, [](const Range& r) { return r.match; });
      break;
    case SplitBehavior::kMergedWithPrevious:
      merge_with_previous(ranges);
      break;
    case SplitBehavior::kMergedWithNext:
      merge_with_next(ranges);
      break;
    case SplitBehavior::kContiguous:
      merge_contiguous(ranges);
      break;
  }
  return ranges;
}

/// Sends one text through the stages, depth first, so that pieces come out in order.
class Run {
 public:
  Run(std::span<const PreTokenizerStage> stages, RegexWorkspace& workspace, PieceSink& sink)
      : stages_(stages), workspace_(workspace), sink_(sink) {}

  void stage(size_t index, const Text& text) {
    if (index == stages_.size()) {
      sink_.piece(text.meant);
      return;
    }
    if (stages_[index].add_prefix_space && text.meant[0] != ' ') {
      const std::string seen = std::string(1, ' ').append(text.seen);
      const std::string meant = std::string(1, ' ').append(text.meant);
      cut(index, {.seen = seen, .meant = meant});
    } else {
      cut(index, text);
    }
  }

 private:
  void cut(size_t index, const Text& text) {
    const PreTokenizerStage& s = stages_[index];
    if (!s.pattern) {
      stage(index + 1, text);
    } else if (s.behavior == SplitBehavior::kIsolated) {
      for_each_range(*s.pattern, text.seen, workspace_,
                     [&](const Range& r) { stage(index + 1, text.sub(r.begin, r.end)); });
    } else {
      std::vector<Range> ranges;
      for_each_range(*s.pattern, text.seen, workspace_, [&](Range r) {
        r.match = r.match != s.invert;
        ranges.push_back(r);
      });
      for (const Range& r : behave(std::move(ranges), s.behavior)) stage(index + 1, text.sub(r.begin, r.end));
    }
  }

  std::span<const PreTokenizerStage> stages_;
  RegexWorkspace& workspace_;
  PieceSink& sink_;
};

}  // namespace

PreTokenizer::PreTokenizer(std::vector<PreTokenizerStage> stages) : stages_(std::move(stages)) {}

void PreTokenizer::split(std::string_view text, PreTokenizerWorkspace& workspace, PieceSink& sink) const {
  if (text.empty()) return;
  const bool replaced = replace_by_stand_ins(text, workspace.stand_ins);
  const std::string_view seen = replaced ? std::string_view(workspace.stand_ins) : text;
  Run(stages_, workspace.regex, sink).stage(0, {.seen = seen, .meant = text});
}

}  // namespace cadre
