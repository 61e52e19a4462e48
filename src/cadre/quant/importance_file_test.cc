#include "cadre/quant/importance_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "cadre/base/file.h"
#include "cadre/base/fixtures.h"
#include "cadre/formats/safetensors_writer.h"

namespace cadre {
namespace {

namespace fs = std::filesystem;

class ImportanceFile : public ::testing::Test {
 protected:
  fixtures::ScratchFolder folder_;
  const fs::path path_ = folder_ / "importances";
};

ImportanceData small_data() {
  return {.model_type = "cadre",
          .text = "a text",
          .sites = {{.name = "head", .parts = 1, .cols = 3, .mean_squares = {1, 2.5f, 0}, .inputs = {9}},
                    {.name = "layers.0.experts.in",
                     .parts = 2,
                     .cols = 2,
                     .mean_squares = {3, 4, 0, 0},
                     .inputs = {7, 0}}}};
}

TEST_F(ImportanceFile, ComesBackAsItWas) {
  const ImportanceData data = small_data();
  ASSERT_TRUE(write_importance(path_, data));
  const auto read = read_importance(path_);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->model_type, data.model_type);
  EXPECT_EQ(read->text, data.text);
  ASSERT_EQ(read->sites.size(), 2U);
  for (size_t s = 0; s < 2; ++s) {
    EXPECT_EQ(read->sites[s].name, data.sites[s].name);
    EXPECT_EQ(read->sites[s].parts, data.sites[s].parts);
    EXPECT_EQ(read->sites[s].cols, data.sites[s].cols);
    EXPECT_EQ(read->sites[s].mean_squares, data.sites[s].mean_squares);
    EXPECT_EQ(read->sites[s].inputs, data.sites[s].inputs);
  }
}

TEST_F(ImportanceFile, ValuesThatCannotBeAreNamed) {
  for (const float value : {std::nanf(""), std::numeric_limits<float>::infinity(), -1.0f}) {
    ImportanceData data = small_data();
    data.sites[1].mean_squares[3] = value;
    ASSERT_TRUE(write_importance(path_, data));
    const auto read = read_importance(path_);
    ASSERT_FALSE(read);
    for (const char* part : {"layers.0.experts.in.mean_squares", "[1, 1]", path_.c_str()})
      EXPECT_NE(read.error().message.find(part), std::string::npos) << read.error().message;
  }
  ImportanceData data = small_data();
  data.sites[0].inputs[0] = -3;
  ASSERT_TRUE(write_importance(path_, data));
  const auto read = read_importance(path_);
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().message.find("'head.inputs'"), std::string::npos) << read.error().message;
}

struct Malformed {
  const char* expected;  ///< in the message
  std::vector<NamedTensor> tensors;
  const char* format = "cadre.importance.1";
};

TEST_F(ImportanceFile, MalformedFilesAreRefusedByName) {
  const std::vector<float> floats(4, 1.0f);
  const std::vector<int64_t> counts(2, 5);
  const auto mean = [&](const char* name, DType type, Shape shape) {
    const auto bytes = std::as_bytes(std::span(floats)).first(static_cast<size_t>(element_count(shape)) * 4);
    return NamedTensor{name, {.dtype = type, .shape = std::move(shape), .bytes = bytes}};
  };
  const auto inputs = [&](const char* name, int64_t parts) {
    return NamedTensor{name,
                       {.dtype = DType::kI64,
                        .shape = {parts},
                        .bytes = std::as_bytes(std::span(counts)).first(static_cast<size_t>(parts) * 8)}};
  };
  const Malformed cases[] = {
      {"format 'other'", {}, "other"},
      {"'a.inputs' expected, none found", {mean("a.mean_squares", DType::kF32, {2, 2})}},
      {"as many tensors", {inputs("a.inputs", 2)}},
      {"F32 [parts, columns] expected", {mean("a.mean_squares", DType::kF32, {4}), inputs("a.inputs", 2)}},
      {"F32 [parts, columns] expected", {mean("a.mean_squares", DType::kI32, {2, 2}), inputs("a.inputs", 2)}},
      {"F32 [parts, columns] expected", {mean("a.mean_squares", DType::kF32, {2, 0}), inputs("a.inputs", 2)}},
      {"I64 [2] expected", {mean("a.mean_squares", DType::kF32, {2, 2}), inputs("a.inputs", 1)}},
      {"'a.other' found", {mean("a.other", DType::kF32, {2, 2})}},
  };
  for (const Malformed& malformed : cases) {
    ASSERT_TRUE(write_safetensors(path_, malformed.tensors, {.metadata = {{"format", malformed.format}}}));
    const auto read = read_importance(path_);
    ASSERT_FALSE(read) << malformed.expected;
    EXPECT_NE(read.error().message.find(malformed.expected), std::string::npos) << read.error().message;
  }
}

TEST_F(ImportanceFile, WhatIsNoSafetensorsFileIsAnError) {
  fixtures::write_file(path_, "perplexity 12.3\n");
  EXPECT_FALSE(read_importance(path_));
  fs::remove(path_);
  EXPECT_FALSE(read_importance(path_));
}

}  // namespace
}  // namespace cadre
