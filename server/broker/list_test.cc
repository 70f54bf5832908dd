// Lists as callers get them: whose tokens they hold, and that they tell nothing of the others.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "server/broker/broker_fixture.h"

namespace tokenbroker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ListTest : public BrokerTest {
 protected:
  TokenId Make(const CreateRequest& request) {
    const absl::StatusOr<Created> created = Create(request);
    EXPECT_EQ(created.status(), absl::OkStatus());
    loop_.Advance(milliseconds(5));
    return created.ok() ? created->token.id : "";
  }
  absl::StatusOr<ListPage> List(const std::string& caller, const ListRequest& request) {
    return loop_.Finish(broker_->List(CallerNamed(caller), request));
  }
  // All pages; `pages` counts them.
  std::vector<TokenId> All(const std::string& caller, ListRequest request, int* pages = nullptr) {
    std::vector<TokenId> ids;
    for (int page = 1; page < 1000; ++page) {
      const absl::StatusOr<ListPage> got = List(caller, request);
      EXPECT_EQ(got.status(), absl::OkStatus());
      if (!got.ok()) return ids;
      for (const Token& token : got->tokens) ids.push_back(token.id);
      request.page_token = got->next_page_token;
      if (pages != nullptr) *pages = page;
      if (request.page_token.empty()) return ids;
    }
    ADD_FAILURE() << "pages without an end";
    return ids;
  }
  static ListRequest Filter(const std::string& filter, const std::string& order_by = "") {
    ListRequest request;
    request.filter = filter;
    request.order_by = order_by;
    return request;
  }
  // A row of `owner`'s, straight into the ledger.
  TokenId Row(const std::string& owner, const ResolvedTarget& target) {
    IntentSpec spec;
    spec.token.id = MakeSortableId(loop_.Now(), random_);
    spec.token.owner = owner;
    spec.token.display_name = "x";
    spec.token.target = target;
    spec.token.scopes = {"read_api"};
    spec.token.upstream_name = "x";
    spec.ttl = hours(1);
    const TokenId id = spec.token.id;
    EXPECT_EQ(loop_.Finish(ledger_->Begin(std::move(spec))).status(), absl::OkStatus());
    return id;
  }

  const ResolvedTarget granted_ = {"main", TargetKind::kUser, 42, "demo"};            // To "warden".
  const ResolvedTarget hidden_ = {"main", TargetKind::kProject, 7, "acme/payments"};  // From it.
};

TEST_F(ListTest, FiltersAndOrders) {
  const TokenId user = Make(UserToken());
  CreateRequest longer = ProjectToken();
  longer.ttl = hours(2);
  longer.labels = {{"team", "blue"}};
  const TokenId project = Make(longer);
  const TokenId last = Make(UserToken());
  EXPECT_THAT(All("ci", Filter("")), ElementsAre(last, project, user));
  EXPECT_THAT(All("ci", Filter("", "create_time")), ElementsAre(user, project, last));
  EXPECT_THAT(All("ci", Filter("", "expire_time desc")), ElementsAre(project, last, user));
  EXPECT_THAT(All("ci", Filter("target=\"project:ACME/payments\"")), ElementsAre(project));
  EXPECT_THAT(All("ci", Filter("scopes:read_user AND state=ACTIVE")), ElementsAre(last, user));
  EXPECT_THAT(All("ci", Filter("labels.team=blue")), ElementsAre(project));
  EXPECT_THAT(All("ci", Filter("state=REVOKING")), IsEmpty());
  EXPECT_THAT(All("ci", Filter("owner=callers/ci")), ElementsAre(last, project, user));
}

TEST_F(ListTest, ClosedTokensAreShownOnlyIfAskedFor) {
  const TokenId id = Make(UserToken());
  ASSERT_EQ(Revoke(id)->state, TokenState::kRevoked);
  ListRequest request = Filter("state=REVOKED");
  EXPECT_THAT(All("ci", request), IsEmpty());
  request.show_closed = true;
  EXPECT_THAT(All("ci", request), ElementsAre(id));
}

TEST_F(ListTest, ABadFilterOrOrderIsNamed) {
  const absl::Status filter = List("ci", Filter("stat=ACTIVE")).status();
  EXPECT_EQ(ReasonOf(filter), "FIELD_INVALID");
  EXPECT_THAT(std::string(filter.message()), HasSubstr("did you mean \"state\"?"));
  EXPECT_EQ(FieldsOf(List("ci", Filter("", "owner")).status()).at(0).field, "order_by");
}

