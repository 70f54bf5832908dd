#pragma once
// See planted.h: the faults that need an executor and a clock.

#include <memory>

#include "server/base/clock.h"
#include "server/base/executor.h"
#include "server/gitlab/gitlab.h"

namespace tokenbroker::sim {

std::unique_ptr<GitLab> PlantOneQueue(std::unique_ptr<GitLab> real, Executor& executor, Clock& clock);
std::unique_ptr<GitLab> PlantOneFailureEndsWalks(std::unique_ptr<GitLab> real, Clock& clock);

}  // namespace tokenbroker::sim
