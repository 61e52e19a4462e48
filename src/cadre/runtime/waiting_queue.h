#pragma once
/// Whose turn it is: requests that wait, and what each client has had so far.

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "cadre/runtime/job.h"

namespace cadre {

/// Tokens that each client was served, for turns that are fair in work rather than in requests (Virtual Token
/// Counter: Sheng et al. 2024, "Fairness in Serving Large Language Models", OSDI). A client that comes back
/// is lifted to the least served of those present, so that having been away earns it nothing.
class ClientLedger {
 public:
  /// A request of the client came.
  void enter(const std::string& client);
  /// One of its requests is over.
  void leave(const std::string& client);
  void charge(const std::string& client, int64_t tokens) { accounts_.at(client).served += tokens; }
  /// Tokens charged; of a client that has entered.
  int64_t served(const std::string& client) const { return accounts_.at(client).served; }
  int64_t clients() const { return static_cast<int64_t>(accounts_.size()); }

 private:
  struct Account {
    int64_t served = 0;
    int64_t requests = 0;
  };
  /// Of the clients that have requests; 0 when none has.
  int64_t least_served() const;

  std::unordered_map<std::string, Account> accounts_;
};

/// Thread-compatible. Next is the highest priority; within one the client that was served least; of one
/// client the oldest request.
class WaitingQueue {
 public:
  void add(std::unique_ptr<Job> job) { jobs_.push_back(std::move(job)); }
  /// Null when nobody waits.
  Job* next(const ClientLedger& ledger) const;
  std::unique_ptr<Job> take(const Job* job);

  const std::vector<std::unique_ptr<Job>>& jobs() const { return jobs_; }
  int64_t size() const { return static_cast<int64_t>(jobs_.size()); }

 private:
  std::vector<std::unique_ptr<Job>> jobs_;
};

}  // namespace cadre
