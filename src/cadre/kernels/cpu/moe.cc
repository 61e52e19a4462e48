#include <algorithm>

#include "cadre/kernels/cpu/operations.h"
#include "cadre/kernels/cpu/products.h"

namespace cadre::cpu {
namespace {

/// Weight rows of a task. A panel of gate and up, or of down, is packed when the group has many rows, and
/// with few rows is small enough for all workers to have something to do even for one expert.
constexpr int64_t kManyRowsPanel = 96;
constexpr int64_t kFewRowsPanel = 48;

int64_t panel_rows(const ExpertGroup& group) {
  return group.count >= kPackedFromRows ? kManyRowsPanel : kFewRowsPanel;
}

void list_tasks(const ExpertFfn& args, int64_t outputs, std::vector<ExpertTask>& tasks) {
  tasks.clear();
  for (size_t g = 0; g < args.groups.size(); ++g) {
    if (args.groups[g].count == 0) continue;
    const int64_t panels = ceil_div(outputs, panel_rows(args.groups[g]));
    for (int64_t p = 0; p < panels; ++p) tasks.push_back({static_cast<int32_t>(g), static_cast<int32_t>(p)});
  }
}

/// hidden = silu(gate x) * (up x) for one panel of hidden channels.
void hidden_panel(CpuContext& ctx, const ExpertFfn& args, const Tensor& x, ExpertTask task, Worker& worker) {
  const ExpertGroup& group = args.groups[static_cast<size_t>(task.group)];
  const int64_t panel = panel_rows(group);
  const int64_t first = task.panel * panel;
  const int64_t width = std::min(panel, group.expert.gate.rows - first);
  worker.x_rows.resize(static_cast<size_t>(group.count));
  for (int64_t i = 0; i < group.count; ++i)
    worker.x_rows[static_cast<size_t>(i)] = x.row(args.rows[static_cast<size_t>(group.first + i)]);

  const Tensor hidden = args.hidden.slice_rows(group.first, group.count).slice_width(first, width);
  float* up = worker.up.floats(group.count * width);
  PanelProduct product{.x = worker.x_rows.data(),
                       .rows = group.count,
                       .w = group.expert.gate.slice_rows(first, width),
                       .y = hidden.data,
                       .y_stride = hidden.row_stride,
                       .compute = args.compute};
  panel_product(ctx.table, product, worker);
  product.w = group.expert.up.slice_rows(first, width);
  product.y = up;
  product.y_stride = width;
  panel_product(ctx.table, product, worker);
  for (int64_t i = 0; i < group.count; ++i)
    ctx.table.swiglu_row({.gate = hidden.row(i),
                          .up = up + i * width,
                          .y = hidden.row(i),
                          .width = width,
                          .round_to_bf16 = args.compute == Compute::kBF16});
}

void output_panel(CpuContext& ctx, const ExpertFfn& args, ExpertTask task, Worker& worker) {
  const ExpertGroup& group = args.groups[static_cast<size_t>(task.group)];
  const int64_t panel = panel_rows(group);
  const int64_t first = task.panel * panel;
  const int64_t width = std::min(panel, group.expert.down.rows - first);
  worker.x_rows.resize(static_cast<size_t>(group.count));
  for (int64_t i = 0; i < group.count; ++i)
    worker.x_rows[static_cast<size_t>(i)] = args.hidden.row(group.first + i);
  panel_product(ctx.table,
                {.x = worker.x_rows.data(),
                 .rows = group.count,
                 .w = group.expert.down.slice_rows(first, width),
                 .y = args.outputs.row(group.first) + first,
                 .y_stride = args.outputs.row_stride,
                 .compute = args.compute},
                worker);
}

/// The assignments of each row in ascending order, which is that of the experts.
void list_by_row(CpuContext& ctx, const ExpertFfn& args) {
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

void combine(CpuContext& ctx, const ExpertFfn& args) {
  list_by_row(ctx, args);
  const int64_t width = args.y.width;
  for_rows(ctx, args.y.rows, 4 * width, [&](int64_t begin, int64_t end, Worker&) {
    for (int64_t t = begin; t < end; ++t) {
      float* y = args.y.row(t);
      std::fill(y, y + width, 0.0f);
      for (int32_t i = ctx.row_starts[static_cast<size_t>(t)]; i < ctx.row_starts[static_cast<size_t>(t) + 1];
           ++i) {
        const auto a = static_cast<size_t>(ctx.row_assignments[static_cast<size_t>(i)]);
        ctx.table.multiply_add_row(args.weights[a], args.outputs.row(static_cast<int64_t>(a)), y, width);
      }
    }
  });
}

}  // namespace

void expert_ffn(CpuContext& ctx, const ExpertFfn& args) {
  const Tensor x = product_input(ctx, args.x, args.compute);
  const int64_t multiply_adds = static_cast<int64_t>(args.rows.size()) * args.y.width * args.hidden.width;
  std::vector<ExpertTask>& tasks = ctx.expert_tasks;
  list_tasks(args, args.hidden.width, tasks);
  ctx.run(static_cast<int64_t>(tasks.size()), multiply_adds, [&](int64_t task, int worker) {
    hidden_panel(ctx, args, x, tasks[static_cast<size_t>(task)], ctx.worker(worker));
  });
  list_tasks(args, args.y.width, tasks);
  ctx.run(static_cast<int64_t>(tasks.size()), multiply_adds, [&](int64_t task, int worker) {
    output_panel(ctx, args, tasks[static_cast<size_t>(task)], ctx.worker(worker));
  });
  combine(ctx, args);
}

}  // namespace cadre::cpu
