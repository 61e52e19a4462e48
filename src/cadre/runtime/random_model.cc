#include "cadre/runtime/random_model.h"

#include <algorithm>
#include <vector>

#include "cadre/base/file.h"
#include "cadre/base/interrupt.h"
#include "cadre/base/thread_pool.h"
#include "cadre/base/units.h"
#include "cadre/formats/safetensors_writer.h"
#include "cadre/model/families/registry.h"
#include "cadre/runtime/byte_tokenizer.h"
#include "cadre/runtime/random_weights.h"

namespace cadre {
namespace {

/// One block is written while the next is made, so two are in memory.
constexpr int64_t kBlockBytes = int64_t{16} << 20;
constexpr int64_t kSmallFilesBytes = int64_t{1} << 20;  // room for the tokenizer and configurations

struct Block {
  static constexpr int64_t kPieceBytes = int64_t{1} << 20;
  /// A run of one tensor's units.
  struct Piece {
    size_t tensor = 0;
    int64_t first = 0;
    int64_t count = 0;
    int64_t offset = 0;  ///< bytes into the block
    int64_t bytes = 0;
  };

  std::vector<Piece> pieces;
  std::vector<std::byte> data = std::vector<std::byte>(kBlockBytes);
};

/// Cuts the tensors, in order, into pieces, and the pieces into blocks.
class BlockCutter {
 public:
  explicit BlockCutter(const std::vector<RandomTensor>& tensors) : tensors_(tensors) {}

  /// Lays out the next block; no pieces at the end.
  void cut(Block& block) {
    block.pieces.clear();
    for (int64_t used = 0; tensor_ < tensors_.size();) {
      const RandomTensor& tensor = tensors_[tensor_];
      // Whole fours, as RandomWeights wants them, even of units larger than a piece.
      const int64_t most = std::max<int64_t>(Block::kPieceBytes / tensor.unit_bytes / 4, 1) * 4;
      const int64_t count = std::min(most, tensor.units - first_);
      const int64_t bytes = count * tensor.unit_bytes;
      if (used + bytes > kBlockBytes) return;
      block.pieces.push_back({tensor_, first_, count, used, bytes});
      used += align_up(bytes, 64);
      first_ += count;
      if (first_ < tensor.units) continue;
      first_ = 0;
      ++tensor_;
    }
  }

