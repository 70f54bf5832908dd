// How late tokens die, over 100,000 of them under the test's clock: an hour in which they expire evenly, then a burst
// of them in one second. GitLab takes its time for each DELETE and each list, which with the slots is the pace
// that nothing can exceed.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "server/broker/broker_fixture.h"
#include "server/ledger/filled_ledger.h"
#include "server/ledger/stored_rows.h"
#include "server/telemetry/metrics_page.h"

namespace tokenbroker {
namespace {

constexpr int kSpread = 90'000;
constexpr int kBurst = 10'000;
constexpr Duration kSpreadOver = hours(1);
constexpr Duration kBurstAt = hours(2);
constexpr Duration kDeleteTakes = milliseconds(50);
constexpr Duration kListTakes = milliseconds(50);  // Of the descendants, after each DELETE.
constexpr int kSlots = 64;                         // BrokerTest's.
constexpr int kUsers = 8;                          // One target may have a quarter of them.

// Several in each second, as callers make them: by the whole minute or hour.
Duration ExpiresAfter(int i) {
  if (i >= kSpread) return kBurstAt;
  return seconds(1) * (kSpreadOver / seconds(1) * std::int64_t{i} / kSpread);
}

class ExpiryLagTest : public BrokerTest {
 protected:
  ExpiryLagTest() {
    broker_.reset();
    ledger_.reset();
    std::filesystem::remove_all(std::filesystem::path(path_).parent_path());
    std::filesystem::create_directory(std::filesystem::path(path_).parent_path());
    began_ = loop_.Now() + minutes(1);
    LedgerFilling filling;
    filling.owner = "ci";
    filling.tokens = kSpread + kBurst;
    filling.active_every = 1;
    filling.now = began_;
    filling.active_for = ExpiresAfter;
    filling.users = kUsers;
    for (int i = 1; i < kUsers; ++i) gitlab_.AddUser(42 + i, "user-" + std::to_string(42 + i));
    EXPECT_EQ(WriteFilledLedger(path_, "tb1", filling), absl::OkStatus());
    const absl::StatusOr<std::vector<TokenRecord>> rows = ReadStoredRows(path_, "");
    EXPECT_EQ(rows.status(), absl::OkStatus());
    for (const TokenRecord& row : *rows) {
      UpstreamToken token;
      token.id = row.token.upstream_id;
      token.user_id = row.token.upstream_user_id;
      token.name = row.token.upstream_name;
      token.created_at = row.token.create_time;
      token.expires_at = DateOf(began_) + std::chrono::days(2);
      gitlab_.AddToken(std::move(token));
    }
    gitlab_.set_delete_takes(kDeleteTakes, [this](std::int64_t token_id) {
      const int i = static_cast<int>(token_id - FilledUpstreamId(0));
      lags_.push_back(loop_.Now() - (began_ + ExpiresAfter(i)));
    });
    gitlab_.set_list_takes(kListTakes);
    reconcile_calls_per_minute_ = 1;  // GitLab's fake lists 100,000 tokens at a price.
    Restart();
    flush_runs_ = Flush();
  }

  // Goes from timer to timer, doing at each instant all that there is to do, so that the ledger's disk takes no time.
  void PassExactly(WallTime until) {
    for (;;) {
      while (Flush() != flush_runs_) {
      }
      const Duration left = until - loop_.Now();
      if (left <= Duration(0)) return;
      const std::optional<BootTime> next = loop_.EarliestTimer();
      loop_.Advance(next.has_value() ? std::min<Duration>(left, *next - loop_.Boot()) : left);
    }
  }

  // The lags, shortest first, since the last time; from expiry to GitLab's having carried out the DELETE.
  std::vector<Duration> TakeLags() {
    std::vector<Duration> lags = std::exchange(lags_, {});
    std::sort(lags.begin(), lags.end());
    return lags;
  }

  // Of tokenbroker_revocation_lag_seconds: how many had at most this lag, "2" or "+Inf".
  int HistogramUpTo(const std::string& bound) {
    const std::string page = MetricsPage(metrics_);
    const std::string key = "tokenbroker_revocation_lag_seconds_bucket{le=\"" + bound + "\"} ";
    const std::size_t at = page.find(key);
    return at == std::string::npos ? -1 : std::stoi(page.substr(at + key.size()));
  }

  // For people.
  void PrintHistogram(const std::string& title) {
    std::printf("%s\n", title.c_str());
    std::istringstream page(MetricsPage(metrics_));
    for (std::string line; std::getline(page, line);) {
      if (line.starts_with("tokenbroker_revocation_lag_seconds")) std::printf("  %s\n", line.c_str());
    }
  }

  WallTime began_;

 private:
  // A round trip through both of the ledger's threads: what was asked before is answered. How much ran meanwhile: that
  // is a constant if there was nothing but this.
  std::uint64_t Flush() {
    const std::uint64_t before = loop_.ran();
    (void)loop_.Finish(ledger_->Abandon("none", ""));
    (void)loop_.Finish(ledger_->Get("none"));
    return loop_.ran() - before;
  }

  std::uint64_t flush_runs_ = 0;
  std::vector<Duration> lags_;
};

TEST_F(ExpiryLagTest, IsShortWhileThePaceAllowsAndElseBoundedByThePaceAlone) {
  StartJobs();
  PassExactly(began_ + kSpreadOver + minutes(1));
  std::vector<Duration> lags = TakeLags();
  ASSERT_EQ(lags.size(), std::size_t{kSpread});
  EXPECT_GE(lags.front(), Duration(0));
  EXPECT_LE(lags[lags.size() * 999 / 1000], seconds(2));
  EXPECT_EQ(HistogramUpTo("+Inf"), kSpread);
  EXPECT_GE(HistogramUpTo("2"), kSpread / 1000 * 999);
  PrintHistogram("90,000 tokens over an hour:");

  // So long GitLab takes for all of them, 64 at a time.
  const Duration at_best = (kDeleteTakes + kListTakes) * ((kBurst + kSlots - 1) / kSlots);
  PassExactly(began_ + kBurstAt + at_best + minutes(1));
  lags = TakeLags();
  ASSERT_EQ(lags.size(), std::size_t{kBurst});
  EXPECT_GE(lags.front(), Duration(0));
  EXPECT_LE(lags.back(), at_best + seconds(1));
  PrintHistogram("and 10,000 in one second:");
  EXPECT_EQ(HistogramUpTo("+Inf"), kSpread + kBurst);
  EXPECT_TRUE(gitlab_.live().empty());
}

}  // namespace
}  // namespace tokenbroker
