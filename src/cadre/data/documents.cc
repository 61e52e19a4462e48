#include "cadre/data/documents.h"

#include <algorithm>

#include "cadre/base/file.h"
#include "cadre/base/interrupt.h"
#include "cadre/base/json.h"
#include "cadre/text/utf8.h"

namespace cadre {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

/// The first line of `text`, without its end ("\n" or "\r\n"); `text` goes on behind it.
std::string_view take_line(std::string_view& text) {
  const size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == std::string_view::npos; }

/// `text` without blank lines at its ends; the first line keeps its indentation.
std::string_view without_blank_ends(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  const size_t line = text.rfind('\n', first);
  const size_t last = text.find_last_not_of(" \t\r\n");
  const size_t begin = line == std::string_view::npos ? 0 : line + 1;
  return text.substr(begin, last + 1 - begin);
}

Status check_utf8(std::string_view contents, std::string_view origin) {
  const size_t valid = valid_utf8_prefix(contents);
  if (valid == contents.size()) return {};
  const auto line = 1 + std::count(contents.begin(), contents.begin() + static_cast<ptrdiff_t>(valid), '\n');
  return invalid(
      "{}: line {}, byte {} of the file: 0x{:02X} is not valid UTF-8 there; convert the file, or let "
      "--lossy put U+FFFD in its place",
      origin, line, valid, static_cast<uint8_t>(contents[valid]));
}

Result<ChatTurn> read_turn(const Json& item, std::string_view origin, size_t index) {
  const std::string path = fmt::format("messages[{}]", index);
  if (!item.is_object())
    return invalid("{}: field '{}': expected an object, found {}", origin, path, describe_json(item));
  const JsonFields fields(item, std::string(origin), path);
  ChatTurn turn;
  CADRE_TRY(turn.role, fields.string("role"));
  CADRE_TRY(turn.content, fields.string("content"));
  if (turn.role != "system" && turn.role != "user" && turn.role != "assistant")
    return fields.error("role", fmt::format("expected \"system\", \"user\" or \"assistant\", found {}",
                                            describe_json(Json(turn.role))));
  // To leave these out would teach the model an answer that was not given.
  for (const char* member : {"tool_calls", "reasoning_content"})
    if (fields.has(member)) return fields.error(member, "only role and content can be trained on");
  return turn;
}

Result<std::vector<ChatTurn>> read_turns(const JsonFields& fields, const Json& messages) {
  if (!messages.is_array() || messages.empty())
    return fields.error("messages", "expected a list of {role, content}, found " +
                                        (messages.is_array() ? "an empty one" : describe_json(messages)));
  std::vector<ChatTurn> turns;
  for (size_t i = 0; i < messages.size(); ++i) {
    CADRE_TRY(ChatTurn turn, read_turn(messages[i], fields.origin(), i));
    turns.push_back(std::move(turn));
  }
  if (std::none_of(turns.begin(), turns.end(), [](const ChatTurn& turn) { return turn.role == "assistant"; }))
    return fields.error("messages",
                        "expected at least one of role \"assistant\", for there is no other to learn");
  return turns;
}

Status read_jsonl_line(std::string_view line, std::string_view origin, DocumentVisitor visit) {
  CADRE_TRY(const Json record, parse_json(line, origin));
  if (!record.is_object()) return invalid("{}: expected an object, found {}", origin, describe_json(record));
  const JsonFields fields(record, std::string(origin));
  const Json* messages = fields.find("messages");
  if (fields.has("text") == (messages != nullptr))
    return invalid("{}: expected either a field 'text' or a field 'messages', found {}", origin,
                   messages != nullptr ? "both" : "neither");
  Document document{.origin = origin};
  if (messages != nullptr) {
    CADRE_TRY(document.turns, read_turns(fields, *messages));
    return visit(document);
  }
  CADRE_TRY(const std::string text, fields.string("text"));
  if (is_blank(text)) return {};
  document.text = text;
  return visit(document);
}

bool is_jsonl(const std::filesystem::path& path, CorpusFormat format) {
  if (format != CorpusFormat::kAuto) return format == CorpusFormat::kJsonl;
  return path.extension() == ".jsonl" || path.extension() == ".ndjson";
}

Status read_file(const MappedFile& file, const CorpusOptions& options, DocumentVisitor visit) {
  const std::string origin = file.path().string();
  std::string_view contents = text_of(file);
  if (contents.starts_with(kByteOrderMark)) contents.remove_prefix(kByteOrderMark.size());
  if (!options.lossy) CADRE_CHECK_OK(check_utf8(contents, origin));
  if (is_jsonl(file.path(), options.format))
    return read_jsonl_documents(contents, origin, options.lossy, visit);
  std::string mended;
  if (options.lossy && !is_valid_utf8(contents)) contents = mended = replace_invalid_utf8(contents);
  return read_text_documents(contents, origin, options.separator, visit);
}

}  // namespace

