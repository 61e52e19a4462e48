#include "cadre/model/layers/moe.h"

#include <gtest/gtest.h>

#include <deque>

#include "cadre/base/random.h"

namespace cadre {
namespace {

/// A layer of 3 experts with a shared and a fallback expert, random weights.
class SmallMoe {
 public:
  SmallMoe() {
    moe.c = {
        .n_routed_experts = 3, .n_shared_experts = 1, .num_experts_per_tok = 2, .moe_intermediate_size = 4};
    moe.c.fallback = FallbackConfig{.hidden = 5};
    moe.gate = LinearGate{.weight = weight(3, 6)};
    for (int e = 0; e < 3; ++e) moe.experts.push_back(ffn(4).expert());
    moe.shared = ffn(4);
    moe.fallback = ffn(5);
  }
  Moe moe;

 private:
  SwigluFfn ffn(int64_t width) { return {weight(width, 6), weight(width, 6), weight(6, width)}; }
  Weight weight(int64_t rows, int64_t cols) {
    std::vector<float>& values = values_.emplace_back(static_cast<size_t>(rows * cols));
    for (float& value : values) value = static_cast<float>(random_.normal(draw_++));
    return {.data = reinterpret_cast<const std::byte*>(values.data()),
            .dtype = DType::kF32,
            .rows = rows,
            .cols = cols,
            .row_bytes = cols * static_cast<int64_t>(sizeof(float))};
  }

  std::deque<std::vector<float>> values_;
  RandomStream random_{1, 1};
  uint64_t draw_ = 0;
};

TEST(Moe, TokensThatPoliciesLeaveWithoutExpertsHaveTheFallbackExpert) {
  const SmallMoe small;
  const std::unique_ptr<Backend> backend = make_reference_backend();
  Arena arena = Arena::reserve(1 << 20).value();
  Context ctx{.backend = *backend, .arena = arena};
  const Tensor x = ctx.allocate(3, 6);
  const RandomStream random(2, 2);
  for (int64_t i = 0; i < 18; ++i) x.data[i] = static_cast<float>(random.normal(static_cast<uint64_t>(i)));
  RoutingWorkspace routing;
  std::vector<ExpertGroup> groups;
  const RoutingPolicy without_middle = [](RoutingPlan plan) {
    plan.experts.erase(plan.experts.begin() + 2, plan.experts.begin() + 4);
    plan.weights.erase(plan.weights.begin() + 2, plan.weights.begin() + 4);
    plan.first = {0, 2, 2, 4};
    return plan;
  };
  const std::vector<int32_t> tokens(3, 0);
  const Tensor all =
      small.moe.forward(ctx, x, tokens, {.policies = {}, .routing = routing, .groups = groups});
  const Tensor some = small.moe.forward(
      ctx, x, tokens, {.policies = std::span(&without_middle, 1), .routing = routing, .groups = groups});
  const Tensor shared = small.moe.shared.forward(ctx, x);
  const Tensor fallback = small.moe.fallback.forward(ctx, x);
  for (int64_t i = 0; i < 6; ++i) {
    EXPECT_EQ(some.row(0)[i], all.row(0)[i]);
    EXPECT_NEAR(some.row(1)[i], shared.row(1)[i] + fallback.row(1)[i], 1e-5f);
    EXPECT_NE(some.row(1)[i], all.row(1)[i]);
    EXPECT_EQ(some.row(2)[i], all.row(2)[i]);
  }
}

}  // namespace
}  // namespace cadre
