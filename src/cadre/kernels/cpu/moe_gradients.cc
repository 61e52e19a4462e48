#include "cadre/kernels/cpu/gemm.h"
#include "cadre/kernels/cpu/gradients.h"
#include "cadre/kernels/cpu/operations.h"

/// Grouped products: the matrices of all experts are jobs of one list, so that threads share experts of any
/// size, and a group's tokens are gathered while they are packed.

namespace cadre::cpu {
namespace {

const float* values(const Weight& w) { return reinterpret_cast<const float*>(w.data); }
GemmSide rows_of(const Weight& w) { return {values(w), w.cols, true, nullptr}; }
GemmSide columns_of(const Weight& w) { return {values(w), w.cols, false, nullptr}; }

template <typename Args>
GemmSide gathered(const Args& args, const ExpertGroup& group, const Tensor& x, bool along) {
  return {x.data, x.row_stride, along, args.rows.data() + group.first};
}

}  // namespace

void expert_ffn_training(CpuContext& ctx, const ExpertFfnTraining& args) {
  const int64_t d = args.x.width;
  std::vector<GemmJob> jobs;
  for (size_t g = 0; g < args.groups.size(); ++g) {
    const ExpertGroup& group = args.groups[g];
    const GemmSide x = gathered(args, group, args.x, true);
    jobs.push_back(product(x, rows_of(group.expert.gate), d, args.activations[g].gate, false, args.compute));
    jobs.push_back(product(x, rows_of(group.expert.up), d, args.activations[g].up, false, args.compute));
  }
  run_gemms(ctx, jobs);
  jobs.clear();
  for (size_t g = 0; g < args.groups.size(); ++g) {
    const ExpertGroup& group = args.groups[g];
    swiglu(ctx, {.gate = args.activations[g].gate, .up = args.activations[g].up, .y = group.hidden});
    jobs.push_back(product(along_rows(group.hidden), rows_of(group.expert.down), group.hidden.width,
                           args.outputs.slice_rows(group.first, group.count), false, args.compute));
  }
  run_gemms(ctx, jobs);
  sum_assignments(ctx, {.rows = args.rows, .weights = args.weights, .outputs = args.outputs, .y = args.y});
}

void expert_ffn_grad(CpuContext& ctx, const ExpertFfnGrad& args) {
  const int64_t d = args.x.width;
  std::vector<GemmJob> jobs;
  for (size_t g = 0; g < args.groups.size(); ++g) {
    const ExpertGroup& group = args.groups[g];
    jobs.push_back(product(gathered(args, group, args.dy, true), columns_of(group.expert.down), d,
                           args.dhidden[g], false, args.compute));
  }
  run_gemms(ctx, jobs);

  jobs.clear();
  for (size_t g = 0; g < args.groups.size(); ++g) {
    const ExpertGroup& group = args.groups[g];
    const auto& [gate, up] = args.activations[g];
    const int64_t f = gate.width;
    for_rows(ctx, group.count, 16 * f, [&](int64_t begin, int64_t end, Worker&) {
      for (int64_t i = begin; i < end; ++i)
        args.dweights[group.first + i] =
            ctx.table.swiglu_grad_row({.gate = args.activations[g].gate.row(i),
                                       .up = args.activations[g].up.row(i),
                                       .hidden = group.hidden.row(i),
                                       .dhidden = args.dhidden[g].row(i),
                                       .weight = args.weights[static_cast<size_t>(group.first + i)],
                                       .width = f});
    });
    // From here on gate and up hold their gradients, and hidden is weighted.
    const GemmSide x = gathered(args, group, args.x, false);
    const ExpertWeightGrad& gradient = args.gradients[g];
    if (gradient.down.data != nullptr)
      jobs.push_back(product(gathered(args, group, args.dy, false), across_rows(group.hidden), group.count,
                             gradient.down, true, args.compute));
    if (gradient.gate.data != nullptr)
      jobs.push_back(product(across_rows(gate), x, group.count, gradient.gate, true, args.compute));
    if (gradient.up.data != nullptr)
      jobs.push_back(product(across_rows(up), x, group.count, gradient.up, true, args.compute));
    GemmJob dx = product(along_rows(gate), columns_of(group.expert.gate), f,
                         args.outputs.slice_rows(group.first, group.count), false, args.compute);
    dx.terms[1] = {along_rows(up), columns_of(group.expert.up), f};
    dx.terms_count = 2;
    jobs.push_back(dx);
  }
  run_gemms(ctx, jobs);
  sum_assignments(ctx,
                  {.rows = args.rows, .weights = {}, .outputs = args.outputs, .y = args.dx, .add = true});
}

}  // namespace cadre::cpu