std::string_view take_stretch(std::string_view& text) {
  constexpr size_t kStretchBytes = size_t{1} << 20;
  size_t end = text.size();
  if (end > kStretchBytes) {
    const size_t line = text.rfind('\n', kStretchBytes - 1);
    end = line != std::string_view::npos ? line + 1 : valid_utf8_prefix(text.substr(0, kStretchBytes));
  }
  const std::string_view stretch = text.substr(0, end);
  text.remove_prefix(end);
  return stretch;
}

uint64_t fnv1a(std::string_view bytes, uint64_t hash) {
  for (const char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3ull;
  return hash;
}

uint64_t Document::bytes() const {
  uint64_t sum = text.size();
  for (const ChatTurn& turn : turns) sum += turn.content.size();
  return sum;
}

uint64_t Document::fingerprint() const {
  uint64_t hash = fnv1a(text);
  // No text holds a zero byte after a role and before a content, so no two conversations run together alike.
  for (const ChatTurn& turn : turns) {
    hash = fnv1a(turn.role, hash);
    hash = fnv1a(std::string_view("\0", 1), hash);
    hash = fnv1a(turn.content, hash);
    hash = fnv1a(std::string_view("\0", 1), hash);
  }
  return hash;
}

Status read_text_documents(std::string_view contents, std::string_view origin, std::string_view separator,
                           DocumentVisitor visit) {
  const auto give = [&](std::string_view text) -> Status {
    const std::string_view document = without_blank_ends(text);
    if (document.empty()) return {};
    return visit(Document{.origin = origin, .text = document});
  };
  if (separator.empty()) return give(contents);
  const char* begin = contents.data();
  for (std::string_view rest = contents; !rest.empty();) {
    const std::string_view line = take_line(rest);
    if (line != separator) continue;
    CADRE_CHECK_OK(give({begin, static_cast<size_t>(line.data() - begin)}));
    begin = rest.data();
  }
  return give({begin, static_cast<size_t>(contents.data() + contents.size() - begin)});
}

Status read_jsonl_documents(std::string_view contents, std::string_view origin, bool lossy,
                            DocumentVisitor visit) {
  size_t number = 0;
  while (!contents.empty()) {
    std::string_view line = take_line(contents);
    ++number;
    if (is_blank(line)) continue;
    const std::string place = fmt::format("{}:{}", origin, number);
    if (line.size() > kMaxJsonlLineBytes)
      return fail(ErrorKind::kTooLarge,
                  "{}: a line of {} bytes: at most {} expected; JSONL has one object a line", place,
                  line.size(), kMaxJsonlLineBytes);
    std::string mended;
    if (lossy && !is_valid_utf8(line)) line = mended = replace_invalid_utf8(line);
    CADRE_CHECK_OK(read_jsonl_line(line, place, visit));
  }
  return {};
}

Status read_corpus(std::span<const std::filesystem::path> files, const CorpusOptions& options,
                   DocumentVisitor visit, ByteProgress progress) {
  std::vector<MappedFile> mapped;
  int64_t total = 0;
  for (const auto& path : files) {
    CADRE_TRY(MappedFile file, MappedFile::open(path));
    total += static_cast<int64_t>(file.bytes().size());
    mapped.push_back(std::move(file));
  }
  int64_t before = 0;
  for (const MappedFile& file : mapped) {
    const auto size = static_cast<int64_t>(file.bytes().size());
    int64_t text = 0;  // of documents; at most what the file has, since JSON only adds to it
    const auto visit_and_count = [&](const Document& document) -> Status {
      CADRE_CHECK_OK(check_interrupt());
      CADRE_CHECK_OK(visit(document));
      text += static_cast<int64_t>(document.bytes());
      progress(before + std::min(text, size), total);
      return {};
    };
    CADRE_CHECK_OK(read_file(file, options, visit_and_count));
    before += size;
    progress(before, total);
  }
  return {};
}

}  // namespace cadre
