#include "cadre/cli/token_files.h"

#include "cadre/base/json.h"

namespace cadre::cli {
namespace {

Result<std::vector<int32_t>> read_sequence(const Json& list, const std::string& where, int64_t vocab_size) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < list.size(); ++i) {
    const Json& item = list[i];
    const bool valid = item.is_number_integer() &&
                       (!item.is_number_unsigned() || item.get<uint64_t>() < INT32_MAX) &&
                       item.get<int64_t>() >= 0 && item.get<int64_t>() < vocab_size;
    if (!valid)
      return invalid("{}[{}]: expected a token id from 0 to {}, found {}", where, i, vocab_size - 1,
                     describe_json(item));
    ids.push_back(item.get<int32_t>());
  }
  if (ids.empty()) return invalid("{}: expected at least one token id, found an empty array", where);
  return ids;
}

}  // namespace

Result<Sequences> read_sequences(const std::string& path, int64_t vocab_size) {
  CADRE_TRY(const Json document, read_json_file(path));
  if (!document.is_array()) return invalid("{}: expected an array, found {}", path, describe_json(document));
  Sequences sequences;
  const bool nested = !document.empty() && document[0].is_array();
  if (!nested) {
    CADRE_TRY(sequences.emplace_back(), read_sequence(document, path, vocab_size));
    return sequences;
  }
  for (size_t i = 0; i < document.size(); ++i) {
    const std::string where = fmt::format("{}[{}]", path, i);
    if (!document[i].is_array())
      return invalid("{}: expected an array of token ids, found {}", where, describe_json(document[i]));
    CADRE_TRY(sequences.emplace_back(), read_sequence(document[i], where, vocab_size));
  }
  return sequences;
}

}  // namespace cadre::cli
