#pragma once
/// The folder that a quantised model grows in, beside its final name, until all of it is there. An
/// interrupted run leaves it, and the same command goes on in it.

#include <cstdint>
#include <filesystem>

#include "cadre/base/json.h"
#include "cadre/base/result.h"

namespace cadre {

/// Thread-compatible.
class PartialRun {
 public:
  /// Opens or makes the folder for `out`: its path and ".partial". `manifest` says what is made of what: a
  /// folder with another one is an error, unless `restart` discards it.
  /// Errors: kInvalid, kIo.
  static Result<PartialRun> open(const std::filesystem::path& out, const Json& manifest, bool restart);

  const std::filesystem::path& folder() const { return folder_; }
  /// Tensors that are in the folder's files, in the order of the plan.
  int64_t finished() const { return finished_; }
  /// Bytes of the folder's files.
  int64_t bytes() const;

  /// To be called when the first `finished` tensors are safely on the disk. Errors: kIo.
  Status record(int64_t finished);
  /// Removes the folder: nothing worth going on with is in it.
  void discard();
  /// Gives the folder its final name. What is there already is replaced. Errors: kIo.
  Status commit();

 private:
  PartialRun(std::filesystem::path out, std::filesystem::path folder)
      : out_(std::move(out)), folder_(std::move(folder)) {}

  std::filesystem::path out_;
  std::filesystem::path folder_;
  int64_t finished_ = 0;
};

/// Whether a model directory may be made at `out` from `in`. With `force`, what has a config.json may be
/// replaced. Errors: kUsage, naming the flag.
Status check_output(const std::filesystem::path& in, const std::filesystem::path& out, bool force);

}  // namespace cadre
