// The tokenizer's way between GGUF and JSON files. The first byte chooses: a GGUF file, or a tokenizer.json
// that stands alone in a directory. What is converted must be read again.
#include <cstdint>
#include <cstdlib>
#include <filesystem>

#include "cadre/base/file.h"
#include "cadre/base/fixtures.h"
#include "cadre/convert/gguf_tokenizer.h"
#include "cadre/text/tokenizer.h"

namespace {

using namespace cadre;

/// The folder of this process.
const std::filesystem::path& scratch() {
  static const fixtures::ScratchFolder kScratch;
  return kScratch.path();
}

void from_gguf(std::string_view bytes) {
  const auto path = scratch() / "fuzz.gguf";
  if (!write_text_file(path, bytes)) std::abort();
  const auto file = GgufFile::open(path);
  if (!file) return;
  const auto files = convert::tokenizer_files(*file);
  if (!files || files->tokenizer.is_null()) return;
  auto tokenizer = Tokenizer::from_json(dump_json(files->tokenizer), "tokenizer.json");
  if (!tokenizer) std::abort();
  if (!tokenizer->apply_config(JsonFields(files->config, "tokenizer_config.json"))) std::abort();
}

void from_json(std::string_view bytes) {
  const std::filesystem::path& folder = scratch();
  if (!write_text_file(folder / "tokenizer.json", bytes)) std::abort();
  ModelConfig config;
  config.vocab_size = 512;
  GgufMetadata metadata;
  convert::Notes notes;
  if (!convert::add_tokenizer(folder, config, "", metadata, notes)) return;
  const auto path = folder / "made.gguf";
  auto writer = GgufWriter::create(path, metadata, {});
  if (!writer || !writer->finish()) std::abort();
  const auto file = GgufFile::open(path);
  if (!file || !file->has("tokenizer.ggml.tokens")) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 'G') from_gguf(rest);
  if (data[0] == 'J') from_json(rest);
  return 0;
}
