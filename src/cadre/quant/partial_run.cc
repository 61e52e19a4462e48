#include "cadre/quant/partial_run.h"

#include <algorithm>

#include "cadre/base/file.h"

namespace cadre {
namespace {

namespace fs = std::filesystem;

constexpr const char* kManifest = "cadre-quantize.json";
constexpr const char* kProgress = "cadre-progress.json";

/// Absolute, without a slash at the end.
fs::path final_path(const fs::path& out) {
  fs::path path = fs::absolute(out).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

fs::path beside(const fs::path& path, const char* suffix) { return path.string() + suffix; }

tl::unexpected<Error> io_error(const fs::path& path, const char* action, const std::error_code& error) {
  return fail(ErrorKind::kIo, "{}: cannot {}: {}", path.string(), action, error.message());
}

Status remove_folder(const fs::path& folder) {
  std::error_code error;
  fs::remove_all(folder, error);
  if (error) return io_error(folder, "remove", error);
  return {};
}

Status move_folder(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) return io_error(from, "rename", error);
  return {};
}

Result<int64_t> read_progress(const fs::path& path) {
  if (!fs::exists(path)) return 0;
  CADRE_TRY(const Json progress, read_json_file(path.string()));
  return JsonFields(progress, path.string()).integer("tensors", 0, int64_t{1} << 40);
}

}  // namespace

Result<PartialRun> PartialRun::open(const fs::path& out, const Json& manifest, bool restart) {
  const fs::path target = final_path(out);
  PartialRun run(target, beside(target, ".partial"));
  const fs::path manifest_path = run.folder_ / kManifest;
  if (restart) CADRE_CHECK_OK(remove_folder(run.folder_));
  if (fs::exists(run.folder_)) {
    if (!fs::exists(manifest_path))
      return invalid("{}: a folder of an interrupted run expected, something else found; it is in the way",
                     run.folder_.string());
    CADRE_TRY(const Json found, read_json_file(manifest_path.string()));
    if (found != manifest)
      return invalid(
          "{}: an interrupted run with other options or of another source is there: repeat its command to "
          "finish it, or give --restart to discard it",
          run.folder_.string());
    CADRE_TRY(run.finished_, read_progress(run.folder_ / kProgress));
    return run;
  }
  std::error_code error;
  fs::create_directory(run.folder_, error);
  if (error) return io_error(run.folder_, "create", error);
  CADRE_CHECK_OK(write_text_file(manifest_path, dump_json(manifest, 2) + "\n"));
  return run;
}

int64_t PartialRun::bytes() const {
  int64_t bytes = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_, error))
    if (entry.is_regular_file(error)) bytes += static_cast<int64_t>(entry.file_size(error));
  return bytes;
}

Status PartialRun::record(int64_t finished) {
  CADRE_CHECK_OK(write_text_file(folder_ / kProgress, dump_json(Json{{"tensors", finished}}) + "\n"));
  finished_ = finished;
  return {};
}

void PartialRun::discard() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

Status PartialRun::commit() {
  const fs::path replaced = beside(out_, ".replaced");
  const bool exists = fs::exists(out_);
  if (exists) {
    CADRE_CHECK_OK(remove_folder(replaced));
    CADRE_CHECK_OK(move_folder(out_, replaced));
  }
  if (Status status = move_folder(folder_, out_); !status) {
    if (exists) CADRE_CHECK_OK(move_folder(replaced, out_));
    return status;
  }
  std::error_code ignored;
  fs::remove(out_ / kManifest, ignored);
  fs::remove(out_ / kProgress, ignored);
  return exists ? remove_folder(replaced) : Status();
}

Status check_output(const fs::path& in, const fs::path& out, bool force) {
  const fs::path target = final_path(out);
  std::error_code ignored;
  // Replacing a folder would remove a source inside it, and writing into the source would change it.
  const fs::path source = fs::weakly_canonical(in, ignored);
  const fs::path canonical = fs::weakly_canonical(target, ignored);
  const auto [end, unused] = std::mismatch(canonical.begin(), canonical.end(), source.begin(), source.end());
  if (end == canonical.end())
    return fail(ErrorKind::kUsage, "{}: a folder other than the source, and not around it, expected",
                out.string());
  if (!fs::exists(fs::symlink_status(target, ignored))) return {};
  if (!fs::is_directory(target, ignored))
    return fail(ErrorKind::kUsage, "{}: a folder to make expected, a file found", out.string());
  if (fs::is_empty(target, ignored)) return {};
  if (!force)
    return fail(ErrorKind::kUsage, "{}: it exists; --force replaces it when the new one is complete",
                out.string());
  if (!fs::exists(target / "config.json"))
    return fail(ErrorKind::kUsage, "{}: --force replaces a model, and there is no config.json in it",
                out.string());
  return {};
}

}  // namespace cadre
