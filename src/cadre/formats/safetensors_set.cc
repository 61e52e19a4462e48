#include <algorithm>
#include <utility>

#include "cadre/formats/json_events.h"
#include "cadre/formats/safetensors.h"

namespace cadre {
namespace {

constexpr const char* kSingleName = "model.safetensors";
constexpr const char* kIndexName = "model.safetensors.index.json";

/// The weight map of an index: pairs of tensor and shard, in the order of the file.
class IndexReader : public JsonEvents {
 public:
  std::vector<std::pair<std::string, std::string>> weights;
  bool found_map = false;

  bool null() override { return other("null"); }
  bool boolean(bool) override { return other("a boolean"); }
  bool number_integer(number_integer_t) override { return other("a number"); }
  bool number_unsigned(number_unsigned_t) override { return other("a number"); }
  bool number_float(number_float_t, const string_t&) override { return other("a number"); }
  bool start_array(std::size_t) override { return other("an array") && enter(); }
  bool end_array() override { return leave(); }

  bool string(string_t& value) override {
    if (!in_map_) return other("a string");
    weights.emplace_back(key_, std::move(value));
    return true;
  }
  bool key(string_t& key) override {
    key_ = std::move(key);
    return true;
  }
  bool start_object(std::size_t) override {
    if (depth_ == 1 && key_ == "weight_map") {
      if (std::exchange(found_map, true)) return stop("field 'weight_map' is given twice");
      in_map_ = true;
      return enter();
    }
    return (depth_ == 0 || other("an object")) && enter();
  }
  bool end_object() override {
    in_map_ = false;
    return leave();
  }

 private:
  bool enter() {
    ++depth_;
    return true;
  }
  bool leave() {
    --depth_;
    return true;
  }
  /// A value that is no string: fine in fields that we do not read.
  bool other(std::string_view found) {
    if (depth_ == 0) return stop(fmt::format("expected an object, found {}", found));
    if (in_map_)
      return stop(
          fmt::format("field 'weight_map': tensor '{}': expected a file name, found {}", shown(key_), found));
    if (depth_ == 1 && key_ == "weight_map")
      return stop(fmt::format("field 'weight_map': expected an object, found {}", found));
    return true;
  }

  int depth_ = 0;
  bool in_map_ = false;
  std::string key_;
};

/// A plain name in the directory of the index: what others wrote must not open files elsewhere.
bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == name.npos;
}

Result<std::vector<SafetensorsFile>> open_shards(const std::filesystem::path& index) {
  CADRE_TRY(const MappedFile file, MappedFile::open(index));
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  const std::string origin = index.string();
  IndexReader reader;
  CADRE_CHECK_OK(reader.read(text, origin));
  if (!reader.found_map) return invalid("{}: field 'weight_map' is missing", origin);

  std::map<std::string, size_t> position;  // shard name -> index into files
  std::vector<SafetensorsFile> files;
  std::sort(reader.weights.begin(), reader.weights.end());
  std::string_view previous;
  for (const auto& [tensor, shard] : reader.weights) {
    if (!position.empty() && tensor == previous)
      return invalid("{}: tensor '{}' is given twice", origin, shown(tensor));
    previous = tensor;
    if (!is_plain_file_name(shard))
      return invalid("{}: tensor '{}': shard '{}' is not a plain file name", origin, shown(tensor),
                     shown(shard));
    auto [at, added] = position.emplace(shard, files.size());
    if (added) {
      auto opened = SafetensorsFile::open(index.parent_path() / shard);
      if (!opened) return fail(opened.error().kind, "{} (named by {})", opened.error().message, kIndexName);
      files.push_back(std::move(*opened));
    }
    if (files[at->second].find(tensor) == nullptr)
      return invalid("{}: tensor '{}' is not in the shard {} that the index names", origin, shown(tensor),
                     shard);
  }
  if (files.empty()) return invalid("{}: field 'weight_map' is empty", origin);
  return files;
}

/// The only *.safetensors file of a directory.
Result<std::filesystem::path> find_only_file(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  std::filesystem::directory_iterator entries(directory, error);
  while (!error && entries != std::filesystem::directory_iterator()) {
    if (entries->path().extension() == ".safetensors") found.push_back(entries->path());
    entries.increment(error);
  }
  if (error) return fail(ErrorKind::kIo, "{}: cannot list: {}", directory.string(), error.message());
  if (found.empty())
    return fail(ErrorKind::kNotFound, "{}: no weights: looked for {}, {} and *.safetensors",
                directory.string(), kSingleName, kIndexName);
  if (found.size() > 1)
    return invalid("{}: {} safetensors files but neither {} nor {} to say which belong to the model",
                   directory.string(), found.size(), kSingleName, kIndexName);
  return found.front();
}

}  // namespace

