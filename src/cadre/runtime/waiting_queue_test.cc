#include "cadre/runtime/waiting_queue.h"

#include <gtest/gtest.h>

namespace cadre {
namespace {

std::unique_ptr<Job> job(int64_t id, const std::string& client, int priority = 0) {
  auto result =
      std::make_unique<Job>(Request{.prompt = {1}, .client = client, .priority = priority}, nullptr);
  result->id = RequestId{id};
  return result;
}

/// Ids in the order in which they come out, each charged `cost` tokens.
std::vector<int64_t> order(WaitingQueue& queue, ClientLedger& ledger, int64_t cost) {
  std::vector<int64_t> ids;
  while (Job* next = queue.next(ledger)) {
    ids.push_back(static_cast<int64_t>(next->id));
    ledger.charge(next->request.client, cost);
    queue.take(next);
  }
  return ids;
}

TEST(WaitingQueue, ClientsTakeTurnsAndPriorityGoesFirst) {
  WaitingQueue queue;
  ClientLedger ledger;
  const auto add = [&](std::unique_ptr<Job> added) {
    ledger.enter(added->request.client);
    queue.add(std::move(added));
  };
  for (int64_t id = 1; id <= 4; ++id) add(job(id, "many"));
  add(job(5, "few"));
  add(job(6, "few"));
  add(job(7, "many", 1));
  EXPECT_EQ(order(queue, ledger, 10), (std::vector<int64_t>{7, 5, 1, 6, 2, 3, 4}));
}

TEST(ClientLedger, TurnsAreFairInTokensNotInRequests) {
  WaitingQueue queue;
  ClientLedger ledger;
  for (int64_t id = 1; id <= 3; ++id) {
    ledger.enter("long");
    queue.add(job(id, "long"));
  }
  for (int64_t id = 4; id <= 9; ++id) {
    ledger.enter("short");
    queue.add(job(id, "short"));
  }
  std::vector<int64_t> ids;
  while (Job* next = queue.next(ledger)) {
    ids.push_back(static_cast<int64_t>(next->id));
    ledger.charge(next->request.client, next->request.client == "long" ? 30 : 10);
    queue.take(next);
  }
  EXPECT_EQ(ids, (std::vector<int64_t>{1, 4, 5, 6, 2, 7, 8, 9, 3}));
}

TEST(ClientLedger, HavingBeenAwayEarnsNothingAndNobodyIsRememberedForEver) {
  ClientLedger ledger;
  ledger.enter("stays");
  ledger.charge("stays", 1000);
  ledger.enter("comes");
  EXPECT_EQ(ledger.served("comes"), 1000);
  ledger.charge("comes", 500);
  ledger.leave("comes");  // ahead of those present: remembered
  EXPECT_EQ(ledger.clients(), 2);
  ledger.enter("comes");
  EXPECT_EQ(ledger.served("comes"), 1500);
  ledger.leave("comes");
  ledger.charge("stays", 600);
  ledger.enter("third");
  ledger.leave("third");
  EXPECT_EQ(ledger.clients(), 1);
  ledger.leave("stays");
  EXPECT_EQ(ledger.clients(), 0);
}

}  // namespace
}  // namespace cadre
