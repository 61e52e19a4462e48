#pragma once
/// A Hugging Face directory to one GGUF file, and back. Weights stream tensor by tensor; nothing is
/// quantised: a type that GGUF lacks becomes the nearest that holds its values, and what cannot be said is
/// refused by name. docs/formats.md has the table of types and fields.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cadre/base/result.h"
#include "cadre/convert/planned_tensor.h"

namespace cadre {

struct ConvertOptions {
  /// Of the matrices, where their values allow it; nothing: each keeps its own, or its counterpart.
  std::optional<DType> type;
  /// Replace what is at the output: a file, or a folder with a config.json.
  bool force = false;
  int threads = 0;  ///< 0: one per core
  /// GGUF's name for the pre-tokenizer; empty: the one whose patterns tokenizer.json has.
  std::string pre_tokenizer;
};

struct ConvertReport {
  int64_t tensors = 0;
  int64_t bytes = 0;               ///< of the tensors
  std::vector<std::string> notes;  ///< what is not as it was, a sentence each
};

/// Writes `out`, one GGUF file, from the directory `in`. It appears only when it is complete.
/// Errors: kInvalid naming the field or tensor that GGUF cannot hold, or that --type would change; kUsage for
/// an output that exists; kTooLarge when the disk has too little room; kIo; kInterrupt.
Result<ConvertReport> convert_to_gguf(const std::filesystem::path& in, const std::filesystem::path& out,
                                      const ConvertOptions& options, ConvertProgress progress);

/// Writes the directory `out` from the GGUF file `in`. As convert_to_gguf.
Result<ConvertReport> convert_to_directory(const std::filesystem::path& in, const std::filesystem::path& out,
                                           const ConvertOptions& options, ConvertProgress progress);

/// The GGUF key with the tensors that were stored narrower than the F32 that GGUF's readers expect of them:
/// strings "NAME=BF16", so that the way back restores them.
inline constexpr std::string_view kNarrowTensorsKey = "cadre.narrow_tensors";

namespace convert {

/// Notes that hold for many tensors, counted.
class Notes {
 public:
  void add(std::string note) { single_.push_back(std::move(note)); }
  /// "12 tensors of q6: WHAT"
  void count(DType from, std::string_view what);
  std::vector<std::string> list() const;

 private:
  std::vector<std::pair<std::string, int64_t>> counted_;
  std::vector<std::string> single_;
};

/// The type that a matrix of `from` gets: the one asked for, else `own`. `rounded` types are bf16 unless
/// another is asked for, and are noted. Errors: kInvalid when the change would lose precision.
Result<DType> choose_type(DType from, DType own, bool rounded, const ConvertOptions& options,
                          const std::string& where, Notes& notes);

/// A vector seen as a matrix of one row.
Weight as_row(const std::vector<float>& values);

}  // namespace convert
}  // namespace cadre
