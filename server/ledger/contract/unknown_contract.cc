// Unknown tokens: kept across starts, forgotten by what has read their list again, or by getting a row.

#include "server/ledger/contract/ledger_contract.h"

namespace tokenbroker {
namespace {

UnknownToken UnknownOf(std::int64_t id, WallTime now) {
  UnknownToken token;
  token.upstream = {id, 500 + id, "nightly " + std::to_string(id), DateOf(now) + std::chrono::days(2)};
  token.marked = "marked";
  token.kind = StrangerKind::kAbandoned;
  token.scopes = {"read_api", "read_user"};
  token.access_level = 30;
  token.create_time = now - hours(3);
  token.last_used_time = now - hours(1);
  token.find_time = now;
  token.target = {"main", TargetKind::kProject, 7, "acme/payments"};
  token.owner = "ci";
  token.purpose = "scan";
  token.expire_time = now + hours(1);
  return token;
}

std::vector<std::int64_t> IdsOf(const UnknownList& list) {
  std::vector<std::int64_t> ids;
  for (const UnknownToken& token : list.tokens) ids.push_back(token.upstream.id);
  return ids;
}

using Ids = std::vector<std::int64_t>;

TEST_P(LedgerContract, AnUnknownTokenIsKeptAsItWasFound) {
  EXPECT_EQ(Wait(ledger_->ListUnknown("main", 0, 10))->pass, std::nullopt);
  const WallTime now = loop_.Now();
  const UnknownToken full = UnknownOf(11, now);
  UnknownToken bare;
  bare.upstream = {12, 0, "x", std::nullopt};
  EXPECT_EQ(*Wait(ledger_->RecordUnknown("main", "", now, {full, bare})), (Ids{11, 12}));
  EXPECT_EQ(*Wait(ledger_->EndPass("main", now, {""})), 2);
  Reopen();
  const absl::StatusOr<UnknownList> list = Wait(ledger_->ListUnknown("main", 0, 10));
  ASSERT_EQ(list.status(), absl::OkStatus());
  EXPECT_EQ(list->total, 2);
  EXPECT_EQ(list->pass, now);
  ASSERT_EQ(IdsOf(*list), (Ids{11, 12}));
  const UnknownToken& kept = list->tokens[0];
  EXPECT_EQ(kept.upstream.user_id, 511);
  EXPECT_EQ(kept.upstream.name, "nightly 11");
  EXPECT_EQ(kept.upstream.expire_date, full.upstream.expire_date);
  EXPECT_EQ(kept.marked, "marked");
  EXPECT_EQ(kept.kind, StrangerKind::kAbandoned);
  EXPECT_EQ(kept.scopes, full.scopes);
  EXPECT_EQ(kept.access_level, 30);
  EXPECT_EQ(kept.create_time, full.create_time);
  EXPECT_EQ(kept.last_used_time, full.last_used_time);
  EXPECT_EQ(kept.find_time, now);
  EXPECT_EQ(kept.target, full.target);
  EXPECT_EQ(kept.owner, "ci");
  EXPECT_EQ(kept.purpose, "scan");
  EXPECT_EQ(kept.expire_time, full.expire_time);
  EXPECT_TRUE(kept.adoptable());
  EXPECT_EQ(list->tokens[1].target, std::nullopt);
  EXPECT_EQ(list->tokens[1].expire_time, std::nullopt);
  EXPECT_EQ(list->tokens[1].upstream.expire_date, std::nullopt);
  EXPECT_FALSE(list->tokens[1].adoptable());

  // What was known keeps when it was found, and whose it is.
  loop_.Advance(hours(1));
  UnknownToken again = UnknownOf(11, loop_.Now());
  again.target.reset();
  const UnknownToken other = UnknownOf(12, loop_.Now());  // The number stands for another token now.
  EXPECT_EQ(*Wait(ledger_->RecordUnknown("main", "", loop_.Now(), {again, other})), Ids{12});
  const absl::StatusOr<std::vector<UnknownToken>> found = Wait(ledger_->FindUnknown("main", {12, 11, 13}));
  ASSERT_EQ(found.status(), absl::OkStatus());
  ASSERT_EQ(found->size(), 2U);
  EXPECT_EQ((*found)[1].find_time, now);
  EXPECT_EQ((*found)[1].target, full.target);
  EXPECT_EQ((*found)[0].find_time, loop_.Now());
  EXPECT_TRUE(Wait(ledger_->ListUnknown("elsewhere", 0, 10))->tokens.empty());
}

TEST_P(LedgerContract, UnknownTokensAreListedInPages) {
  const WallTime now = loop_.Now();
  std::vector<UnknownToken> found;
  for (int id = 1; id <= 25; ++id) found.push_back(UnknownOf(id, now));
  ASSERT_EQ(Wait(ledger_->RecordUnknown("main", "", now, found)).status(), absl::OkStatus());
  Ids listed;
  for (std::int64_t after = 0;;) {
    const absl::StatusOr<UnknownList> page = Wait(ledger_->ListUnknown("main", after, 10));
    ASSERT_EQ(page.status(), absl::OkStatus());
    EXPECT_EQ(page->total, 25);
    for (const std::int64_t id : IdsOf(*page)) listed.push_back(id);
    if (page->tokens.size() < 10) break;
    after = listed.back();
  }
  ASSERT_EQ(listed.size(), 25U);
  EXPECT_EQ(listed.front(), 1);
  EXPECT_EQ(listed.back(), 25);
}

TEST_P(LedgerContract, AnUnknownTokenIsForgottenOnlyByWhatHasReadItsListAgain) {
  const auto record = [this](const std::string& list, std::int64_t id, WallTime pass) {
    ASSERT_EQ(Wait(ledger_->RecordUnknown("main", list, pass, {UnknownOf(id, pass)})).status(), absl::OkStatus());
  };
  const auto ids = [this] { return IdsOf(*Wait(ledger_->ListUnknown("main", 0, 100))); };
  const WallTime first = loop_.Now();
  record("project:7", 1, first);
  record("project:7", 2, first);
  record("project:8", 3, first);
  ASSERT_EQ(*Wait(ledger_->EndPass("main", first, {"project:7", "project:8"})), 3);
  const WallTime second = first + minutes(10);
  record("project:7", 2, second);
  // The other project's list failed.
  EXPECT_EQ(*Wait(ledger_->EndPass("main", second, {"project:7"})), 2);
  EXPECT_EQ(ids(), (Ids{2, 3}));
  // A pass whose clock went back is newer all the same.
  const WallTime third = first - hours(1);
  record("project:7", 2, third);
  EXPECT_EQ(*Wait(ledger_->EndPass("main", third, {"project:7"})), 2);
  EXPECT_EQ(Wait(ledger_->ListUnknown("main", 0, 0))->pass, third);
  // The instance's list has everything.
  record("", 4, second);
  EXPECT_EQ(*Wait(ledger_->EndPass("main", second, {""})), 1);
  EXPECT_EQ(ids(), Ids{4});
}

TEST_P(LedgerContract, WhatGetsARowIsUnknownNoMore) {
  const SeenToken seen = Strange(NewId());
  const UnknownToken unknown = UnknownOf(seen.upstream.id, loop_.Now());
  ASSERT_EQ(Wait(ledger_->RecordUnknown("main", "", loop_.Now(), {unknown, UnknownOf(7, loop_.Now())})).status(),
            absl::OkStatus());
  ASSERT_EQ(TakeIn({SpecFor(seen, /*revoke=*/true)}).status(), absl::OkStatus());
  EXPECT_EQ(IdsOf(*Wait(ledger_->ListUnknown("main", 0, 10))), Ids{7});
  // The list had shown it before.
  UnknownToken late = unknown;
  late.upstream = seen.upstream;
  EXPECT_TRUE(Wait(ledger_->RecordUnknown("main", "", loop_.Now(), {late}))->empty());
  EXPECT_EQ(IdsOf(*Wait(ledger_->ListUnknown("main", 0, 10))), Ids{7});
}

}  // namespace
}  // namespace tokenbroker
