#pragma once
/// The file of `cadre imatrix`: what calibration found out about the columns of each input site. Safetensors,
/// so that anyone can look into it:
///
///     metadata  format = cadre.importance.1, model_type, text (fingerprint of the tokens)
///     SITE.mean_squares  F32 [parts, cols]   mean square of each column over the inputs of each part
///     SITE.inputs        I64 [parts]         how many inputs that were

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/result.h"

namespace cadre {

/// See InputSite.
struct SiteImportance {
  std::string name;
  int64_t parts = 0;
  int64_t cols = 0;
  std::vector<float> mean_squares;  ///< [parts, cols], finite and not negative; 0 where a part had no input
  std::vector<int64_t> inputs;      ///< [parts]
};

struct ImportanceData {
  std::string model_type;
  std::string text;                   ///< CalibrationText::identity
  std::vector<SiteImportance> sites;  ///< by name
};

/// Errors: kIo.
Status write_importance(const std::filesystem::path& path, const ImportanceData& data);

/// Parses the bytes of a whole file; `origin` (its path) begins every message. Errors: kInvalid, naming the
/// tensor, what was expected and what was found.
Result<ImportanceData> parse_importance(std::span<const std::byte> file, std::string_view origin);

/// Errors: as MappedFile::open and parse_importance.
Result<ImportanceData> read_importance(const std::filesystem::path& path);

}  // namespace cadre
