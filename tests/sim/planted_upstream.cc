// Planted faults on the way to GitLab that stop more than the target that is in trouble.

#include "tests/sim/planted_upstream.h"

#include <deque>
#include <set>
#include <utility>

#include "server/base/event.h"
#include "server/domain/marker.h"
#include "tests/support/forwarding.h"

namespace tokenbroker::sim {
namespace {

// Two requests at a time, whoever's and for whatever target, first come, first served.
class OneQueue final : public ForwardingGitLab {
 public:
  OneQueue(std::unique_ptr<GitLab> real, Executor& executor, Clock& clock)
      : ForwardingGitLab(std::move(real)), executor_(executor), clock_(clock) {}

  Task<Ended<Minted>> Mint(CallContext call, DurableIntent intent, MintSpec spec) override {
    co_await Enter();
    Ended<Minted> end = co_await real().Mint(std::move(call), std::move(intent), std::move(spec));
    Leave();
    co_return end;
  }
  Task<Ended<Deleted>> Revoke(CallContext call, UpstreamRef ref) override {
    co_await Enter();
    Ended<Deleted> end = co_await real().Revoke(std::move(call), std::move(ref));
    Leave();
    co_return end;
  }
  Task<absl::StatusOr<std::optional<UpstreamToken>>> GetToken(CallContext call, UpstreamRef ref) override {
    co_await Enter();
    absl::StatusOr<std::optional<UpstreamToken>> token = co_await real().GetToken(std::move(call), std::move(ref));
    Leave();
    co_return token;
  }
  Task<absl::StatusOr<TargetFacts>> Resolve(CallContext call, Target target) override {
    co_await Enter();
    absl::StatusOr<TargetFacts> facts = co_await real().Resolve(std::move(call), std::move(target));
    Leave();
    co_return facts;
  }

 private:
  static constexpr int kAtATime = 2;

  Task<void> Enter() {
    if (under_way_ < kAtATime) {
      ++under_way_;
      co_return;
    }
    const Event turn(executor_);
    waiting_.push_back(turn);
    co_await turn.Wait(clock_, kNever);
  }
  void Leave() {
    if (waiting_.empty()) {
      --under_way_;
      return;
    }
    waiting_.front().Set();
    waiting_.pop_front();
  }

  Executor& executor_;
  Clock& clock_;
  int under_way_ = 0;
  std::deque<Event> waiting_;
};

// Once the reconciler's list of one target has failed, so does all else that its walks ask for an hour, as if each walk
// ended there and the next one began with the same target.
class OneFailureEndsWalks final : public ForwardingGitLab {
 public:
  OneFailureEndsWalks(std::unique_ptr<GitLab> real, Clock& clock) : ForwardingGitLab(std::move(real)), clock_(clock) {}

  Task<absl::StatusOr<std::vector<UpstreamToken>>> ListTokens(CallContext call, UpstreamQuery query) override {
    const bool of_a_walk = !query.whole_instance && query.user_id == 0 && query.search.ends_with(':');
    if (of_a_walk && clock_.Boot() < ended_until_) co_return absl::UnavailableError("planted");
    absl::StatusOr<std::vector<UpstreamToken>> list = co_await real().ListTokens(std::move(call), std::move(query));
    if (of_a_walk && absl::IsUnavailable(list.status())) ended_until_ = clock_.Boot() + hours(1);
    co_return list;
  }
  Task<Ended<Deleted>> Revoke(CallContext call, UpstreamRef ref) override {
    ending_.insert(ref.token_id);
    return real().Revoke(std::move(call), std::move(ref));
  }
  Task<absl::StatusOr<std::optional<UpstreamToken>>> GetToken(CallContext call, UpstreamRef ref) override {
    const bool of_a_walk = !ending_.contains(ref.token_id);
    if (of_a_walk && clock_.Boot() < ended_until_) co_return absl::UnavailableError("planted");
    co_return co_await real().GetToken(std::move(call), std::move(ref));
  }

 private:
  Clock& clock_;
  BootTime ended_until_{};
  std::set<std::int64_t> ending_;
};

}  // namespace

std::unique_ptr<GitLab> PlantOneQueue(std::unique_ptr<GitLab> real, Executor& executor, Clock& clock) {
  return std::make_unique<OneQueue>(std::move(real), executor, clock);
}

std::unique_ptr<GitLab> PlantOneFailureEndsWalks(std::unique_ptr<GitLab> real, Clock& clock) {
  return std::make_unique<OneFailureEndsWalks>(std::move(real), clock);
}

}  // namespace tokenbroker::sim
