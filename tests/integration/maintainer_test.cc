// A broker whose GitLab credential is that of a project's Maintainer: no settings, no administrator's routes.

#include <gtest/gtest.h>

#include "client/call_error.h"
#include "server/base/time_text.h"
#include "tests/integration/broker_process.h"

namespace tokenbroker {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

class MaintainerBrokerTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const gitlab_sim::TokenView& each : house_.gitlab().Tokens()) {
      if (each.name == "broker") root_ = each.user_id;
    }
    house_.gitlab().SetAdmin(root_, false);
    house_.gitlab().AddProjectMember(house_.project(), root_, 40);
    const std::string ttl = "max_ttl: 8h";
    house_.policy().replace(house_.policy().find(ttl), ttl.size(), "max_ttl: 400d");
    ASSERT_TRUE(house_.StartBroker()) << house_.output();
    client_ = house_.Client();
  }

  absl::StatusOr<CreatedToken> Create(const v1::Token& token) { return client_->Create(token, {}, Soon()); }
  static Deadline Soon() { return DeadlineIn(seconds(20)); }
  std::vector<gitlab_sim::TokenView> LiveMarked() {
    std::vector<gitlab_sim::TokenView> live = house_.gitlab().LiveTokens();
    std::erase_if(live, [](const auto& each) { return each.name.find("[tb:test:") == std::string::npos; });
    return live;
  }

  House house_;
  std::int64_t root_ = 0;
  std::unique_ptr<TokenClient> client_;
};

// Its bot leaves the project, whose route then answers 404 for a live token. The operator makes the credential an
// administrator's, and the token must end, not only its row.
TEST_F(MaintainerBrokerTest, ATokenWhoseBotLeftItsProjectIsRevokedOnceAnAdministratorSeesIt) {
  const absl::StatusOr<CreatedToken> created = Create(ProjectTokenSpec("acme/payments"));
  ASSERT_TRUE(created.ok()) << created.status();
  ASSERT_EQ(LiveMarked().size(), 1u);
  house_.gitlab().RemoveProjectMember(house_.project(), LiveMarked()[0].user_id);
  const absl::StatusOr<v1::Token> revoking = client_->Revoke(created->token.name(), Soon());
  ASSERT_TRUE(revoking.ok()) << revoking.status();
  EXPECT_EQ(revoking->state(), v1::TOKEN_STATE_REVOKING);
  EXPECT_EQ(LiveMarked().size(), 1u);

  house_.gitlab().SetAdmin(root_, true);
  const auto is_revoked = [&] {
    const absl::StatusOr<v1::Token> token = client_->Get(created->token.name(), Soon());
    return token.ok() && token->state() == v1::TOKEN_STATE_REVOKED;
  };
  EXPECT_TRUE(Eventually(is_revoked, seconds(60)));
  EXPECT_TRUE(LiveMarked().empty());
}

// The broker's hour of reserve goes past the longest life that GitLab allows, which it cannot read.
TEST_F(MaintainerBrokerTest, TheLongestLifeIsLearnedFromARejection) {
  v1::Token token = ProjectTokenSpec("acme/payments");
  const std::chrono::microseconds now = house_.gitlab().Now().time_since_epoch();
  const Date last = DateOf(FromMicros(now.count())) + std::chrono::days(365);
  token.mutable_expire_time()->set_seconds(MicrosOf(MidnightOf(last) - minutes(30)) / 1'000'000);
  const absl::Status rejected = Create(token).status();
  EXPECT_EQ(rejected.code(), absl::StatusCode::kInvalidArgument) << rejected;
  EXPECT_EQ(CallErrorOf(rejected).reason, "EXPIRATION_TOO_FAR");
  EXPECT_NE(rejected.message().find("longest ttl"), std::string::npos) << rejected;
  EXPECT_EQ(house_.gitlab().CountRequests("POST", "/access_tokens$"), 1);

  const absl::StatusOr<CreatedToken> created = Create(token);
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_EQ(created->token.expire_time().seconds(), token.expire_time().seconds());
  EXPECT_EQ(created->token.upstream().expire_date(), FormatDate(last));
  EXPECT_EQ(house_.gitlab().CountRequests("POST", "/access_tokens$"), 2);
}

}  // namespace
}  // namespace tokenbroker
