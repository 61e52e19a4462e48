#include "cadre/runtime/random_model.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "cadre/base/file.h"
#include "cadre/base/interrupt.h"
#include "cadre/base/random.h"
#include "cadre/base/thread_pool.h"
#include "cadre/base/units.h"
#include "cadre/formats/safetensors_writer.h"
#include "cadre/model/families/registry.h"
#include "cadre/runtime/byte_tokenizer.h"
#include "cadre/tensor/convert.h"

namespace cadre {
namespace {

constexpr double kWeightDeviation = 0.02;  // as published models are initialised
constexpr int64_t kAlignment = 4096;       // a page, and what direct I/O needs
/// One block is written while the next is made, so two are in memory.
constexpr int64_t kBlockBytes = int64_t{16} << 20;
constexpr int64_t kPieceBytes = int64_t{1} << 20;
constexpr int64_t kSmallFilesBytes = int64_t{1} << 20;  // room for the tokenizer and configurations

/// The quantiles of the standard normal distribution at the middles of 65,536 equal parts: 16 random bits
/// index a normal value. Newton's method on the upper tail, which is convex, so it converges from the left.
std::vector<double> normal_quantiles() {
  constexpr size_t kCount = size_t{1} << 16;
  std::vector<double> quantiles(kCount);
  double x = 0;
  for (size_t i = kCount / 2; i < kCount; ++i) {
    // From the middle outwards, each starts where its neighbour ended; the upper tail keeps its precision.
    const double upper = (static_cast<double>(kCount - i) - 0.5) / static_cast<double>(kCount);
    for (double step = 1; step > 1e-14;) {
      const double error = 0.5 * std::erfc(x / std::numbers::sqrt2) - upper;
      step = error * std::sqrt(2 * std::numbers::pi) * std::exp(0.5 * x * x);
      x += step;
    }
    quantiles[i] = x;
    quantiles[kCount - 1 - i] = -x;
  }
  return quantiles;
}

/// What a tensor is filled with.
enum class Fill : uint8_t { kWeights, kEmbedding, kOnes, kZeros };

struct PlannedTensor {
  TensorSpec spec;
  Fill fill = Fill::kWeights;
  int64_t elements = 0;
};

/// Normal values of one standard deviation, in each storage type.
struct NormalTable {
  std::vector<uint16_t> bf16;
  std::vector<float> f32;

  NormalTable(const std::vector<double>& quantiles, double deviation) {
    for (const double quantile : quantiles) {
      f32.push_back(static_cast<float>(quantile * deviation));
      bf16.push_back(f32_to_bf16(f32.back()));
    }
  }
};

/// FNV-1a: the same name gives the same stream in every model.
uint64_t hash_name(std::string_view name) {
  uint64_t hash = 0xCBF29CE484222325ull;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3ull;
  return hash;
}

/// Elements [first, first + count) of a stream of normal values, four to a draw; `first` is a multiple of 4.
template <typename Element>
void fill_normal(const RandomStream& stream, const std::vector<Element>& table, int64_t first, int64_t count,
                 Element* out) {
  auto counter = static_cast<uint64_t>(first / 4);
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const uint64_t bits = stream.bits(counter++);
    out[i] = table[bits & 0xFFFF];
    out[i + 1] = table[(bits >> 16) & 0xFFFF];
    out[i + 2] = table[(bits >> 32) & 0xFFFF];
    out[i + 3] = table[bits >> 48];
  }
  if (i == count) return;
  for (uint64_t bits = stream.bits(counter); i < count; ++i, bits >>= 16) out[i] = table[bits & 0xFFFF];
}

/// Makes the bytes of any part of any tensor. Immutable, so threads share it.
class Generator {
 public:
  Generator(const ModelConfig& config, uint64_t seed) : Generator(normal_quantiles(), config, seed) {}

  void make(const PlannedTensor& tensor, int64_t first, int64_t count, std::byte* out) const {
    if (tensor.spec.dtype == DType::kBF16) {
      make_elements(tensor, first, count, reinterpret_cast<uint16_t*>(out), f32_to_bf16(1.0f),
                    &NormalTable::bf16);
    } else {
      make_elements(tensor, first, count, reinterpret_cast<float*>(out), 1.0f, &NormalTable::f32);
    }
  }

 private:
  Generator(const std::vector<double>& quantiles, const ModelConfig& config, uint64_t seed)
      : seed_(seed),
        weights_(quantiles, kWeightDeviation),
        embedding_(quantiles, embedding_deviation(config)) {}

  /// See write_random_model.
  static double embedding_deviation(const ModelConfig& config) {
    return config.tie_word_embeddings ? 1 / std::sqrt(static_cast<double>(config.hidden_size)) : 1.0;
  }

  template <typename Element>
  void make_elements(const PlannedTensor& tensor, int64_t first, int64_t count, Element* out, Element one,
                     std::vector<Element> NormalTable::*column) const {
    if (tensor.fill == Fill::kOnes || tensor.fill == Fill::kZeros) {
      std::fill_n(out, count, tensor.fill == Fill::kOnes ? one : Element{0});
      return;
    }
    const NormalTable& table = tensor.fill == Fill::kEmbedding ? embedding_ : weights_;
    fill_normal(RandomStream(seed_, hash_name(tensor.spec.name)), table.*column, first, count, out);
  }