TEST_F(ListTest, OthersTokensAreThereByGrantAlone) {
  const TokenId granted = Row("ci", granted_);
  Row("ci", hidden_);
  const TokenId own = Row("warden", hidden_);
  EXPECT_THAT(All("warden", Filter("")), testing::UnorderedElementsAre(granted, own));
  EXPECT_THAT(All("warden", Filter("owner=callers/ci")), ElementsAre(granted));
  EXPECT_THAT(All("warden", Filter("owner=warden")), ElementsAre(own));
  EXPECT_THAT(All("warden", Filter("target=project:7")), ElementsAre(own));
  EXPECT_THAT(All("other", Filter("")), IsEmpty());
  EXPECT_THAT(All("other", Filter("owner=ci")), IsEmpty());
  policies_->Set(Policy::DenyAll());
  EXPECT_THAT(All("warden", Filter("")), ElementsAre(own));
}

// The same bytes whether the tokens are there or not.
TEST_F(ListTest, WhatMayNotBeReadLeavesNoTrace) {
  const std::vector<TokenId> mine = {Row("warden", granted_), Row("ci", granted_)};
  std::vector<std::string> filters = {"",
                                      "owner=ci",
                                      "target=project:7",
                                      "target=project:acme/payments",
                                      "state=PENDING",
                                      "scopes:read_api",
                                      "expire_time>2000-01-01T00:00:00Z"};
  std::vector<ListPage> before;
  ListRequest request;
  request.page_size = 2;
  for (const std::string& filter : filters) {
    request.filter = filter;
    before.push_back(*List("warden", request));
  }
  for (int i = 0; i < 5; ++i) {
    loop_.Advance(milliseconds(5));
    Row("ci", hidden_);
  }
  for (std::size_t i = 0; i < filters.size(); ++i) {
    request.filter = filters[i];
    const ListPage after = *List("warden", request);
    ASSERT_EQ(after.tokens.size(), before[i].tokens.size()) << filters[i];
    for (std::size_t k = 0; k < after.tokens.size(); ++k) EXPECT_EQ(after.tokens[k].id, before[i].tokens[k].id);
    EXPECT_EQ(after.next_page_token, before[i].next_page_token) << filters[i];
  }
}

// A thousand rows that may not be read end the search. It goes on behind them, and the page token shows none of them.
TEST_F(ListTest, AnEmptyPageLeadsOn) {
  const TokenId readable = Row("ci", granted_);
  loop_.Advance(milliseconds(5));
  for (int i = 0; i < 1001; ++i) Row("ci", hidden_);
  int pages = 0;
  EXPECT_THAT(All("warden", Filter("", "create_time desc"), &pages), ElementsAre(readable));
  EXPECT_EQ(pages, 2);
  const absl::StatusOr<ListPage> first = List("warden", {});
  ASSERT_EQ(first.status(), absl::OkStatus());
  EXPECT_THAT(first->tokens, IsEmpty());
  std::string inside;
  ASSERT_TRUE(absl::WebSafeBase64Unescape(first->next_page_token, &inside));
  EXPECT_THAT(inside, testing::Not(HasSubstr(readable.substr(0, 6))));  // All ids of this moment begin alike.
  EXPECT_NE(List("warden", {})->next_page_token, first->next_page_token);
  // Without a grant nobody waits for them.
  EXPECT_EQ(List("other", Filter("owner=ci"))->next_page_token, "");
}

TEST_F(ListTest, APageTokenFitsItsOwnListAlone) {
  for (int i = 0; i < 5; ++i) Make(UserToken());
  ListRequest request = Filter("state=ACTIVE", "create_time");
  request.page_size = 2;
  request.page_token = List("ci", request)->next_page_token;
  ASSERT_NE(request.page_token, "");
  ListRequest changed = request;
  changed.page_size = 1;
  EXPECT_EQ(List("ci", changed)->tokens.size(), 1U);
  const auto refused = [&](const std::string& caller, const ListRequest& with) {
    const absl::Status status = List(caller, with).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ReasonOf(status), "PAGE_TOKEN_INVALID");
  };
  refused("warden", request);
  changed = request;
  changed.filter = "state=REVOKING";
  refused("ci", changed);
  changed = request;
  changed.order_by = "create_time desc";
  refused("ci", changed);
  changed = request;
  changed.show_closed = true;
  refused("ci", changed);
  for (std::size_t i = 0; i < request.page_token.size(); ++i) {
    changed = request;
    changed.page_token[i] = changed.page_token[i] == 'A' ? 'B' : 'A';
    refused("ci", changed);
  }
  for (const std::string& token : {std::string("x"), std::string(600, 'A'), std::string("!"), std::string(38, 'A')}) {
    changed.page_token = token;
    refused("ci", changed);
  }
}

}  // namespace
}  // namespace tokenbroker
