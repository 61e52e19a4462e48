#include "cadre/runtime/waiting_queue.h"

#include <algorithm>
#include <limits>

#include "cadre/base/check.h"

namespace cadre {

int64_t ClientLedger::least_served() const {
  int64_t least = std::numeric_limits<int64_t>::max();
  for (const auto& [client, account] : accounts_)
    if (account.requests > 0) least = std::min(least, account.served);
  return least == std::numeric_limits<int64_t>::max() ? 0 : least;
}

void ClientLedger::enter(const std::string& client) {
  const int64_t least = least_served();
  Account& account = accounts_[client];
  if (account.requests == 0) account.served = std::max(account.served, least);
  ++account.requests;
}

void ClientLedger::leave(const std::string& client) {
  --accounts_.at(client).requests;
  // Those that are away and no further than all present would be lifted on return: they can be forgotten.
  const bool nobody = std::all_of(accounts_.begin(), accounts_.end(),
                                  [](const auto& entry) { return entry.second.requests == 0; });
  const int64_t least = nobody ? std::numeric_limits<int64_t>::max() : least_served();
  std::erase_if(accounts_, [&](const auto& entry) {
    return entry.second.requests == 0 && entry.second.served <= least;
  });
}

Job* WaitingQueue::next(const ClientLedger& ledger) const {
  const auto before = [&](const std::unique_ptr<Job>& a, const std::unique_ptr<Job>& b) {
    if (a->request.priority != b->request.priority) return a->request.priority > b->request.priority;
    const int64_t served_a = ledger.served(a->request.client);
    const int64_t served_b = ledger.served(b->request.client);
    return served_a != served_b ? served_a < served_b : a->id < b->id;
  };
  const auto first = std::min_element(jobs_.begin(), jobs_.end(), before);
  return first == jobs_.end() ? nullptr : first->get();
}

std::unique_ptr<Job> WaitingQueue::take(const Job* job) {
  const auto found = std::find_if(jobs_.begin(), jobs_.end(),
                                  [&](const std::unique_ptr<Job>& other) { return other.get() == job; });
  CADRE_CHECK(found != jobs_.end());
  std::unique_ptr<Job> taken = std::move(*found);
  jobs_.erase(found);
  return taken;
}

}  // namespace cadre
