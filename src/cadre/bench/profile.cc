#include "cadre/bench/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace cadre {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point start, Clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
}

/// The operations of a Backend, and what happens before a layer's routed experts run.
enum class Kind : uint8_t {
  kMatmul,
  kHeadMatmul,
  kHeadMatmulTransposed,
  kEmbed,
  kRmsNorm,
  kRope,
  kSwiglu,
  kRelu,
  kAdd,
  kCopy,
  kKvWrite,
  kKvRead,
  kAttend,
  kExpertFfn,
  kRouting
};

std::string_view name(Kind kind) {
  constexpr std::string_view kNames[] = {"matmul", "head_matmul", "head_matmul transposed",
                                         "embed",  "rms_norm",    "rope",
                                         "swiglu", "relu",        "add",
                                         "copy",   "kv_write",    "kv_read",
                                         "attend", "expert_ffn",  "routing"};
  return kNames[static_cast<size_t>(kind)];
}

struct WeightName {
  std::string text;  ///< "attention q_proj, BF16"; of an expert's matrices without the middle part
  WeightRole role;
};

/// What a weight is called, found by where it lies.
class WeightNames {
 public:
  explicit WeightNames(const Model& model) {
    Transformer views = model.transformer();  // the visitor wants to bind
    model.checkpoint().visit_weights(views, [&](const WeightSlot& slot) {
      if (slot.matrix != nullptr) names_.try_emplace(slot.matrix->data, WeightName{text(slot), slot.role});
    });
  }

  /// Null for a weight that is not the model's.
  const WeightName* find(const Weight& weight) const {
    const auto found = names_.find(weight.data);
    return found == names_.end() ? nullptr : &found->second;
  }

 private:
  static std::string text(const WeightSlot& slot) {
    const std::string_view dtype = cadre::name(slot.matrix->dtype);
    if (slot.role == WeightRole::kRoutedExpert) return fmt::format("experts, {}", dtype);
    if (slot.role == WeightRole::kDenseFfn || slot.role == WeightRole::kSharedExpert)
      return fmt::format("{}, {}", cadre::name(slot.role), dtype);
    std::string_view name = slot.name;
    if (name.ends_with(".weight")) name.remove_suffix(std::string_view(".weight").size());
    name.remove_prefix(name.rfind('.') + 1);  // npos + 1 is 0
    return fmt::format("{} {}, {}", cadre::name(slot.role), name, dtype);
  }

  std::unordered_map<const std::byte*, WeightName> names_;
};

/// What is added up in one row: two weights of the same name are the same row.
struct Key {
  Kind kind;
  std::string_view weight;  ///< of WeightNames or a type's name

  friend bool operator<(const Key& a, const Key& b) {
    return std::tie(a.kind, a.weight) < std::tie(b.kind, b.weight);
  }
};

/// What one call moves and computes.
struct Cost {
  double bytes = 0;
  double operations = 0;
};

double as_double(int64_t value) { return static_cast<double>(value); }

double activation_bytes(const Tensor& x) {
  return as_double(x.rows * x.heads * x.width) * static_cast<double>(sizeof(float));
}

Cost cost(const Matmul& a) { return {as_double(a.w.bytes()), 2 * as_double(a.x.rows * a.w.rows * a.w.cols)}; }

Cost cost(const HeadMatmul& a) {
  const int64_t elements = a.x.heads * a.x.width * a.y.width;
  const int64_t rows = a.x.heads * (a.transposed ? a.x.width : a.y.width);
  return {as_double(rows * a.w.row_bytes), 2 * as_double(a.x.rows * elements)};
}

/// Of one cache entry: its part of a page.
double entry_bytes(const KvStream& stream) {
  return as_double(page_bytes(stream)) / as_double(stream.page_tokens);
}

Cost cost(const Attend& a) {
  double entries = 0;
  double pairs = 0;
  for (const SequenceRows& sequence : a.sequences) {
    entries += as_double(sequence.first_position + sequence.rows);
    pairs +=
        as_double(sequence.rows) * (as_double(sequence.first_position) + as_double(sequence.rows + 1) / 2);
  }
  const double key_bytes = entry_bytes(a.keys);
  const double value_bytes = a.values.data == a.keys.data ? 0 : entry_bytes(a.values);
  return {entries * (key_bytes + value_bytes), 2 * pairs * as_double(a.q.heads * (a.q.width + a.out.width))};
}

