#pragma once
// The log: one JSON object a line, with time, level, event and fields. The event is a short constant text; what varies
// goes into fields. A secret is never a field: Secret cannot become one, and nothing else may hold one.
//
//   log.Info("token created", {{"token", id}, {"caller", caller.name}, {"took_ms", took}});

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

namespace tokenbroker {

enum class LogLevel { kTrace, kDebug, kInfo, kWarn, kError };

struct LogField {
  LogField(std::string_view key, std::string_view value) : key(key), value(value) {}
  LogField(std::string_view key, const std::string& value) : key(key), value(std::string_view(value)) {}
  LogField(std::string_view key, const char* value) : key(key), value(std::string_view(value)) {}
  LogField(std::string_view key, std::int64_t value) : key(key), value(value) {}
  LogField(std::string_view key, int value) : key(key), value(std::int64_t{value}) {}
  LogField(std::string_view key, double value) : key(key), value(value) {}
  LogField(std::string_view key, bool value) : key(key), value(value) {}

  std::string_view key;
  std::variant<std::string_view, std::int64_t, double, bool> value;
};

// Thread-safe.
class Log {
 public:
  virtual ~Log() = default;

  using Fields = std::initializer_list<LogField>;
  // False if what is written at this level goes nowhere: then whatever is dear need not be put together.
  virtual bool Writes(LogLevel) const { return true; }
  virtual void Write(LogLevel level, std::string_view event, Fields fields) = 0;
  // The number of lines that were dropped because nobody took them.
  virtual std::uint64_t dropped() const { return 0; }

  void Trace(std::string_view event, Fields fields = {}) { Write(LogLevel::kTrace, event, fields); }
  void Debug(std::string_view event, Fields fields = {}) { Write(LogLevel::kDebug, event, fields); }
  void Info(std::string_view event, Fields fields = {}) { Write(LogLevel::kInfo, event, fields); }
  void Warn(std::string_view event, Fields fields = {}) { Write(LogLevel::kWarn, event, fields); }
  void Error(std::string_view event, Fields fields = {}) { Write(LogLevel::kError, event, fields); }
};

// Writes to standard error, through spdlog, on a thread that no caller waits for. A reader that stops reading, or a
// full disk, holds nothing up: at most 8192 lines wait, older ones are dropped and counted, and a line reports their
// number when the reader is back. The destructor waits a second at most for what is queued.
std::unique_ptr<Log> MakeStderrLog(LogLevel lowest);
// The same to another descriptor, which stays open.
std::unique_ptr<Log> MakeLog(LogLevel lowest, int descriptor);
// Drops everything; for tests that do not look.
Log& NullLog();

}  // namespace tokenbroker
