#include "server/telemetry/log.h"

#include <poll.h>
#include <spdlog/async.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <utility>

#include "server/base/json_writer.h"

namespace tokenbroker {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

// Lines that wait for a reader who takes none; more push the oldest out.
constexpr std::size_t kMaxWaitingLines = 8192;
// The time that the end of the process waits for a reader.
constexpr std::chrono::milliseconds kFlushTimeout(1000);
// What can be written to a pipe that poll() calls writable without waiting (POSIX: PIPE_BUF is at least 512; Linux:
// 4096).
constexpr std::size_t kMaxWrite = 4096;
constexpr int kPollMilliseconds = 50;

spdlog::level::level_enum LevelOf(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace:
      return spdlog::level::trace;
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

constexpr char kPattern[] = R"({"time":"%Y-%m-%dT%H:%M:%S.%fZ","level":"%l",%v})";

// Writes to a descriptor, on the pool's thread alone: a reader that stops holds up that thread and nobody else. The
// descriptor stays as it is, since other processes may share it.
class DescriptorSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit DescriptorSink(int descriptor) : descriptor_(descriptor) {}

  void set_pool(spdlog::details::thread_pool* pool) { pool_ = pool; }
  // From now on a line waits no longer than until `deadline`.
  void Close(SteadyTime deadline) { deadline_ = deadline; }
  std::uint64_t dropped() const { return lost_ + pool_->overrun_counter(); }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    if (!WriteAll({line.data(), line.size()})) {
      ++lost_;
      return;
    }
    const std::uint64_t all = dropped();
    if (all == reported_) return;
    // The reader is back: what it has missed.
    const std::string payload = "\"event\":\"log lines dropped\",\"lines\":" + std::to_string(all - reported_);
    spdlog::memory_buf_t report;
    formatter_->format(spdlog::details::log_msg(message.logger_name, spdlog::level::warn, payload), report);
    if (WriteAll({report.data(), report.size()})) reported_ = all;
  }
  void flush_() override {}

 private:
  bool WriteAll(std::string_view text) {
    while (!text.empty()) {
      pollfd writable{descriptor_, POLLOUT, 0};
      const bool is_late = std::chrono::steady_clock::now() >= deadline_.load();
      const int ready = poll(&writable, 1, is_late ? 0 : kPollMilliseconds);
      if (ready == 0 && is_late) return false;
      if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
      if (ready < 0) return false;
      const ssize_t written = write(descriptor_, text.data(), std::min(text.size(), kMaxWrite));
      if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (written < 0) return false;  // A full disk, a pipe that nobody reads any more.
      text.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
  }

  const int descriptor_;
  spdlog::details::thread_pool* pool_ = nullptr;
  std::atomic<SteadyTime> deadline_ = SteadyTime::max();
  std::atomic<std::uint64_t> lost_ = 0;
  std::uint64_t reported_ = 0;
};

class AsyncLog final : public Log {
 public:
  AsyncLog(LogLevel lowest, int descriptor)
      : sink_(std::make_shared<DescriptorSink>(descriptor)),
        pool_(std::make_shared<spdlog::details::thread_pool>(kMaxWaitingLines, 1)),
        logger_(std::make_shared<spdlog::async_logger>("tokenbroker", sink_, pool_,
                                                       spdlog::async_overflow_policy::overrun_oldest)) {
    sink_->set_pool(pool_.get());
    logger_->set_level(LevelOf(lowest));
    // The message is the inside of a JSON object; the pattern puts time and level in front and closes it.
    logger_->set_pattern(kPattern, spdlog::pattern_time_type::utc);
  }
  ~AsyncLog() override {
    sink_->Close(std::chrono::steady_clock::now() + kFlushTimeout);
    logger_.reset();
    pool_.reset();  // Waits for what is queued.
  }
  AsyncLog(const AsyncLog&) = delete;
  AsyncLog& operator=(const AsyncLog&) = delete;

  bool Writes(LogLevel level) const override { return logger_->should_log(LevelOf(level)); }
  std::uint64_t dropped() const override { return sink_->dropped(); }

  void Write(LogLevel level, std::string_view event, Fields fields) override {
    if (!Writes(level)) return;
    JsonWriter json;
    json.Object([&] {
      json.Field("event", event);
      for (const LogField& field : fields) {
        std::visit([&](const auto& value) { json.Field(field.key, value); }, field.value);
      }
    });
    const std::string text = json.Take();
    logger_->log(LevelOf(level), "{}", std::string_view(text).substr(1, text.size() - 2));
  }

 private:
  const std::shared_ptr<DescriptorSink> sink_;
  std::shared_ptr<spdlog::details::thread_pool> pool_;
  std::shared_ptr<spdlog::async_logger> logger_;
};

class Nowhere final : public Log {
 public:
  bool Writes(LogLevel) const override { return false; }
  void Write(LogLevel, std::string_view, Fields) override {}
};

}  // namespace

std::unique_ptr<Log> MakeStderrLog(LogLevel lowest) { return MakeLog(lowest, STDERR_FILENO); }

std::unique_ptr<Log> MakeLog(LogLevel lowest, int descriptor) { return std::make_unique<AsyncLog>(lowest, descriptor); }

Log& NullLog() {
  static Nowhere log;
  return log;
}

}  // namespace tokenbroker
