#include "server/telemetry/metrics_page.h"

#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace tokenbroker {

std::string MetricsPage(const Metrics& metrics) {
  return prometheus::TextSerializer().Serialize(metrics.registry()->Collect());
}

}  // namespace tokenbroker
