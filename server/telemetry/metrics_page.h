#pragma once
// Testonly: the page that /metrics would serve now.

#include <string>

#include "server/telemetry/metrics.h"

namespace tokenbroker {

std::string MetricsPage(const Metrics& metrics);

}  // namespace tokenbroker