 private:
  const std::vector<RandomTensor>& tensors_;
  size_t tensor_ = 0;
  int64_t first_ = 0;
};

Status write_block(SafetensorsWriter& writer, const std::vector<RandomTensor>& tensors, const Block& block) {
  for (const Block::Piece& piece : block.pieces)
    CADRE_CHECK_OK(writer.write(
        tensors[piece.tensor].spec.name,
        std::span(block.data).subspan(static_cast<size_t>(piece.offset), static_cast<size_t>(piece.bytes))));
  return {};
}

int64_t block_bytes(const Block& block) {
  int64_t bytes = 0;
  for (const Block::Piece& piece : block.pieces) bytes += piece.bytes;
  return bytes;
}

/// Writes all tensors: while one thread writes a block, the others (and then it too) make the next.
Status write_tensors(SafetensorsWriter& writer, const std::vector<RandomTensor>& tensors,
                     const RandomWeights& generator, int threads, int64_t total_bytes,
                     WriteProgress progress) {
  ThreadPool pool(threads);
  BlockCutter cutter(tensors);
  Block written;
  Block made;
  int64_t done = 0;
  do {
    CADRE_CHECK_OK(check_interrupt());
    cutter.cut(made);
    Status status;
    // Task 0 starts first: the disk is the slower side.
    pool.run(static_cast<int64_t>(made.pieces.size()) + 1, [&](int64_t task, int) {
      if (task == 0) {
        status = write_block(writer, tensors, written);
        return;
      }
      const Block::Piece& piece = made.pieces[static_cast<size_t>(task - 1)];
      generator.make(tensors[piece.tensor], piece.first, piece.count, made.data.data() + piece.offset);
    });
    CADRE_CHECK_OK(std::move(status));
    done += block_bytes(written);
    progress(done, total_bytes);
    std::swap(written, made);
  } while (!written.pieces.empty());
  return check_interrupt();
}

Json generation_config(const Json& config) {
  Json generation = Json::object();
  for (const char* key : {"bos_token_id", "eos_token_id"})
    if (config.contains(key) && !config[key].is_null()) generation[key] = config[key];
  generation["do_sample"] = true;
  generation["temperature"] = 1.0;
  return generation;
}

/// Everything but the weights. Returns whether there is a tokenizer.
Result<bool> write_small_files(const std::filesystem::path& folder, const Json& config,
                               const ModelConfig& model) {
  CADRE_CHECK_OK(write_text_file(folder / "config.json", dump_json(config, 2) + "\n"));
  CADRE_CHECK_OK(
      write_text_file(folder / "generation_config.json", dump_json(generation_config(config), 2) + "\n"));
  const std::optional<ByteTokenizer> tokenizer = make_byte_tokenizer(model);
  if (!tokenizer) return false;
  CADRE_CHECK_OK(write_text_file(folder / "tokenizer.json", dump_json(tokenizer->tokenizer, 1) + "\n"));
  CADRE_CHECK_OK(write_text_file(folder / "tokenizer_config.json", dump_json(tokenizer->config, 2) + "\n"));
  return true;
}

Status check_disk(const std::filesystem::path& out, int64_t bytes) {
  CADRE_TRY(const uint64_t free, free_disk_bytes(out));
  const auto needed = static_cast<uint64_t>(bytes + kSmallFilesBytes);
  if (free < needed)
    return fail(ErrorKind::kTooLarge, "{}: the model takes {}, the disk has {} free; fewer layers would fit",
                out.string(), format_bytes(static_cast<double>(needed)),
                format_bytes(static_cast<double>(free)));
  return {};
}

}  // namespace

Result<RandomModelReport> write_random_model(Json config, const std::filesystem::path& out,
                                             const RandomModelOptions& options, WriteProgress progress) {
  CADRE_CHECK(options.type == DType::kBF16 || options.type == DType::kF32 || is_packed(options.type), "{}",
              name(options.type));
  config = random_model_config(std::move(config), options.type);
  CADRE_TRY(const ModelConfig model, read_model_config(config, "config.json"));
  CADRE_TRY(const Family* family, find_family(model.model_type, "config.json"));

  const std::vector<RandomTensor> tensors = random_tensors(*family, model, options.type);
  RandomModelReport report{.tensors = static_cast<int64_t>(tensors.size())};
  std::vector<TensorSpec> specs;
  for (const RandomTensor& tensor : tensors) {
    specs.push_back(tensor.spec);
    report.parameters += element_count(tensor.spec.shape);
    report.bytes += tensor.bytes();
  }
  CADRE_CHECK_OK(check_disk(out, report.bytes));
  CADRE_TRY(AtomicFolder folder, AtomicFolder::create(out));
  CADRE_TRY(
      SafetensorsWriter writer,
      SafetensorsWriter::create(
          folder.temporary() / "model.safetensors", specs,
          {.metadata = {{"format", "pt"}}, .alignment = kPageAlignment, .tensor_alignment = kPageAlignment}));
  const RandomWeights generator(model, options.seed);
  CADRE_CHECK_OK(write_tensors(writer, tensors, generator, options.threads, report.bytes, progress));
  CADRE_CHECK_OK(writer.finish());
  // Last: an interrupted run then has one file to remove.
  CADRE_TRY(report.has_tokenizer, write_small_files(folder.temporary(), config, model));
  CADRE_CHECK_OK(check_interrupt());
  CADRE_CHECK_OK(folder.commit());
  return report;
}

}  // namespace cadre
