#include "cadre/train/config.h"

#include <gtest/gtest.h>

namespace cadre::train {
namespace {

Json minimal() {
  return Json::parse(R"({"model": {"model_type": "cadre"}, "data": "shards", "out": "run", "steps": 100,
                         "batch": {"sequences": 8, "length": 64}})");
}

Result<TrainConfig> parse(const Json& document) {
  return parse_train_config(document, "run.json", "/folder");
}

TEST(TrainConfig, DefaultsAreThoseOfTheDocument) {
  const TrainConfig config = parse(minimal()).value();
  EXPECT_EQ(config.data.size(), 1u);
  EXPECT_EQ(config.data[0].path, "/folder/shards");
  EXPECT_EQ(config.out, "/folder/run");
  EXPECT_EQ(config.micro_sequences, 8);
  EXPECT_EQ(config.compute, Compute::kF32);
  EXPECT_FALSE(config.optimiser.muon);
  EXPECT_EQ(config.learning_rate, 1.5e-3);
  EXPECT_EQ(config.bias_rate, 1e-3);
  EXPECT_EQ(config.losses.sequence, 1e-4);
  EXPECT_EQ(config.losses.batch, 0);
  EXPECT_EQ(config.capacity.factor, 0);
  EXPECT_EQ(config.validate_every, 0);
}

TEST(TrainConfig, ReadsEveryField) {
  Json document = minimal();
  document["data"] = Json::parse(R"([{"path": "a"}, {"path": "/b", "weight": 3}])");
  document["tokenizer"] = "tok";
  document["seed"] = 7;
  document["compute"] = "bf16";
  document["batch"]["micro_sequences"] = 2;
  document["optimiser"] =
      Json::parse(R"({"type": "muon", "warmup": 0.1, "decay": 0.3, "clip": 0.5, "beta1": 0.8,
      "beta2": 0.9, "eps": 1e-6, "weight_decay": 0.2, "momentum": 0.7})");
  document["balance"] =
      Json::parse(R"({"bias_rate": 0.01, "sequence_loss": 0, "batch_loss": 0.01, "z_loss": 0.001,
      "capacity_factor": 1.25, "capacity_order": "priority"})");
  document["routing"] =
      Json::parse(R"({"random_top_k": [1, 8], "share": 0.4, "warmup": 0.2, "expert_dropout": 0.05})");
  document["validate"] = Json::parse(R"({"every": 10, "batches": 3})");
  document["samples"] = Json::parse(R"({"prompts": ["Hello", "1 + 1?"], "tokens": 9, "raw": true})");
  document["checkpoint"] = Json::parse(R"({"every": 20, "keep": 5})");
  const TrainConfig config = parse(document).value();
  EXPECT_EQ(config.data[1].path, "/b");
  EXPECT_EQ(config.data[1].weight, 3);
  EXPECT_EQ(config.seed, 7u);
  EXPECT_EQ(config.compute, Compute::kBF16);
  EXPECT_EQ(config.micro_sequences, 2);
  EXPECT_TRUE(config.optimiser.muon);
  EXPECT_EQ(config.learning_rate, 3e-3);
  EXPECT_EQ(config.optimiser.momentum, 0.7);
  EXPECT_EQ(config.clip, 0.5);
  EXPECT_EQ(config.losses.z, 0.001);
  EXPECT_EQ(config.capacity.order, CapacityOrder::kPriority);
  EXPECT_EQ(config.random_routing.lowest_k, 1);
  EXPECT_EQ(config.random_routing.highest_k, 8);
  EXPECT_EQ(config.random_routing.share, 0.4);
  EXPECT_EQ(config.random_routing.warmup, 0.2);
  EXPECT_EQ(config.random_routing.dropout, 0.05);
  EXPECT_EQ(config.validate_batches, 3);
  EXPECT_EQ(config.checkpoint_keep, 5);
  EXPECT_EQ(config.samples.prompts, (std::vector<std::string>{"Hello", "1 + 1?"}));
  EXPECT_EQ(config.samples.tokens, 9);
  EXPECT_TRUE(config.samples.raw);
}

