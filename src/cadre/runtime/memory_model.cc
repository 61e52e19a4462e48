#include "cadre/runtime/memory_model.h"

#include <algorithm>
#include <vector>

#include "cadre/base/interrupt.h"
#include "cadre/base/system_memory.h"
#include "cadre/base/thread_pool.h"
#include "cadre/base/units.h"
#include "cadre/formats/safetensors_writer.h"
#include "cadre/runtime/random_weights.h"

namespace cadre {
namespace {

constexpr int64_t kPieceBytes = int64_t{1} << 20;
constexpr int64_t kPiecesPerThread = 64;  // between two looks at whether to stop

/// Some units of one tensor, a task.
struct Piece {
  const RandomTensor* tensor = nullptr;
  int64_t first = 0;
  int64_t count = 0;
  std::byte* out = nullptr;
};

void cut_tensor(const RandomTensor& tensor, std::byte* data, std::vector<Piece>& pieces) {
  // Whole fours, as RandomWeights wants them.
  const int64_t most = std::max<int64_t>(kPieceBytes / tensor.unit_bytes / 4, 1) * 4;
  for (int64_t first = 0; first < tensor.units; first += most)
    pieces.push_back(
        {&tensor, first, std::min(most, tensor.units - first), data + first * tensor.unit_bytes});
}

Status check_memory(const std::string& name, int64_t bytes) {
  const int64_t available = available_memory_bytes();
  if (bytes > available)
    return fail(
        ErrorKind::kTooLarge,
        "{}: the weights take {}, this machine has {} available; fewer layers or a smaller type would "
        "fit",
        name, format_bytes(static_cast<double>(bytes)), format_bytes(static_cast<double>(available)));
  return {};
}

Status make_pieces(const RandomWeights& weights, const std::vector<Piece>& pieces, int threads,
                   FunctionRef<void(int64_t done_pieces)> progress) {
  ThreadPool pool(threads);
  const auto total = static_cast<int64_t>(pieces.size());
  const int64_t at_once = kPiecesPerThread * pool.size();
  for (int64_t first = 0; first < total; first += at_once) {
    CADRE_CHECK_OK(check_interrupt());
    const int64_t count = std::min(at_once, total - first);
    pool.run(count, [&](int64_t task, int) {
      const Piece& piece = pieces[static_cast<size_t>(first + task)];
      weights.make(*piece.tensor, piece.first, piece.count, piece.out);
    });
    progress(first + count);
  }
  return {};
}

}  // namespace

Result<Model> make_random_model(Json config, const std::string& name, const RandomModelOptions& options,
                                WriteProgress progress) {
  config = random_model_config(std::move(config), options.type);
  CADRE_TRY(const ModelConfig model, read_model_config(config, name));
  CADRE_TRY(const Family* family, find_family(model.model_type, name));
  const std::vector<RandomTensor> tensors = random_tensors(*family, model, options.type);
  int64_t bytes = 0;
  for (const RandomTensor& tensor : tensors) bytes += align_up(tensor.bytes(), kPageAlignment);
  CADRE_CHECK_OK(check_memory(name, bytes));

  MemoryTensors made;
  CADRE_TRY(made.memory, AnonymousMemory::reserve(bytes));
  std::vector<Piece> pieces;
  int64_t offset = 0;
  for (const RandomTensor& tensor : tensors) {
    std::byte* data = made.memory.data() + offset;
    made.tensors.emplace(tensor.spec.name,
                         StoredTensor{.dtype = tensor.spec.dtype,
                                      .shape = tensor.spec.shape,
                                      .bytes = std::span(data, static_cast<size_t>(tensor.bytes()))});
    cut_tensor(tensor, data, pieces);
    offset += align_up(tensor.bytes(), kPageAlignment);
  }
  CADRE_CHECK_OK(
      make_pieces(RandomWeights(model, options.seed), pieces, options.threads, [&](int64_t done_pieces) {
        const bool all = done_pieces == static_cast<int64_t>(pieces.size());
        progress(all ? bytes : pieces[static_cast<size_t>(done_pieces)].out - made.memory.data(), bytes);
      }));
  CADRE_TRY(Checkpoint checkpoint, Checkpoint::in_memory(name, config, std::move(made)));
  return Model::bind(std::move(checkpoint));
}

}  // namespace cadre
