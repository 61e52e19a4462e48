#include "cadre/runtime/snapshot_file.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "cadre/base/hash.h"
#include "cadre/runtime/kv_cache.h"

namespace cadre {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kMagic = "cadreKV1";
constexpr int64_t kMaxTokens = int64_t{1} << 28;  ///< more than any context
constexpr int64_t kMaxExperts = 65536;

struct Fields {
  char magic[8];
  uint64_t fingerprint;
  int64_t experts;
  int64_t tokens;
  int64_t page_bytes;
  uint64_t checksum;
};
static_assert(sizeof(Fields) == 48);
constexpr size_t kCheckedFields = 40;  ///< bytes before the checksum

uint64_t checksum(const Fields& fields, std::span<const std::byte> tokens, std::span<const std::byte> page) {
  const uint64_t hash = hash_bytes(std::as_bytes(std::span(&fields, 1)).first(kCheckedFields));
  return hash_bytes(page, hash_bytes(tokens, hash));
}

}  // namespace

std::vector<std::byte> snapshot_header(const Snapshot& snapshot) {
  const auto tokens = std::as_bytes(std::span(snapshot.tokens));
  Fields fields{.magic = {},
                .fingerprint = snapshot.fingerprint,
                .experts = snapshot.experts,
                .tokens = std::ssize(snapshot.tokens),
                .page_bytes = std::ssize(snapshot.page),
                .checksum = 0};
  std::copy(kMagic.begin(), kMagic.end(), fields.magic);
  fields.checksum = checksum(fields, tokens, snapshot.page);
  std::vector<std::byte> header(sizeof(fields) + tokens.size());
  std::memcpy(header.data(), &fields, sizeof(fields));
  std::memcpy(header.data() + sizeof(fields), tokens.data(), tokens.size());
  return header;
}

Result<Snapshot> parse_snapshot(std::span<const std::byte> file, std::string_view origin) {
  if (file.size() < sizeof(Fields))
    return invalid("{}: a header of {} bytes expected, the file has {}", origin, sizeof(Fields), file.size());
  Fields fields;
  std::memcpy(&fields, file.data(), sizeof(fields));
  if (std::string_view(fields.magic, kMagic.size()) != kMagic)
    return invalid("{}: a snapshot of the KV cache ('{}') expected, its first bytes are others", origin,
                   kMagic);
  if (fields.experts < 0 || fields.experts > kMaxExperts)
    return invalid("{}: field 'experts': from 0 to {} expected, {} found", origin, kMaxExperts,
                   fields.experts);
  if (fields.tokens < kPageTokens || fields.tokens > kMaxTokens || fields.tokens % kPageTokens != 0)
    return invalid("{}: field 'tokens': a multiple of {} up to {} expected, {} found", origin, kPageTokens,
                   kMaxTokens, fields.tokens);
  const auto rest = static_cast<int64_t>(file.size() - sizeof(fields));
  const int64_t token_bytes = fields.tokens * static_cast<int64_t>(sizeof(int32_t));
  if (fields.page_bytes < 0 || rest < token_bytes || rest - token_bytes != fields.page_bytes)
    return invalid("{}: {} tokens and a page of {} bytes expected after the header, {} bytes found", origin,
                   fields.tokens, fields.page_bytes, rest);
  const auto tokens = file.subspan(sizeof(fields), static_cast<size_t>(token_bytes));
  const auto page = file.subspan(sizeof(fields) + tokens.size());
  if (const uint64_t found = checksum(fields, tokens, page); found != fields.checksum)
    return invalid("{}: checksum {:016x} expected, {:016x} found: the file is damaged", origin,
                   fields.checksum, found);
  Snapshot snapshot{.fingerprint = fields.fingerprint, .experts = fields.experts, .tokens = {}, .page = page};
  snapshot.tokens.resize(static_cast<size_t>(fields.tokens));
  std::memcpy(snapshot.tokens.data(), tokens.data(), tokens.size());
  return snapshot;
}

}  // namespace cadre
