#include "cadre/runtime/job.h"

namespace cadre {

Job::Job(Request given, std::shared_ptr<RequestListener> heard_by)
    : request(std::move(given)),
      listener(std::move(heard_by)),
      submitted(Clock::now()),
      sampler(request.sampling),
      tokens(std::move(request.prompt)) {
  for (const int32_t token : tokens) sampler.observe_prompt(token);
  stats.prompt_tokens = static_cast<int64_t>(tokens.size());
}

}  // namespace cadre
