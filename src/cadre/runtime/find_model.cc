#include "cadre/runtime/find_model.h"

#include <fmt/ranges.h>

#include <cstdlib>
#include <optional>
#include <vector>

#include "cadre/base/file.h"

namespace cadre {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

fs::path home() { return environment("HOME"); }

fs::path models_folder() {
  const std::string folder = environment("CADRE_MODELS");
  return folder.empty() ? home() / ".cache/cadre/models" : fs::path(folder);
}

fs::path hugging_face_cache() {
  if (const std::string cache = environment("HF_HUB_CACHE"); !cache.empty()) return cache;
  if (const std::string hf_home = environment("HF_HOME"); !hf_home.empty()) return fs::path(hf_home) / "hub";
  return home() / ".cache/huggingface/hub";
}

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

/// The snapshot of `org/name` in the hub's cache layout: models--org--name/snapshots/<commit of refs/main>.
std::optional<fs::path> hub_snapshot(const std::string& name) {
  std::string folder = "models--" + name;
  for (size_t at = folder.find('/'); at != std::string::npos; at = folder.find('/', at))
    folder.replace(at, 1, "--");
  const fs::path repository = hugging_face_cache() / folder;
  const auto commit = read_text_file(repository / "refs/main", 4096);
  if (!commit) return std::nullopt;
  std::string hash = *commit;
  while (!hash.empty() && (hash.back() == '\n' || hash.back() == ' ')) hash.pop_back();
  const fs::path snapshot = repository / "snapshots" / hash;
  return is_there(snapshot) ? std::optional(snapshot) : std::nullopt;
}

/// Folders of models that ship with the program: installed (bin/../share/cadre/models), or the `models`
/// folder of the source tree that holds the build folder.
std::vector<fs::path> shipped_folders() {
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  std::vector<fs::path> folders = {program.parent_path() / "share/cadre/models"};
  for (fs::path folder = program; folder.has_relative_path(); folder = folder.parent_path())
    if (is_there(folder / "models" / kBundledModel)) folders.push_back(folder / "models");
  return folders;
}

}  // namespace

Result<fs::path> find_model(const std::string& given) {
  std::string name = given.empty() ? environment("CADRE_MODEL") : given;
  if (name.empty()) name = kBundledModel;
  if (is_there(name)) return fs::path(name);

  std::vector<std::string> tried = {name};
  if (!name.starts_with('/') && !name.starts_with('.')) {
    const bool hub_name = name.find('/') != std::string::npos;
    std::vector<fs::path> folders = {models_folder()};
    if (hub_name) {
      if (const auto snapshot = hub_snapshot(name)) return *snapshot;
      tried.push_back(hugging_face_cache().string());
    } else {
      for (const fs::path& folder : shipped_folders()) folders.push_back(folder);
    }
    for (const fs::path& folder : folders) {
      if (is_there(folder / name)) return folder / name;
      tried.push_back((folder / name).string());
    }
  }
  return fail(ErrorKind::kNotFound, "no model '{}'; looked for {}", name, fmt::join(tried, ", "));
}

}  // namespace cadre
