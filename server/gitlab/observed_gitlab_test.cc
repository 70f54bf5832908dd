#include "server/gitlab/observed_gitlab.h"

#include <gtest/gtest.h>

#include <utility>

#include "server/base/error.h"
#include "server/base/manual_loop.h"
#include "server/gitlab/fake_gitlab.h"

namespace tokenbroker {
namespace {

// Every read of a token ends with `status`.
class OneEndGitLab final : public GitLab {
 public:
  explicit OneEndGitLab(GitLab& others) : others_(others) {}
  absl::Status status;

  Task<Ended<Minted>> Mint(CallContext call, DurableIntent intent, MintSpec spec) override {
    return others_.Mint(std::move(call), std::move(intent), std::move(spec));
  }
  Task<Ended<Deleted>> Revoke(CallContext call, UpstreamRef ref) override {
    return others_.Revoke(std::move(call), std::move(ref));
  }
  Task<absl::StatusOr<std::optional<UpstreamToken>>> GetToken(CallContext, UpstreamRef) override {
    if (!status.ok()) co_return status;
    co_return std::optional<UpstreamToken>();
  }
  Task<absl::StatusOr<bool>> ConfirmNotFound(CallContext call, UpstreamRef ref) override {
    return others_.ConfirmNotFound(std::move(call), std::move(ref));
  }
  Task<absl::StatusOr<std::vector<UpstreamToken>>> ListTokens(CallContext call, UpstreamQuery query) override {
    return others_.ListTokens(std::move(call), std::move(query));
  }
  Task<absl::StatusOr<TargetFacts>> Resolve(CallContext call, Target target) override {
    return others_.Resolve(std::move(call), std::move(target));
  }
  Task<absl::StatusOr<ResolvedTarget>> TargetOf(CallContext call, std::string instance, std::int64_t id) override {
    return others_.TargetOf(std::move(call), std::move(instance), id);
  }
  Task<absl::StatusOr<IssuerFacts>> CheckIssuer(CallContext call) override {
    return others_.CheckIssuer(std::move(call));
  }
  std::optional<UpstreamTime> Time() const override { return others_.Time(); }

 private:
  GitLab& others_;
};

class ObservedGitLabTest : public testing::Test {
 protected:
  // Reads tokens of ten projects, each of which ends so.
  void Read(const absl::Status& status) {
    real_.status = status;
    for (int project = 1; project <= 10; ++project) {
      UpstreamRef ref;
      ref.target = {"main", TargetKind::kProject, project, "acme/p"};
      EXPECT_EQ(loop_.Finish(observed_.GetToken({}, std::move(ref))).status(), status);
    }
  }
  bool IsOpen() const { return slots_.IsHeldBack("project:99"); }

  ManualLoop loop_;
  Metrics metrics_;
  Slots slots_{loop_, loop_, metrics_, 64};
  FakeGitLab fake_{loop_};
  OneEndGitLab real_{fake_};
  ObservedGitLab observed_{real_, slots_, loop_, NullLog()};
};

absl::Status Failure(absl::StatusCode code, std::string_view reason) { return Error(code, reason, "as told"); }

TEST_F(ObservedGitLabTest, WhatHasNoResponseOpensTheCircuit) {
  Read(Failure(absl::StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE"));
  EXPECT_TRUE(IsOpen());
}

TEST_F(ObservedGitLabTest, WhatWasNotSentShowsNothing) {
  Read(Failure(absl::StatusCode::kUnavailable, "UPSTREAM_BUSY"));
  EXPECT_FALSE(IsOpen());
  Read(Failure(absl::StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE"));
  Read(Failure(absl::StatusCode::kUnavailable, "UPSTREAM_BUSY"));
  EXPECT_TRUE(IsOpen());
}

// Whatever GitLab says, it responds: also that the credential is revoked.
TEST_F(ObservedGitLabTest, EveryResponseClosesTheCircuit) {
  const absl::Status responses[] = {absl::OkStatus(),
                                    Failure(absl::StatusCode::kResourceExhausted, "UPSTREAM_RATE_LIMITED"),
                                    Failure(absl::StatusCode::kInvalidArgument, "UPSTREAM_INVALID"),
                                    Failure(absl::StatusCode::kNotFound, "UPSTREAM_NOT_FOUND"),
                                    Failure(absl::StatusCode::kFailedPrecondition, "ISSUER_NOT_ALLOWED"),
                                    Failure(absl::StatusCode::kUnavailable, "ISSUER_DEAD"),
                                    Failure(absl::StatusCode::kFailedPrecondition, "TARGET_MOVED")};
  for (const absl::Status& response : responses) {
    Read(Failure(absl::StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE"));
    ASSERT_TRUE(IsOpen());
    Read(response);
    EXPECT_FALSE(IsOpen()) << response;
  }
}

}  // namespace
}  // namespace tokenbroker
