#include "cadre/runtime/kv_cache.h"

#include <cstring>

namespace cadre {

KvStream kv_stream(const CacheStream& declared, DType type) {
  return {.dtype = type,
          .width = declared.width,
          .page_tokens = kPageTokens,
          .parts = declared.parts,
          .plain = declared.plain};
}

Result<KvCache> KvCache::create(const Transformer& model, DType type, int64_t tokens) {
  const int64_t pages = (tokens + kPageTokens - 1) / kPageTokens;
  const int64_t layers = model.config.num_hidden_layers;
  int64_t bytes = 0;
  int64_t streams = 0;
  for (int64_t layer = 0; layer < layers; ++layer) {
    for (const CacheStream& stream : model.cache_streams(layer)) {
      bytes += pages * page_bytes(kv_stream(stream, type));
      ++streams;
    }
  }
  const int64_t alignment_slack = streams * 64;
  auto memory = Arena::reserve(bytes + alignment_slack);
  if (!memory)
    return fail(ErrorKind::kTooLarge,
                "cannot reserve {} bytes for the KV cache of {} tokens; --ctx makes it smaller", bytes,
                tokens);

  KvCache cache(std::move(memory).value());
  cache.pages_ = pages;
  for (int64_t layer = 0; layer < layers; ++layer) {
    std::vector<KvStream>& layer_streams = cache.streams_.emplace_back();
    for (const CacheStream& stream : model.cache_streams(layer)) {
      KvStream& view = layer_streams.emplace_back(kv_stream(stream, type));
      view.data = cache.memory_.allocate<std::byte>(pages * page_bytes(view));
    }
  }
  for (const auto& layer_streams : cache.streams_) cache.layers_.emplace_back(layer_streams);
  for (int64_t page = pages - 1; page >= 0; --page) cache.free_.push_back(static_cast<int32_t>(page));
  return cache;
}

int32_t KvCache::take_page() {
  if (free_.empty()) return -1;
  const int32_t page = free_.back();
  free_.pop_back();
  return page;
}

void KvCache::give_page(int32_t page) { free_.push_back(page); }

void KvCache::copy_page(int32_t from, int32_t to) {
  for (const auto& layer_streams : streams_) {
    for (const KvStream& stream : layer_streams) {
      const int64_t bytes = page_bytes(stream);
      std::memcpy(stream.data + to * bytes, stream.data + from * bytes, static_cast<size_t>(bytes));
    }
  }
}

}  // namespace cadre
