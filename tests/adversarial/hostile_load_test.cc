// Neighbours that are known: a log whose reader has stopped, a caller at its limits, and a large policy that is
// replaced under load.

#include <atomic>
#include <thread>
#include <vector>

#include "tests/adversarial/hostile_fixture.h"

namespace tokenbroker {
namespace {

// Calls CreateToken as caller "other" on so many threads, until it is destroyed.
class BusyCaller {
 public:
  BusyCaller(House& house, int threads) : client_(house.Client("spiffe://test/other")) {
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this, user = house.demo_user()] {
        while (!stops_) {
          const bool made = client_->Create(UserTokenSpec(user), {}, DeadlineIn(std::chrono::seconds(20))).ok();
          ++(made ? made_ : failed_);
        }
      });
    }
  }
  ~BusyCaller() {
    stops_ = true;
    for (std::thread& each : threads_) each.join();
  }
  BusyCaller(const BusyCaller&) = delete;
  BusyCaller& operator=(const BusyCaller&) = delete;

  int made() const { return made_; }
  int failed() const { return failed_; }

 private:
  const std::unique_ptr<TokenClient> client_;
  std::atomic<bool> stops_ = false;
  std::atomic<int> made_ = 0;
  std::atomic<int> failed_ = 0;
  std::vector<std::thread> threads_;
};

class StoppedLogReaderTest : public HostilePeersTest {
 protected:
  // Its reader takes the first thirty lines, and keeps the pipe open for a minute.
  StoppedLogReaderTest() {
    house_.EditConfig("level: info", "level: trace");
    house_.command()[2] =
        "ulimit -n 1024; exec " + std::string(std::getenv("TOKENBROKERD")) + " \"$@\" 2> >(sed -u 30q; exec sleep 60)";
  }
};

TEST_F(StoppedLogReaderTest, HoldsNothingUp) {
  const std::string dropped = "tokenbroker_log_lines_dropped_total ";
  {
    const BusyCaller busy(house_, 8);
    ASSERT_TRUE(Eventually(
        [&] {
          const std::string page = house_.Fetch("/metrics");
          const std::size_t at = page.find("\n" + dropped);
          return at != std::string::npos && page[at + 1 + dropped.size()] != '0';
        },
        std::chrono::seconds(60)));
  }
  ExpectABoundedCost("a log whose reader has stopped");
}

class QuotaTest : public HostilePeersTest {
 protected:
  QuotaTest() {
    // A role of its own for each, the second with a quota.
    std::string& policy = house_.policy();
    const std::size_t begin = policy.find("  integrator:\n");
    const std::size_t end = policy.find("bindings:\n");
    std::string bounded = policy.substr(begin, end - begin) + "      max_active: 100\n";
    bounded.replace(0, std::string("  integrator:").size(), "  bounded:");
    policy.insert(end, bounded);
    const std::string both = "  - callers: [demo, other]\n    roles: [integrator]\n";
    policy.replace(policy.find(both), both.size(),
                   "  - callers: [demo]\n    roles: [integrator]\n  - callers: [other]\n    roles: [bounded]\n");
  }
};

TEST_F(QuotaTest, ACallerAtItsLimits) {
  const BusyCaller busy(house_, 300);
  ASSERT_TRUE(Eventually([&] { return busy.made() >= 100 && busy.failed() >= 1000; }, std::chrono::seconds(60)));
  ExpectABoundedCost("a caller with 300 calls at a time and none of its quota left");
}

class LargePolicyTest : public HostilePeersTest {
 protected:
  LargePolicyTest() {
    std::string callers = "callers:\n";
    for (int i = 0; i < 4094; ++i) {
      const std::string name = "service" + std::to_string(i);
      callers += "  - name: " + name + "-{team}\n    identities:\n      - spiffe: spiffe://test/" + name + "/{team}\n";
    }
    house_.policy().replace(0, std::string("callers:\n").size(), callers);
  }
};

TEST_F(LargePolicyTest, IsReplacedUnderLoad) {
  const BusyCaller busy(house_, 4);
  Meanwhile meanwhile([&](std::size_t number) {
    WriteFileOrDie(house_.path("policy.yaml"), house_.policy() + "# " + std::to_string(number) + "\n");
    return std::chrono::milliseconds(500);
  });
  meanwhile.UntilRounds(10);
  ExpectABoundedCost("4,096 callers whose policy is replaced twice a second under load");
}

}  // namespace
}  // namespace tokenbroker
