#include "server/telemetry/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>

namespace tokenbroker {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

// Of /proc/self/stat; see proc(5). Times are in clock ticks.
struct ProcessStat {
  std::uint64_t user_ticks = 0, system_ticks = 0;
  std::uint64_t start_ticks = 0;  // Since the boot.
  std::uint64_t virtual_bytes = 0, resident_pages = 0;
};

std::string ReadAll(const char* path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::optional<ProcessStat> ReadStat() {
  const std::string text = ReadAll("/proc/self/stat");
  // The program's name, in parentheses, may have blanks and parentheses.
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  ProcessStat stat;
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  fields >> stat.user_ticks >> stat.system_ticks;
  for (int field = 16; field < 22; ++field) fields >> skipped;
  fields >> stat.start_ticks >> stat.virtual_bytes >> stat.resident_pages;
  if (fields.fail()) return std::nullopt;
  return stat;
}

// Unix time, in seconds.
std::optional<double> ReadBootTime() {
  std::istringstream lines(ReadAll("/proc/stat"));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("btime ")) return std::stod(line.substr(6));
  }
  return std::nullopt;
}

std::optional<double> CountOpenDescriptors() {
  std::error_code error;
  double count = 0;
  for (std::filesystem::directory_iterator at("/proc/self/fd", error), end; !error && at != end; at.increment(error)) {
    ++count;
  }
  if (error) return std::nullopt;
  return count - 1;  // Without the one that reads the folder.
}

void Add(const char* name, const char* help, MetricType type, std::optional<double> value,
         std::vector<MetricFamily>& families) {
  if (!value.has_value()) return;
  prometheus::ClientMetric metric;
  if (type == MetricType::Counter) {
    metric.counter.value = *value;
  } else {
    metric.gauge.value = *value;
  }
  families.push_back({name, help, type, {metric}});
}

}  // namespace

std::vector<MetricFamily> CollectProcessMetrics() {
  std::vector<MetricFamily> families;
  if (const std::optional<ProcessStat> stat = ReadStat()) {
    const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    const auto seconds = [ticks](std::uint64_t count) { return static_cast<double>(count) / ticks; };
    Add("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", MetricType::Counter,
        seconds(stat->user_ticks + stat->system_ticks), families);
    if (const std::optional<double> boot = ReadBootTime()) {
      Add("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", MetricType::Gauge,
          *boot + seconds(stat->start_ticks), families);
    }
    Add("process_resident_memory_bytes", "Resident memory size in bytes.", MetricType::Gauge,
        static_cast<double>(stat->resident_pages) * static_cast<double>(sysconf(_SC_PAGESIZE)), families);
    Add("process_virtual_memory_bytes", "Virtual memory size in bytes.", MetricType::Gauge,
        static_cast<double>(stat->virtual_bytes), families);
  }
  Add("process_open_fds", "Number of open file descriptors.", MetricType::Gauge, CountOpenDescriptors(), families);
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    Add("process_max_fds", "Maximum number of open file descriptors.", MetricType::Gauge,
        static_cast<double>(limit.rlim_cur), families);
  }
  return families;
}

}  // namespace tokenbroker
