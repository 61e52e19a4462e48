#pragma once
/// Where the time of an engine's steps goes: a back end around the engine's own that times each call and
/// names it, by the weight that it reads where there is one. An engine without it pays nothing; with it, two
/// looks at the clock an operation.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cadre/runtime/engine.h"

namespace cadre {

/// One kind of operation, summed over layers and steps.
struct ProfileRow {
  std::string operation;  ///< "matmul attention q_proj, BF16"
  int64_t calls = 0;
  double seconds = 0;
  double bytes = 0;       ///< of weights, cache entries and, where there are neither, activations
  double operations = 0;  ///< multiplications and additions of matrix products and attention; 0 elsewhere
};

struct Profile {
  std::vector<ProfileRow> rows;  ///< longest first; "routing" is the time before a layer's routed experts run
  double wall_seconds = 0;       ///< of the steps
  double waited_seconds = 0;     ///< within the operations: on other threads' last tasks
  int64_t steps = 0;

  /// Seconds that the rows account for; the rest is spent between operations.
  double explained_seconds() const;
  /// Adds another measurement, row by row.
  Profile& operator+=(const Profile& more);
};

/// Attached to one engine, which must outlive it and whose model must too. Between begin_step and end_step
/// the operations are added up. Thread-compatible.
class Profiler {
 public:
  /// Wraps the engine's back end, for good.
  explicit Profiler(Engine& engine);
  ~Profiler();
  Profiler(const Profiler&) = delete;
  Profiler& operator=(const Profiler&) = delete;

  void begin_step();
  void end_step();

  /// What was added up since the last reset.
  Profile result() const;
  void reset();

 private:
  class TimedBackend;
  struct State;
  std::shared_ptr<State> state_;  ///< with the back end, which lives as long as the engine
};

/// The rows as a table with calls, time, share of the steps, bytes/s and operations/s.
std::string to_text(const Profile& profile);

}  // namespace cadre
