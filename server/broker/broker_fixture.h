#pragma once
// Testonly: a broker on one thread under the test's own clock, over a real SQLite ledger and a GitLab in memory.

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/base/agreed_clock.h"
#include "server/base/error.h"
#include "server/base/manual_loop.h"
#include "server/base/random.h"
#include "server/broker/broker.h"
#include "server/gitlab/fake_gitlab.h"
#include "server/gitlab/slots.h"
#include "server/ledger/faulty_ledger.h"
#include "server/ledger/sqlite_ledger.h"

namespace tokenbroker {

class FixedPolicy final : public PolicySource {
 public:
  explicit FixedPolicy(std::shared_ptr<const Policy> policy) : policy_(std::move(policy)) {}
  std::shared_ptr<const Policy> Current() const override { return policy_; }
  void Set(std::shared_ptr<const Policy> policy) { policy_ = std::move(policy); }

 private:
  std::shared_ptr<const Policy> policy_;
};

// Caller "ci" may have tokens of user 42 and of projects acme/*; caller "other" nothing; caller "warden" may read and
// revoke others' tokens there and administer the broker. User 42 is "demo", project 7 is "acme/payments".
class BrokerTest : public testing::Test {
 protected:
  // `agreed_clock`: the broker lives by an AgreedClock over the test's clock, as it does in a process.
  explicit BrokerTest(bool agreed_clock = false);
  ~BrokerTest() override;

  // Another process start over the same ledger.
  void Restart();
  // Its two halves: between them nobody uses the ledger's file.
  void Stop();
  void Open();
  void StartJobs();

  absl::StatusOr<Created> Create(const CreateRequest& request, CallContext call = {});
  absl::StatusOr<Token> Get(const TokenId& id, const std::string& caller = "ci");
  absl::StatusOr<Token> Revoke(const TokenId& id, const std::string& caller = "ci", CallContext call = {});
  // Lets `by` pass in steps of at most `step`, with all that the ledger's thread does in between.
  void Pass(Duration by, Duration step = seconds(1));
  // Runs until nothing is in work any more.
  void Settle();

  static CreateRequest UserToken();
  static CreateRequest ProjectToken();
  static Caller CallerNamed(const std::string& name) { return {name, "spiffe://test/" + name}; }

  TokenState StateOf(const TokenId& id) { return Get(id)->state; }
  // The only token of `ci`.
  Token OnlyToken();

  ManualLoop loop_;
  std::unique_ptr<AgreedClock> agreed_clock_;
  SystemRandom random_;
  Metrics metrics_;
  FakeGitLab gitlab_{loop_};
  std::string path_;
  std::string vfs_;  // SQLite's name of the file system; empty: the machine's. For the next Open.
  std::optional<Slots> slots_;
  std::optional<FixedPolicy> policies_;
  std::unique_ptr<Ledger> ledger_;
  std::optional<FaultyLedger> faulty_;  // What the broker sees of it.
  std::unique_ptr<Broker> broker_;
  Duration settle_ = minutes(10);
  int reconcile_calls_per_minute_ = 60;
  int permits_ = 64;
};

}  // namespace tokenbroker
