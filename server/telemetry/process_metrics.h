#pragma once
// The metrics of the process itself, by the names that Prometheus' client libraries give them: read from /proc/self
// when they are asked for.

#include <prometheus/metric_family.h>

#include <vector>

namespace tokenbroker {

// process_cpu_seconds_total, process_start_time_seconds (Unix time), process_resident_memory_bytes,
// process_virtual_memory_bytes, process_open_fds and process_max_fds. What cannot be read is left out. Thread-safe.
std::vector<prometheus::MetricFamily> CollectProcessMetrics();

}  // namespace tokenbroker
