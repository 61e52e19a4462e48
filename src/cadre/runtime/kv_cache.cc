#include "cadre/runtime/kv_cache.h"

#include <cstring>

#include "cadre/base/check.h"

namespace cadre {

KvStream kv_stream(const CacheStream& declared, DType type) {
  return {.dtype = type,
          .width = declared.width,
          .page_tokens = kPageTokens,
          .parts = declared.parts,
          .plain = declared.plain};
}

Result<KvCache> KvCache::create(const Transformer& model, DType type, int64_t tokens) {
  const int64_t pages = pages_for(tokens);
  const int64_t layers = model.config.num_hidden_layers;
  int64_t bytes = 0;
  int64_t streams = 0;
  for (int64_t layer = 0; layer < layers; ++layer) {
    for (const CacheStream& stream : model.cache_streams(layer)) {
      bytes += pages * cadre::page_bytes(kv_stream(stream, type));
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
  cache.uses_.resize(static_cast<size_t>(pages));
  cache.page_bytes_ = pages == 0 ? 0 : bytes / pages;
  for (int64_t layer = 0; layer < layers; ++layer) {
    std::vector<KvStream>& layer_streams = cache.streams_.emplace_back();
    for (const CacheStream& stream : model.cache_streams(layer)) {
      KvStream& view = layer_streams.emplace_back(kv_stream(stream, type));
      view.data = cache.memory_.allocate<std::byte>(pages * cadre::page_bytes(view));
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
  uses_[static_cast<size_t>(page)] = {.holders = 1};
  return page;
}

void KvCache::share_page(int32_t page) {
  PageUse& use = uses_[static_cast<size_t>(page)];
  CADRE_CHECK(use.holders > 0, "page {} is free", page);
  if (only_kept(page)) --kept_pages_;
  ++use.holders;
}

void KvCache::give_page(int32_t page) {
  PageUse& use = uses_[static_cast<size_t>(page)];
  CADRE_CHECK(use.holders > (use.kept ? 1 : 0), "page {} has {} holders", page, use.holders);
  --use.holders;
  if (use.holders == 0) free_.push_back(page);
  if (only_kept(page)) ++kept_pages_;
}

void KvCache::keep_page(int32_t page) {
  PageUse& use = uses_[static_cast<size_t>(page)];
  CADRE_CHECK(use.holders > 0 && !use.kept, "page {} has {} holders", page, use.holders);
  ++use.holders;
  use.kept = true;
}

void KvCache::unkeep_page(int32_t page) {
  PageUse& use = uses_[static_cast<size_t>(page)];
  CADRE_CHECK(use.kept, "page {}", page);
  if (only_kept(page)) --kept_pages_;
  use.kept = false;
  give_page(page);
}

void KvCache::read_page(int32_t page, std::span<std::byte> bytes) const {
  CADRE_CHECK(static_cast<int64_t>(bytes.size()) == page_bytes_, "{} of {}", bytes.size(), page_bytes_);
  std::byte* to = bytes.data();
  for (const auto& layer_streams : streams_) {
    for (const KvStream& stream : layer_streams) {
      const int64_t size = cadre::page_bytes(stream);
      std::memcpy(to, stream.data + page * size, static_cast<size_t>(size));
      to += size;
    }
  }
}

void KvCache::write_page(int32_t page, std::span<const std::byte> bytes) {
  CADRE_CHECK(static_cast<int64_t>(bytes.size()) == page_bytes_, "{} of {}", bytes.size(), page_bytes_);
  const std::byte* from = bytes.data();
  for (const auto& layer_streams : streams_) {
    for (const KvStream& stream : layer_streams) {
      const int64_t size = cadre::page_bytes(stream);
      std::memcpy(stream.data + page * size, from, static_cast<size_t>(size));
      from += size;
    }
  }
}

void KvCache::copy_page(int32_t from, int32_t to) {
  for (const auto& layer_streams : streams_) {
    for (const KvStream& stream : layer_streams) {
      const int64_t bytes = cadre::page_bytes(stream);
      std::memcpy(stream.data + to * bytes, stream.data + from * bytes, static_cast<size_t>(bytes));
    }
  }
}

}  // namespace cadre