Result<SafetensorsSet> SafetensorsSet::open(const std::filesystem::path& directory) {
  std::error_code ignored;
  if (!std::filesystem::exists(directory, ignored))
    return fail(ErrorKind::kNotFound, "{}: no such directory", directory.string());
  if (!std::filesystem::is_directory(directory, ignored))
    return invalid("{}: expected a directory", directory.string());
  std::vector<SafetensorsFile> files;
  std::filesystem::path single = directory / kSingleName;
  if (!std::filesystem::exists(single, ignored) && std::filesystem::exists(directory / kIndexName, ignored)) {
    CADRE_TRY(files, open_shards(directory / kIndexName));
  } else {
    if (!std::filesystem::exists(single, ignored)) {
      CADRE_TRY(single, find_only_file(directory));
    }
    CADRE_TRY(SafetensorsFile file, SafetensorsFile::open(single));
    files.push_back(std::move(file));
  }
  SafetensorsSet set(directory, std::move(files));
  CADRE_CHECK_OK(set.collect());
  return set;
}

Status SafetensorsSet::collect() {
  for (size_t i = 0; i < files_.size(); ++i)
    for (const NamedTensor& tensor : files_[i].tensors())
      entries_.push_back({tensor.name, &tensor.tensor, static_cast<int>(i)});
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(entries_.begin(), entries_.end(),
                                        [](const Entry& a, const Entry& b) { return a.name == b.name; });
  if (twice == entries_.end()) return {};
  return invalid("{}: tensor '{}' is also in {}", files_[static_cast<size_t>(twice->file)].path().string(),
                 shown(twice->name),
                 files_[static_cast<size_t>((twice + 1)->file)].path().filename().string());
}

const SafetensorsSet::Entry* SafetensorsSet::find_entry(std::string_view name) const {
  const auto at = std::lower_bound(entries_.begin(), entries_.end(), name,
                                   [](const Entry& entry, std::string_view n) { return entry.name < n; });
  return at == entries_.end() || at->name != name ? nullptr : &*at;
}

const StoredTensor* SafetensorsSet::find(std::string_view name) const {
  const Entry* entry = find_entry(name);
  return entry == nullptr ? nullptr : entry->tensor;
}

Result<const StoredTensor*> SafetensorsSet::find_aligned(std::string_view name) const {
  const Entry* entry = find_entry(name);
  if (entry == nullptr) return nullptr;
  const SafetensorsFile& file = files_[static_cast<size_t>(entry->file)];
  if (file.is_aligned(*entry->tensor)) return entry->tensor;
  return invalid("{}: tensor '{}': 'data_offsets': begin is not a multiple of the {} bytes of {}",
                 file.path().string(), shown(name), info(entry->tensor->dtype).block_bytes,
                 cadre::name(entry->tensor->dtype));
}

std::string SafetensorsSet::file_of(std::string_view name) const {
  const Entry* entry = find_entry(name);
  return entry == nullptr ? directory_.string() : files_[static_cast<size_t>(entry->file)].path().string();
}

int64_t SafetensorsSet::tensor_bytes() const {
  int64_t total = 0;
  for (const SafetensorsFile& file : files_) total += file.tensor_bytes();
  return total;
}

}  // namespace cadre
