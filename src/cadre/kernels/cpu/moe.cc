#include <algorithm>

#include "cadre/kernels/cpu/operations.h"
#include "cadre/kernels/cpu/packed.h"
#include "cadre/kernels/cpu/products.h"

namespace cadre::cpu {
namespace {

/// Weight rows of a task. Multiples of 32, so that a panel of hidden channels is whole groups of what
/// follows.
///
/// With many rows of x a panel stays in the second-level cache. With few, it is read from memory once, and
/// the longer it is the better: fetching ahead begins anew with each. But all workers want several turns,
/// even with one expert.
constexpr int64_t kManyRowsPanel = 96;
constexpr int64_t kFewRowsPanel = 704;
constexpr int64_t kTurns = 8;  ///< of each worker, at least

/// One task for each panel of `outputs(group)` outputs of each group.
template <typename Outputs>
void list_tasks(CpuContext& ctx, const ExpertFfn& args, Outputs outputs) {
  ctx.expert_tasks.clear();
  int64_t all = 0;
  for (const ExpertGroup& group : args.groups) all += group.count > 0 ? outputs(group) : 0;
  const int64_t turn = std::max(all / (kTurns * ctx.pool.size()) / 32, int64_t{1}) * 32;
  for (size_t g = 0; g < args.groups.size(); ++g) {
    const ExpertGroup& group = args.groups[g];
    if (group.count == 0) continue;
    const bool many = group.count >= kPackedFromRows;
    const int64_t panel = std::min(turn, many ? kManyRowsPanel : kFewRowsPanel);
    for (int64_t first = 0; first < outputs(group); first += panel)
      ctx.expert_tasks.push_back({static_cast<int64_t>(g), first, std::min(panel, outputs(group) - first)});
  }
}

std::span<const int32_t> rows_of(const ExpertFfn& args, const ExpertGroup& group) {
  return args.rows.subspan(static_cast<size_t>(group.first), static_cast<size_t>(group.count));
}

/// The quantised inputs of every group with packed weights. A group of adjacent rows (a single token, a
/// shared expert) reads them where they are; others get theirs side by side.
void prepare_inputs(CpuContext& ctx, const ExpertFfn& args) {
  std::vector<ExpertInput>& inputs = ctx.expert_inputs;
  inputs.assign(args.groups.size(), {});
  const int64_t width = args.x.width;
  bool any = false;
  int64_t gathered_rows = 0, hidden_values = 0;
  for (const ExpertGroup& group : args.groups) {
    any = any || takes_int8(group.expert.gate, args.compute) || takes_int8(group.expert.up, args.compute);
    gathered_rows += group.count;
    if (takes_int8(group.expert.down, args.compute)) hidden_values += group.count * group.hidden.width;
  }
  // Each group's rows are a QuantisedRows of their own; these are the memory of all.
  const QuantisedRows hidden = quantised_rows(ctx.quantised_hidden, 1, hidden_values);
  for (size_t g = 0, at = 0; g < args.groups.size(); ++g) {
    const ExpertGroup& group = args.groups[g];
    if (!takes_int8(group.expert.down, args.compute)) continue;
    inputs[g].hidden = {hidden.codes + at * kPackedGroup, hidden.scales + at, hidden.sums + at, group.count};
    at += static_cast<size_t>(group.count * group.hidden.width / kPackedGroup);
  }
  if (!any) return;
  const QuantisedRows x = quantised_rows(ctx.quantised_x, args.x.rows, width);
  quantise(ctx, args.x, x);
  const QuantisedRows gathered = quantised_rows(ctx.gathered_x, gathered_rows, width);
  const int64_t groups = width / kPackedGroup;
  ctx.run(static_cast<int64_t>(args.groups.size()), gathered_rows * width / 16, [&](int64_t g, int) {
    const ExpertGroup& group = args.groups[static_cast<size_t>(g)];
    if (group.count == 0) return;
    QuantisedRows& input = inputs[static_cast<size_t>(g)].x;
    const std::span<const int32_t> rows = rows_of(args, group);
    if (rows.back() - rows.front() == group.count - 1) {
      input = from_row(x, rows.front());
      return;
    }
    const int64_t at = group.first * groups;
    input = {gathered.codes + at * kPackedGroup, gathered.scales + at, gathered.sums + at, group.count};
    gather_rows(x, rows, width, input);
  });
}

/// y[i * y_stride + j] = x_i . w_j for the rows of a group, x being `inputs` or the same quantised.
void group_product(const CpuContext& ctx, const ExpertFfn& args, const Weight& w, int64_t rows,
                   const QuantisedRows& quantised, float* y, int64_t y_stride, Worker& worker) {
  if (takes_int8(w, args.compute)) return packed_product(ctx.table, quantised, rows, w, y, y_stride);
  panel_product(ctx.table,
                {.x = worker.x_rows.data(),
                 .rows = rows,
                 .w = w,
                 .y = y,
                 .y_stride = y_stride,
                 .compute = args.compute},
                worker);
}

/// hidden = silu(gate x) * (up x) for one panel of hidden channels.
void hidden_panel(CpuContext& ctx, const ExpertFfn& args, const Tensor& x, ExpertTask task, Worker& worker) {
  const ExpertGroup& group = args.groups[static_cast<size_t>(task.group)];
  const ExpertInput& input = ctx.expert_inputs[static_cast<size_t>(task.group)];
  const int64_t first = task.first, width = task.width;
  worker.x_rows.resize(static_cast<size_t>(group.count));
  const std::span<const int32_t> rows = rows_of(args, group);
  for (size_t i = 0; i < rows.size(); ++i) worker.x_rows[i] = x.row(rows[i]);

  const Tensor hidden = group.hidden.slice_width(first, width);
  float* up = worker.up.floats(group.count * width);
  group_product(ctx, args, group.expert.gate.slice_rows(first, width), group.count, input.x, hidden.data,
                hidden.row_stride, worker);
  group_product(ctx, args, group.expert.up.slice_rows(first, width), group.count, input.x, up, width, worker);
  for (int64_t i = 0; i < group.count; ++i) {
    ctx.table.swiglu_row({.gate = hidden.row(i),
                          .up = up + i * width,
                          .y = hidden.row(i),
                          .width = width,
                          .round_to_bf16 = args.compute == Compute::kBF16});
    if (input.hidden.codes != nullptr) quantise_row(ctx.table, hidden.row(i), first, width, input.hidden, i);
  }
}

void output_panel(CpuContext& ctx, const ExpertFfn& args, ExpertTask task, Worker& worker) {
  const ExpertGroup& group = args.groups[static_cast<size_t>(task.group)];
  const int64_t first = task.first, width = task.width;
  worker.x_rows.resize(static_cast<size_t>(group.count));
  for (int64_t i = 0; i < group.count; ++i) worker.x_rows[static_cast<size_t>(i)] = group.hidden.row(i);
  group_product(ctx, args, group.expert.down.slice_rows(first, width), group.count,
                ctx.expert_inputs[static_cast<size_t>(task.group)].hidden,
                args.outputs.row(group.first) + first, args.outputs.row_stride, worker);
}

/// The assignments of each row in ascending order, which is that of the groups.
void list_by_row(CpuContext& ctx, const SumAssignments& args) {
  std::vector<int32_t>& starts = ctx.row_starts;
  std::vector<int32_t>& list = ctx.row_assignments;
  starts.assign(static_cast<size_t>(args.y.rows) + 2, 0);
  list.resize(args.rows.size());
  // Counted two places ahead, so that filling the list leaves each start one place ahead: where it belongs.
  for (const int32_t row : args.rows) ++starts[static_cast<size_t>(row) + 2];
  for (size_t t = 2; t < starts.size(); ++t) starts[t] += starts[t - 1];
  for (size_t a = 0; a < args.rows.size(); ++a)
    list[static_cast<size_t>(starts[static_cast<size_t>(args.rows[a]) + 1]++)] = static_cast<int32_t>(a);
}

}  // namespace

void sum_assignments(CpuContext& ctx, const SumAssignments& args) {
  list_by_row(ctx, args);
  const int64_t width = args.y.width;
  for_rows(ctx, args.y.rows, 4 * width, [&](int64_t begin, int64_t end, Worker&) {
    for (int64_t t = begin; t < end; ++t) {
      float* y = args.y.row(t);
      if (!args.add) std::fill(y, y + width, 0.0f);
      for (int32_t i = ctx.row_starts[static_cast<size_t>(t)]; i < ctx.row_starts[static_cast<size_t>(t) + 1];
           ++i) {
        const auto a = static_cast<size_t>(ctx.row_assignments[static_cast<size_t>(i)]);
        const float weight = args.weights.empty() ? 1.0f : args.weights[a];
        ctx.table.multiply_add_row(weight, args.outputs.row(static_cast<int64_t>(a)), y, width);
      }
    }
  });
}

void expert_ffn(CpuContext& ctx, const ExpertFfn& args) {
  const Tensor x = product_input(ctx, args.x, args.compute);
  prepare_inputs(ctx, args);
  int64_t multiply_adds = 0;
  for (const ExpertGroup& group : args.groups)
    multiply_adds += group.count * args.y.width * group.expert.gate.rows;
  const std::vector<ExpertTask>& tasks = ctx.expert_tasks;
  list_tasks(ctx, args, [](const ExpertGroup& group) { return group.expert.gate.rows; });
  ctx.run(static_cast<int64_t>(tasks.size()), 2 * multiply_adds, [&](int64_t task, int worker) {
    hidden_panel(ctx, args, x, tasks[static_cast<size_t>(task)], ctx.worker(worker));
  });
  list_tasks(ctx, args, [](const ExpertGroup& group) { return group.expert.down.rows; });
  ctx.run(static_cast<int64_t>(tasks.size()), multiply_adds, [&](int64_t task, int worker) {
    output_panel(ctx, args, tasks[static_cast<size_t>(task)], ctx.worker(worker));
  });
  sum_assignments(ctx, {.rows = args.rows, .weights = args.weights, .outputs = args.outputs, .y = args.y});
}

}  // namespace cadre::cpu
