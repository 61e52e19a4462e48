#include "cadre/runtime/generator.h"

#include <gtest/gtest.h>

namespace cadre {
namespace {

std::string push_all(StopStrings& stops, std::string_view text, size_t piece) {
  std::string shown;
  for (size_t i = 0; i < text.size(); i += piece) shown += stops.push(text.substr(i, piece));
  return shown + stops.finish();
}

TEST(StopStrings, TextBeforeTheStopIsShownWhateverThePieces) {
  for (size_t piece = 1; piece <= 12; ++piece) {
    StopStrings stops({"</end>", "STOP"});
    EXPECT_EQ(push_all(stops, "one </en two</end> three", piece), "one </en two") << piece;
    EXPECT_TRUE(stops.found());
  }
}

TEST(StopStrings, TheEarliestStopWins) {
  StopStrings stops({"bb", "ab"});
  EXPECT_EQ(push_all(stops, "xaabb", 5), "xa");
}

TEST(StopStrings, HeldBackTextComesAtTheEnd) {
  StopStrings stops({"\n\n"});
  EXPECT_EQ(stops.push("line\n"), "line");
  EXPECT_EQ(stops.finish(), "\n");
  EXPECT_FALSE(stops.found());
}

TEST(StopStrings, WithoutStopsEverythingPassesAtOnce) {
  StopStrings stops({});
  EXPECT_EQ(stops.push("abc"), "abc");
}

}  // namespace
}  // namespace cadre