Cost cost(const ExpertFfn& a) {
  Cost sum;
  for (const ExpertGroup& group : a.groups) {
    if (group.count == 0) continue;
    for (const Weight* w : {&group.expert.gate, &group.expert.up, &group.expert.down}) {
      sum.bytes += as_double(w->bytes());
      sum.operations += 2 * as_double(group.count * w->rows * w->cols);
    }
  }
  return sum;
}

Cost cost(const Embed& a) { return {as_double(static_cast<int64_t>(a.ids.size()) * a.table.row_bytes), 0}; }
Cost cost(const RmsNorm& a) { return {2 * activation_bytes(a.x), 0}; }
Cost cost(const Rope& a) { return {2 * activation_bytes(a.x), 0}; }
Cost cost(const Swiglu& a) { return {3 * activation_bytes(a.gate), 0}; }
Cost cost(const Relu& a) { return {2 * activation_bytes(a.x), 0}; }
Cost cost(const Add& a) { return {3 * activation_bytes(a.x), 0}; }
Cost cost(const Copy& a) { return {2 * activation_bytes(a.x), 0}; }
Cost cost(const KvWrite& a) { return {as_double(a.x.rows) * entry_bytes(a.stream), 0}; }
Cost cost(const KvRead& a) { return {as_double(a.y.rows) * entry_bytes(a.stream), 0}; }

}  // namespace

double Profile::explained_seconds() const {
  double sum = 0;
  for (const ProfileRow& row : rows) sum += row.seconds;
  return sum;
}

Profile& Profile::operator+=(const Profile& more) {
  for (const ProfileRow& row : more.rows) {
    const auto same = std::ranges::find(rows, row.operation, &ProfileRow::operation);
    if (same == rows.end()) {
      rows.push_back(row);
      continue;
    }
    same->calls += row.calls;
    same->seconds += row.seconds;
    same->bytes += row.bytes;
    same->operations += row.operations;
  }
  std::ranges::stable_sort(rows, std::ranges::greater(), &ProfileRow::seconds);
  wall_seconds += more.wall_seconds;
  waited_seconds += more.waited_seconds;
  steps += more.steps;
  return *this;
}

/// Shared by the profiler and the back end that reports to it.
struct Profiler::State {
  WeightNames names;
  const Backend* backend = nullptr;
  bool active = false;
  Clock::time_point step_start;
  Clock::time_point last_end;  ///< of the last operation, or the step's start
  std::chrono::nanoseconds waited_before{0};
  std::map<Key, ProfileRow> rows;
  Profile totals;  ///< all but the rows

  explicit State(const Model& model) : names(model) {}

  void add(Key key, double seconds, Cost cost) {
    ProfileRow& row = rows[key];
    ++row.calls;
    row.seconds += seconds;
    row.bytes += cost.bytes;
    row.operations += cost.operations;
  }
};

/// Times what passes while the profiler is in a step.
class Profiler::TimedBackend final : public Backend {
 public:
  TimedBackend(std::unique_ptr<Backend> inner, std::shared_ptr<State> state)
      : inner_(std::move(inner)), state_(std::move(state)) {}

  void matmul(const Matmul& args) override { time(&Backend::matmul, args, Kind::kMatmul, &args.w); }
  void head_matmul(const HeadMatmul& args) override {
    time(&Backend::head_matmul, args, args.transposed ? Kind::kHeadMatmulTransposed : Kind::kHeadMatmul,
         &args.w);
  }
  void embed(const Embed& args) override { time(&Backend::embed, args, Kind::kEmbed, &args.table); }
  void rms_norm(const RmsNorm& args) override { time(&Backend::rms_norm, args, Kind::kRmsNorm); }
  void rope(const Rope& args) override { time(&Backend::rope, args, Kind::kRope); }
  void swiglu(const Swiglu& args) override { time(&Backend::swiglu, args, Kind::kSwiglu); }
  void relu(const Relu& args) override { time(&Backend::relu, args, Kind::kRelu); }
  void add(const Add& args) override { time(&Backend::add, args, Kind::kAdd); }
  void copy(const Copy& args) override { time(&Backend::copy, args, Kind::kCopy); }
  void kv_write(const KvWrite& args) override { time(&Backend::kv_write, args, Kind::kKvWrite); }
  void kv_read(const KvRead& args) override { time(&Backend::kv_read, args, Kind::kKvRead); }
  void attend(const Attend& args) override { time(&Backend::attend, args, Kind::kAttend); }
  void expert_ffn(const ExpertFfn& args) override {
    const Weight* first = args.groups.empty() ? nullptr : &args.groups.front().expert.gate;
    if (state_->active && first != nullptr) {
      const WeightName* weight = state_->names.find(*first);
      if (weight != nullptr && weight->role == WeightRole::kRoutedExpert)
        state_->add({Kind::kRouting, {}}, seconds_between(state_->last_end, Clock::now()), {});
    }
    time(&Backend::expert_ffn, args, Kind::kExpertFfn, first);
  }

