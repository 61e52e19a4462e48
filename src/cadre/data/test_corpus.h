#pragma once
/// Shared by the tests of this folder: scratch files, small corpora, a tokenizer for them.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/data/documents.h"
#include "cadre/data/tokenizer_trainer.h"

namespace cadre::testing {

/// A folder of this test process, removed at its end.
class Scratch {
 public:
  Scratch() {
    std::string pattern = (std::filesystem::temp_directory_path() / "cadre-data-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  /// Writes a file and returns its path.
  std::filesystem::path file(const std::string& name, std::string_view contents) const {
    std::ofstream(path_ / name, std::ios::binary) << contents;
    return path_ / name;
  }
  /// Names of what is in the folder, sorted.
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  std::filesystem::path path_;
};

inline std::string slurp(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

inline constexpr auto kNoProgress = [](int64_t, int64_t) {};
inline constexpr auto kNoMergeProgress = [](int64_t, int64_t) -> Status { return {}; };

/// `count` plain documents, each of its own length and text.
inline std::string numbered_stories(int count) {
  constexpr const char* kThings[] = {
      "birds",     "houses",    "rivers",  "little trees", "friendly children", "songs", "yellow flowers",
      "old books", "mountains", "windows", "kites"};
  std::string text;
  for (int i = 0; i < count; ++i) {
    text += fmt::format("{{\"text\": \"Story {} begins.", i);
    for (int j = 0; j < i % 17; ++j)
      text += fmt::format(" The cat saw {} {} and the dog {} {}.", j, kThings[(i + j) % 11], i + j,
                          kThings[(i * 3 + j * 5) % 11]);
    text += "\"}\n";
  }
  return text;
}

/// A tokenizer of the bytes and some merges, in `scratch`/tok.
inline std::filesystem::path small_tokenizer(const Scratch& scratch, int64_t size = 300) {
  const std::vector files = {scratch.file("tok.jsonl", numbered_stories(40))};
  const auto report = train_tokenizer(files, scratch / "tok", {.size = size},
                                      {.reading = kNoProgress, .merging = kNoMergeProgress});
  EXPECT_TRUE(report) << report.error().message;
  return scratch / "tok";
}

}  // namespace cadre::testing