  uint64_t seed_;
  NormalTable weights_;
  NormalTable embedding_;
};

std::vector<PlannedTensor> plan_tensors(const Family& family, const ModelConfig& config, DType type) {
  std::vector<PlannedTensor> tensors;
  Transformer layout = Transformer::layout(config);
  family.visit_weights(layout, [&](const WeightSlot& slot) {
    PlannedTensor tensor{.spec = {slot.name, type, slot.shape}, .elements = element_count(slot.shape)};
    if (slot.role == WeightRole::kEmbedding) tensor.fill = Fill::kEmbedding;
    if (slot.role == WeightRole::kNorm) tensor.fill = Fill::kOnes;
    if (slot.role == WeightRole::kRouter && slot.vector != nullptr) {  // the selection bias, f32 as published
      tensor.fill = Fill::kZeros;
      tensor.spec.dtype = DType::kF32;
    }
    tensors.push_back(std::move(tensor));
  });
  return tensors;
}

/// A run of one tensor's elements in a block.
struct Piece {
  size_t tensor = 0;
  int64_t first = 0;
  int64_t count = 0;
  int64_t offset = 0;  ///< bytes into the block
  int64_t bytes = 0;
};

struct Block {
  std::vector<Piece> pieces;
  std::vector<std::byte> data = std::vector<std::byte>(kBlockBytes);
};

/// Cuts the tensors, in order, into pieces, and the pieces into blocks.
class BlockCutter {
 public:
  explicit BlockCutter(const std::vector<PlannedTensor>& tensors) : tensors_(tensors) {}

  /// Lays out the next block; no pieces at the end.
  void cut(Block& block) {
    block.pieces.clear();
    for (int64_t used = 0; tensor_ < tensors_.size();) {
      const PlannedTensor& tensor = tensors_[tensor_];
      const int64_t element_bytes = info(tensor.spec.dtype).block_bytes;
      const int64_t count = std::min(kPieceBytes / element_bytes, tensor.elements - first_);
      const int64_t bytes = count * element_bytes;
      if (used + bytes > kBlockBytes) return;
      block.pieces.push_back({tensor_, first_, count, used, bytes});
      used += align_up(bytes, 64);
      first_ += count;
      if (first_ < tensor.elements) continue;
      first_ = 0;
      ++tensor_;
    }
  }

 private:
  const std::vector<PlannedTensor>& tensors_;
  size_t tensor_ = 0;
  int64_t first_ = 0;
};

Status write_block(SafetensorsWriter& writer, const std::vector<PlannedTensor>& tensors, const Block& block) {
  for (const Piece& piece : block.pieces)
    CADRE_CHECK_OK(writer.write(
        tensors[piece.tensor].spec.name,
        std::span(block.data).subspan(static_cast<size_t>(piece.offset), static_cast<size_t>(piece.bytes))));
  return {};
}

int64_t block_bytes(const Block& block) {
  int64_t bytes = 0;
  for (const Piece& piece : block.pieces) bytes += piece.bytes;
  return bytes;
}

/// Writes all tensors: while one thread writes a block, the others (and then it too) make the next.
Status write_tensors(SafetensorsWriter& writer, const std::vector<PlannedTensor>& tensors,
                     const Generator& generator, int threads, int64_t total_bytes, WriteProgress progress) {
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
      const Piece& piece = made.pieces[static_cast<size_t>(task - 1)];
      generator.make(tensors[piece.tensor], piece.first, piece.count, made.data.data() + piece.offset);
    });
    CADRE_CHECK_OK(std::move(status));
    done += block_bytes(written);
    progress(done, total_bytes);
    std::swap(written, made);
  } while (!written.pieces.empty());
  return check_interrupt();
}

/// The configuration of the model that is written: unquantised, in the type of its weights.
Json written_config(Json config, DType type) {
  const char* type_name = type == DType::kBF16 ? "bfloat16" : "float32";
  config.erase("quantization_config");
  config["torch_dtype"] = type_name;
  if (config.contains("dtype")) config["dtype"] = type_name;
  return config;
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
  CADRE_CHECK(options.type == DType::kBF16 || options.type == DType::kF32, "{}", name(options.type));
  config = written_config(std::move(config), options.type);
  CADRE_TRY(const ModelConfig model, read_model_config(config, "config.json"));
  CADRE_TRY(const Family* family, find_family(model.model_type, "config.json"));

  const std::vector<PlannedTensor> tensors = plan_tensors(*family, model, options.type);
  RandomModelReport report{.tensors = static_cast<int64_t>(tensors.size())};
  std::vector<TensorSpec> specs;
  for (const PlannedTensor& tensor : tensors) {
    specs.push_back(tensor.spec);
    report.parameters += tensor.elements;
    report.bytes += tensor.elements * info(tensor.spec.dtype).block_bytes;
  }
  CADRE_CHECK_OK(check_disk(out, report.bytes));
  CADRE_TRY(AtomicFolder folder, AtomicFolder::create(out));
  CADRE_TRY(SafetensorsWriter writer,
            SafetensorsWriter::create(
                folder.temporary() / "model.safetensors", specs,
                {.metadata = {{"format", "pt"}}, .alignment = kAlignment, .tensor_alignment = kAlignment}));
  const Generator generator(model, options.seed);
  CADRE_CHECK_OK(write_tensors(writer, tensors, generator, options.threads, report.bytes, progress));
  CADRE_CHECK_OK(writer.finish());
  // Last: an interrupted run then has one file to remove.
  CADRE_TRY(report.has_tokenizer, write_small_files(folder.temporary(), config, model));
  CADRE_CHECK_OK(check_interrupt());
  CADRE_CHECK_OK(folder.commit());
  return report;
}

}  // namespace cadre
