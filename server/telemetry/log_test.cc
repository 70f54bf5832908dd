#include "server/telemetry/log.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "server/base/secret.h"

namespace tokenbroker {
namespace {

template <typename T>
concept Loggable = requires(T value) {
  LogField("key", value);
};
static_assert(Loggable<std::string>);
static_assert(!Loggable<Secret>);

TEST(LogTest, OneJsonObjectALineWhateverIsLogged) {
  testing::internal::CaptureStderr();
  const std::unique_ptr<Log> log = MakeStderrLog(LogLevel::kInfo);
  log->Debug("not shown");
  log->Info("token made", {{"token", "x\n\"y\xff"}, {"n", 3}, {"rate", 0.5}, {"yes", true}});
  log->Error("plain");
  const std::string output = testing::internal::GetCapturedStderr();
  std::istringstream lines(output);
  std::vector<nlohmann::json> parsed;
  for (std::string line; std::getline(lines, line);) parsed.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(parsed.size(), 2u) << output;
  EXPECT_EQ(parsed[0]["level"], "info");
  EXPECT_EQ(parsed[0]["event"], "token made");
  EXPECT_EQ(parsed[0]["n"], 3);
  EXPECT_EQ(parsed[0]["token"], "x\n\"y\xef\xbf\xbd");
  EXPECT_EQ(parsed[0]["time"].get<std::string>().size(), std::string("2026-11-25T06:53:14.000000Z").size());
  EXPECT_EQ(parsed[1]["level"], "error");
}

}  // namespace
}  // namespace tokenbroker
