#include "cadre/server/answer.h"

#include <gtest/gtest.h>

namespace cadre::server {
namespace {

TEST(AnswerPiece, TakesInWhatFollowsInOrder) {
  AnswerPiece piece{.reasoning = "Hm", .content = "a"};
  AnswerPiece text{.content = "b", .tokens = {{.token = {.id = 7}}}};
  AnswerPiece call{.tool_calls = {{.index = 0, .id = "call_1", .name = "f", .arguments = "{"}}};
  AnswerPiece more{.tool_calls = {{.index = 0, .arguments = "}"}, {.index = 1, .id = "call_2", .name = "g"}}};
  EXPECT_TRUE(piece.append(text));
  EXPECT_TRUE(piece.append(call));
  EXPECT_TRUE(piece.append(more));
  EXPECT_EQ(piece.reasoning, "Hm");
  EXPECT_EQ(piece.content, "ab");
  ASSERT_EQ(piece.tokens.size(), 1u);
  EXPECT_EQ(piece.tokens[0].token.id, 7);
  ASSERT_EQ(piece.tool_calls.size(), 2u);
  EXPECT_EQ(piece.tool_calls[0].arguments, "{}");
  EXPECT_EQ(piece.tool_calls[0].id, "call_1");
  EXPECT_EQ(piece.tool_calls[1].name, "g");

  AnswerPiece later{.content = "c"};
  EXPECT_FALSE(piece.append(later));  // text does not go before a call
  EXPECT_EQ(later.content, "c");
  AnswerPiece spoken{.content = "said"};
  AnswerPiece thought{.reasoning = "then thought"};
  EXPECT_FALSE(spoken.append(thought));
}

}  // namespace
}  // namespace cadre::server
