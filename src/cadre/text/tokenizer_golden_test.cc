// Against ids made with other engines: Hugging Face's JavaScript tokenizers (golden-*.jsonl) and llama.cpp
// (ggml-vocab-*.gguf.out).
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "cadre/base/file.h"
#include "cadre/text/stream_decoder.h"
#include "cadre/text/tokenizer_testing.h"
#include "cadre/text/utf8.h"

namespace cadre {
namespace {

using Ids = std::vector<int32_t>;

std::filesystem::path data_folder() { return shared_folder() / "data" / "tokenizer"; }

Tokenizer load(const std::string& name) {
  const std::string path = data_folder() / name / "tokenizer.json";
  return Tokenizer::from_json(read_text_file(path).value(), path).value();
}

std::vector<std::string> split(std::string_view text, std::string_view separator) {
  std::vector<std::string> parts;
  for (size_t end; (end = text.find(separator)) != text.npos; text.remove_prefix(end + separator.size())) {
    parts.emplace_back(text.substr(0, end));
  }
  parts.emplace_back(text);
  return parts;
}

std::string test_name(const testing::TestParamInfo<const char*>& parameter) {
  std::string name = parameter.param;
  std::erase(name, '-');
  return name;
}

std::string streamed(const Tokenizer& tokenizer, const Ids& ids) {
  StreamDecoder decoder(tokenizer);
  std::string text;
  for (const int32_t id : ids) text += decoder.push(id).value();
  return text + decoder.finish();
}

class GoldenJson : public testing::TestWithParam<const char*> {};

TEST_P(GoldenJson, EveryLine) {
  const std::filesystem::path lines = data_folder() / fmt::format("golden-{}.jsonl", GetParam());
  CADRE_REQUIRE_SHARED(lines);
  const Tokenizer tokenizer = load(GetParam());
  int count = 0;
  for (const std::string& line : split(read_text_file(lines).value(), "\n")) {
    if (line.empty()) continue;
    const Json golden = parse_json(line, lines.string()).value();
    const auto text = golden["text"].get<std::string>();
    const Ids ids = tokenizer.encode(text).value();
    EXPECT_EQ(ids, golden["ids"].get<Ids>()) << golden["cat"] << ": " << text;
    EXPECT_EQ(tokenizer.decode(ids), text);
    EXPECT_EQ(streamed(tokenizer, ids), text);
    ++count;
  }
  EXPECT_EQ(count, 336);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenJson, testing::Values("deepseek-v3", "deepseek-v4", "gpt2"), test_name);

TEST(GoldenV4, CheckEncodingsOfTheSpecification) {
  CADRE_REQUIRE_SHARED(data_folder());
  Tokenizer tokenizer = load("deepseek-v4");
  const Json config = read_json_file(data_folder() / "deepseek-v4" / "tokenizer_config.json").value();
  ASSERT_TRUE(tokenizer.apply_config(JsonFields(config, "tokenizer_config.json")).has_value());
  EXPECT_EQ(tokenizer.bos(), 0);
  EXPECT_EQ(tokenizer.eos(), 1);
  EXPECT_FALSE(tokenizer.adds_bos());
  EXPECT_EQ(tokenizer.vocab_size(), 129280);
  EXPECT_EQ(tokenizer.encode("Hello! 毕老师！1 + 1 = 2 ĠÑĤÐ²ÑĬÑĢ"),
            (Ids{19923, 3,   223,   5464, 5008, 1175,  19,   940,   223, 19,  438,   223, 20,
                 6113,  257, 76589, 131,  100,  76032, 1628, 76589, 131, 108, 76589, 131, 98}));
  EXPECT_EQ(tokenizer.encode("<｜User｜>你好<｜Assistant｜><think>推理</think>答案<｜end▁of▁sentence｜>"),
            (Ids{128803, 30594, 128804, 128821, 36101, 128822, 7624, 1}));
  EXPECT_EQ(tokenizer.find("｜DSML｜"), 128825);
  EXPECT_TRUE(tokenizer.is_special(1));
}

/// The few kinds of GGUF metadata that a vocabulary needs; the engine's own reader is in formats/.
class GgufMetadata {
 public:
  explicit GgufMetadata(std::string bytes) : bytes_(std::move(bytes)) {
    at_ = 16;  // magic, version, number of tensors
    for (uint64_t left = number<uint64_t>(); left > 0; --left) {
      const std::string key(string());
      value(key, number<uint32_t>());
    }
  }

  std::map<std::string, std::vector<std::string_view>> strings;
  std::map<std::string, std::vector<int32_t>> integers;

 private:
  template <typename T>
  T number() {
    T result;
    std::memcpy(&result, bytes_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return result;
  }
  std::string_view string() {
    const auto length = number<uint64_t>();
    at_ += length;
    return std::string_view(bytes_).substr(at_ - length, length);
  }
  void value(const std::string& key, uint32_t type) {
    constexpr size_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type == 8) {
      strings[key].push_back(string());
    } else if (type == 9) {
      const auto element = number<uint32_t>();
      for (uint64_t left = number<uint64_t>(); left > 0; --left) value(key, element);
    } else if (type == 4 || type == 5) {
      integers[key].push_back(number<int32_t>());
    } else {
      at_ += kSizes[type];
    }
  }

  std::string bytes_;
  size_t at_ = 0;
};

class GoldenGguf : public testing::TestWithParam<const char*> {};

TEST_P(GoldenGguf, EveryCase) {
  const std::string path = data_folder() / "llama.cpp-vocab" / fmt::format("ggml-vocab-{}.gguf", GetParam());
  CADRE_REQUIRE_SHARED(path);
  GgufMetadata gguf(read_text_file(path).value());
  TokenizerParts parts;
  parts.tokens = gguf.strings["tokenizer.ggml.tokens"];
  parts.merges = gguf.strings["tokenizer.ggml.merges"];
  parts.token_types = gguf.integers["tokenizer.ggml.token_type"];
  parts.pre_tokenizer = gguf.strings["tokenizer.ggml.pre"].at(0);
  parts.bos = gguf.integers["tokenizer.ggml.bos_token_id"].at(0);
  const auto tokenizer = Tokenizer::from_parts(parts, path);
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;

  const std::vector<std::string> texts =
      split(read_text_file(path + ".inp").value(), "\n__ggml_vocab_test__\n");
  const std::vector<std::string> lines = split(read_text_file(path + ".out").value(), "\n");
  ASSERT_GT(texts.size(), 40u);
  ASSERT_GE(lines.size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    Ids expected;
    for (const std::string& word : split(lines[i], " ")) {
      if (!word.empty()) expected.push_back(std::stoi(word));
    }
    EXPECT_EQ(tokenizer->encode(texts[i]), expected) << "case " << i << ": " << texts[i];
    EXPECT_EQ(tokenizer->decode(expected), texts[i]);
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenGguf, testing::Values("gpt-2", "deepseek-coder"), test_name);

}  // namespace
}  // namespace cadre
