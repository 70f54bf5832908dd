#include "server/telemetry/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "server/base/json_writer.h"

namespace tokenbroker {
namespace {

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

class SpdLog final : public Log {
 public:
  explicit SpdLog(LogLevel lowest) : logger_("tokenbroker", std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
    logger_.set_level(LevelOf(lowest));
    // The message is the inside of a JSON object; the pattern puts time and level in front and closes it.
    logger_.set_pattern(R"({"time":"%Y-%m-%dT%H:%M:%S.%fZ","level":"%l",%v})", spdlog::pattern_time_type::utc);
    logger_.flush_on(spdlog::level::trace);
  }

  bool Writes(LogLevel level) const override { return logger_.should_log(LevelOf(level)); }

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
    logger_.log(LevelOf(level), "{}", std::string_view(text).substr(1, text.size() - 2));
  }

 private:
  spdlog::logger logger_;
};

class Nowhere final : public Log {
 public:
  bool Writes(LogLevel) const override { return false; }
  void Write(LogLevel, std::string_view, Fields) override {}
};

}  // namespace

std::unique_ptr<Log> MakeStderrLog(LogLevel lowest) { return std::make_unique<SpdLog>(lowest); }

Log& NullLog() {
  static Nowhere log;
  return log;
}

}  // namespace tokenbroker