  std::string description() const override { return inner_->description(); }
  std::chrono::nanoseconds waited() const override { return inner_->waited(); }

 private:
  /// `weight`: what the operation is named after; may be null.
  template <typename Args>
  void time(void (Backend::*operation)(const Args&), const Args& args, Kind kind,
            const Weight* weight = nullptr) {
    if (!state_->active) return (inner_.get()->*operation)(args);
    const Clock::time_point start = Clock::now();
    (inner_.get()->*operation)(args);
    const Clock::time_point end = Clock::now();
    const WeightName* named = weight == nullptr ? nullptr : state_->names.find(*weight);
    state_->add({kind, named == nullptr ? std::string_view() : std::string_view(named->text)},
                seconds_between(start, end), cost(args));
    state_->last_end = Clock::now();  // adding up is not the next operation's
  }

  std::unique_ptr<Backend> inner_;
  std::shared_ptr<State> state_;
};

Profiler::Profiler(Engine& engine) : state_(std::make_shared<State>(engine.model())) {
  engine.wrap_backend([this](std::unique_ptr<Backend> inner) -> std::unique_ptr<Backend> {
    return std::make_unique<TimedBackend>(std::move(inner), state_);
  });
  state_->backend = &engine.backend();
}

Profiler::~Profiler() { state_->active = false; }

void Profiler::begin_step() {
  state_->active = true;
  state_->waited_before = state_->backend->waited();
  state_->step_start = Clock::now();
  state_->last_end = state_->step_start;
}

void Profiler::end_step() {
  Profile& totals = state_->totals;
  totals.wall_seconds += seconds_between(state_->step_start, Clock::now());
  totals.waited_seconds +=
      std::chrono::duration<double>(state_->backend->waited() - state_->waited_before).count();
  ++totals.steps;
  state_->active = false;
}

Profile Profiler::result() const {
  Profile profile = state_->totals;
  for (const auto& [key, row] : state_->rows) {
    profile.rows.push_back(row);
    profile.rows.back().operation =
        key.weight.empty() ? std::string(name(key.kind)) : fmt::format("{} {}", name(key.kind), key.weight);
  }
  std::ranges::stable_sort(profile.rows, std::ranges::greater(), &ProfileRow::seconds);
  return profile;
}

void Profiler::reset() {
  state_->rows.clear();
  state_->totals = {};
}

std::string to_text(const Profile& profile) {
  const auto share = [&](double seconds) {
    return profile.wall_seconds > 0 ? 100 * seconds / profile.wall_seconds : 0;
  };
  const auto rate = [](double amount, double seconds) {
    return amount > 0 && seconds > 0 ? fmt::format("{:.2f}", amount / seconds / 1e9) : std::string("-");
  };
  std::string text = fmt::format("{:<44}{:>9}{:>11}{:>9}{:>9}{:>10}\n", "operation", "calls", "ms/step",
                                 "share", "GB/s", "Gop/s");
  const auto per_step = [&](double seconds) {
    return profile.steps > 0 ? 1e3 * seconds / static_cast<double>(profile.steps) : 0;
  };
  for (const ProfileRow& row : profile.rows)
    text += fmt::format("{:<44}{:>9}{:>11.3f}{:>7.1f} %{:>9}{:>10}\n", row.operation, row.calls,
                        per_step(row.seconds), share(row.seconds), rate(row.bytes, row.seconds),
                        rate(row.operations, row.seconds));
  const double explained = profile.explained_seconds();
  text += fmt::format("{:<44}{:>9}{:>11.3f}{:>7.1f} %\n", "between operations", "",
                      per_step(profile.wall_seconds - explained), share(profile.wall_seconds - explained));
  text += fmt::format(
      "{} steps of {:.3f} ms on average, {:.1f} % of it explained; {:.1f} % is waiting for other "
      "threads, within the operations\n",
      profile.steps, per_step(profile.wall_seconds), share(explained), share(profile.waited_seconds));
  return text;
}

}  // namespace cadre