TEST(TrainConfig, ReadsAdaptersAndABudgetOfMemory) {
  Json document = minimal();
  document.erase("model");
  document["start_from"] = "base";
  document["lora"] = Json::parse(R"({"rank": 8, "targets": ["q_proj", "up_proj"]})");
  document["batch"]["memory_gb"] = 1.5;
  document["recompute"] = true;
  const TrainConfig config = parse(document).value();
  EXPECT_EQ(config.lora->rank, 8);
  EXPECT_EQ(config.lora->alpha, 8);
  EXPECT_EQ(config.lora->targets, (std::vector<std::string>{"q_proj", "up_proj"}));
  EXPECT_EQ(config.micro_sequences, 0);
  EXPECT_EQ(config.memory_gb, 1.5);
  EXPECT_TRUE(config.recompute);
  document["batch"]["micro_sequences"] = 2;
  EXPECT_NE(parse(document).error().message.find("batch.memory_gb"), std::string::npos);
}

/// The document with the value at a pointer replaced.
void expect_refused(const char* pointer, const Json& value, const std::string& message) {
  Json document = minimal();
  document[Json::json_pointer(pointer)] = value;
  const auto config = parse(document);
  ASSERT_FALSE(config.has_value()) << pointer;
  EXPECT_NE(config.error().message.find(message), std::string::npos) << config.error().message;
  EXPECT_TRUE(config.error().message.starts_with("run.json: ")) << config.error().message;
}

TEST(TrainConfig, NamesTheFieldThatIsWrong) {
  expect_refused("/step", 3, "field 'step': there is no such field");
  expect_refused("/batch/lenght", 3, "field 'batch.lenght': there is no such field");
  expect_refused("/optimiser/lr", 3, "field 'optimiser.lr': there is no such field");
  expect_refused("/balance/bias", 3, "field 'balance.bias': there is no such field");
  expect_refused("/steps", 0, "field 'steps'");
  expect_refused("/steps", "many", "field 'steps'");
  expect_refused("/batch/length", 1, "field 'batch.length'");
  expect_refused("/batch/micro_sequences", 3, "expected a divisor of sequences = 8, found 3");
  expect_refused("/compute", "int8", "field 'compute': expected \"f32\" or \"bf16\", found \"int8\"");
  expect_refused("/compute", 16, "field 'compute'");
  expect_refused("/optimiser", 5, "field 'optimiser'");
  expect_refused("/optimiser/type", "sgd", "expected \"adamw\" or \"muon\", found \"sgd\"");
  expect_refused("/optimiser/learning_rate", -1,
                 "field 'optimiser.learning_rate': expected a number from 0 to 10");
  expect_refused("/optimiser/beta2", 1, "field 'optimiser.beta2'");
  expect_refused("/balance/capacity_order", "random", "field 'balance.capacity_order'");
  expect_refused("/routing", Json::parse(R"({"random_top_k": 3})"), "expected [lowest, highest]");
  expect_refused("/routing", Json::parse(R"({"random_top_k": [1, 2, 3]})"), "expected [lowest, highest]");
  expect_refused("/routing", Json::parse(R"({"random_top_k": [0, 2]})"), "expected 1 <= lowest <= highest");
  expect_refused("/routing", Json::parse(R"({"random_top_k": [3, 2]})"), "expected 1 <= lowest <= highest");
  expect_refused("/routing", Json::parse(R"({"expert_dropout": 2})"), "field 'routing.expert_dropout'");
  expect_refused("/routing", Json::parse(R"({"dropout": 0.1})"), "field 'routing.dropout': there is no such");
  expect_refused("/samples", Json::parse(R"({"prompts": "Hello"})"),
                 "field 'samples.prompts': expected a list");
  expect_refused("/samples", Json::parse(R"({"prompts": [3]})"), "field 'samples.prompts': expected texts");
  expect_refused("/samples", Json::parse(R"({"prompts": ["Hello"]})"), "a run without 'tokenizer'");
  expect_refused("/data", Json::array(), "field 'data': expected at least one");
  expect_refused("/data", Json::parse(R"([3])"), "field 'data[0]': expected an object");
  expect_refused("/data", Json::parse(R"([{"path": "x", "share": 1}])"), "field 'data[0].share'");
  expect_refused("/start_from", "model", "expected either this (an architecture) or 'start_from'");
  expect_refused("/out", "", "field 'out': expected a path");
  EXPECT_FALSE(parse(Json::parse("[]")).has_value());
  Json without = minimal();
  without.erase("model");
  EXPECT_FALSE(parse(without).has_value());
}

}  // namespace
}  // namespace cadre::train
