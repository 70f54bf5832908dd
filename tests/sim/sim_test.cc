// The promises hold in some thousands of worlds; a seed is one world, to the byte; and a broker with a planted fault is
// found out.

#include <gtest/gtest.h>

#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include "server/base/time_text.h"
#include "tests/sim/invariants.h"
#include "tests/sim/world.h"

namespace tokenbroker::sim {
namespace {

std::string Join(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  return text;
}

TEST(Sim, ThePromisesHold) {
  Lab lab;
  std::set<std::string> reached;
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    const RunResult result = RunOnce(lab, seed, Plant::kNone, /*with_trace=*/false);
    ASSERT_TRUE(result.wrong.empty()) << "seed " << seed << ":\n" << Join(result.wrong);
    reached.insert(result.reached.begin(), result.reached.end());
  }
  // The worlds are wide enough to mean something.
  for (const char* state : {"ACTIVE ", "EXPIRED TTL", "ABANDONED ", "REVOKED REQUESTED", "REVOKED ORPHAN",
                            "REVOKED LATE_REPLY", "REVOKED SUPERSEDED", "REVOKED CALLER_GONE", "REVOKED MISMATCH",
                            "PENDING PENDING ", "PENDING REVOKING REQUESTED"}) {
    EXPECT_TRUE(reached.contains(state)) << state;
  }
  for (const char* answer : {"OK", "UPSTREAM_OUTCOME_UNKNOWN", "CREATE_IN_PROGRESS", "TOKEN_EXISTS",
                             "LEDGER_UNAVAILABLE", "UPSTREAM_TOO_LATE", "UPSTREAM_MISMATCH", "QUOTA_EXCEEDED",
                             "RATE_EXCEEDED", "UPSTREAM_RATE_LIMITED", "TARGET_MOVED", "CLOCK_SKEW"}) {
    EXPECT_TRUE(reached.contains(answer)) << answer;
  }
}

TEST(Sim, AnEndBeforeItsTimeIsFoundInTheAudit) {
  const std::string body = R"({"from":"ACTIVE","to":"REVOKING","reason":"TTL","expire_time":"2025-11-24T16:01:18.5Z"})";
  const WallTime end = *ParseRfc3339("2025-11-24T16:01:18.5Z");
  EXPECT_TRUE(EndedTooEarly({{end, "token.revoking", "a", "ci", body}}).empty());
  EXPECT_EQ(EndedTooEarly({{end - Duration(1), "token.revoking", "a", "ci", body}}).size(), 1u);
  EXPECT_EQ(EndedTooEarly({{end, "token.revoking", "a", "ci", R"({"reason":"TTL"})"}}).size(), 1u);
  EXPECT_TRUE(EndedTooEarly({{end - Duration(1), "token.revoking", "a", "ci", R"({"reason":"REQUESTED"})"}}).empty());
}

TEST(Sim, TheSameSeedIsTheSameWorld) {
  Lab one;
  Lab other;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const std::string trace = RunOnce(one, seed, Plant::kNone, /*with_trace=*/true).trace;
    EXPECT_FALSE(trace.empty());
    ASSERT_EQ(trace, RunOnce(other, seed, Plant::kNone, /*with_trace=*/true).trace) << "seed " << seed;
  }
}

class PlantedTest : public testing::TestWithParam<std::pair<Plant, std::string_view>> {};

// What the fault needs beside what every run draws.
Also AlsoFor(Plant plant) {
  Also also;
  also.load = plant == Plant::kOneQueue;
  return also;
}

TEST_P(PlantedTest, IsFound) {
  Lab lab;
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    const Also also = AlsoFor(GetParam().first);
    if (RunOnce(lab, seed, GetParam().first, /*with_trace=*/false, also).wrong.empty()) continue;
    std::printf("%s: found after %d seeds\n", std::string(GetParam().second).c_str(), static_cast<int>(seed));
    return;
  }
  FAIL() << GetParam().second << " went unnoticed";
}

INSTANTIATE_TEST_SUITE_P(Faults, PlantedTest, testing::ValuesIn(Plants()), [](const auto& info) {
  std::string name(info.param.second);
  std::erase(name, '-');
  return name;
});

}  // namespace
}  // namespace tokenbroker::sim
