// Lists: every term under every order, in pages that join.

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "server/ledger/contract/ledger_contract.h"

namespace tokenbroker {

std::vector<TokenId> LedgerContract::AllPages(ListQuery query) {
  std::vector<TokenId> ids;
  for (int page = 0; page < 1000; ++page) {
    const absl::StatusOr<TokenList> list = Wait(ledger_->List(query));
    EXPECT_EQ(list.status(), absl::OkStatus());
    if (!list.ok()) return ids;
    EXPECT_LE(list->tokens.size(), static_cast<std::size_t>(query.limit));
    for (const Token& token : list->tokens) ids.push_back(token.id);
    if (!list->next.has_value()) return ids;
    EXPECT_NE(list->next, query.after) << "a page that leads nowhere";
    query.after = list->next;
  }
  ADD_FAILURE() << "pages without an end";
  return ids;
}

void LedgerContract::Bring(const TokenId& id, std::size_t state) {
  const auto is_ok = [](const absl::Status& status) { EXPECT_EQ(status, absl::OkStatus()); };
  if (state == 0) return;                                                             // PENDING
  if (state == 1) return is_ok(Wait(ledger_->RequestRevocation(id, "ci")).status());  // shown as REVOKING
  if (state == 2) return is_ok(Wait(ledger_->Abandon(id, "GitLab said 400")));        // ABANDONED
  is_ok(Wait(ledger_->Activate(id, Made(), loop_.Now() + hours(24))).status());       // ACTIVE
  if (state == 3 || state == 4) return;
  const RevokeReason reason = state == 7 ? RevokeReason::kTtl : RevokeReason::kPolicy;
  is_ok(Wait(ledger_->StartRevoking(id, reason, std::nullopt)).status());           // REVOKING
  if (state != 5) is_ok(Wait(ledger_->RecordDeath(id, Proof::kDeleted)).status());  // REVOKED, EXPIRED
}

std::vector<Token> LedgerContract::Fill() {
  const std::vector<std::string> owners = {"ci", "cd", "audit"};
  const std::vector<ResolvedTarget> targets = {{"main", TargetKind::kUser, 42, "demo"},
                                               {"main", TargetKind::kProject, 7, "acme/payments"},
                                               {"main", TargetKind::kProject, 8, "Acme/Payments"},
                                               {"main", TargetKind::kServiceAccount, 42, "acme:bot"}};
  const std::vector<std::vector<std::string>> scopes = {
      {"api"}, {"read_api", "read_user"}, {"read_repository"}, {"read_user"}, {"read_api"}};
  const std::vector<std::map<std::string, std::string>> labels = {
      {}, {{"team", "blue"}}, {{"team", "red"}, {"env", ""}}, {{"team", "red\tor blue"}}};
  const WallTime begin = loop_.Now();
  std::vector<TokenId> ids;
  for (std::size_t i = 0; i < 96; ++i) {
    IntentSpec spec = Spec(owners[i % 7 % 3]);
    spec.token.target = targets[i % 4];
    spec.token.scopes = scopes[i % 5];
    spec.token.labels = labels[i / 2 % 4];
    spec.ttl.reset();
    spec.expire_time = begin + hours(1 + static_cast<int>(i * 5 % 9));
    ids.push_back(Begin(std::move(spec)).id);
    Bring(ids.back(), i % 8);
    if (i % 3 == 2) loop_.Advance(seconds(1));
  }
  std::vector<Token> all;
  for (const TokenId& id : ids) all.push_back(Row(id).token);
  return all;
}

namespace {

ListQuery QueryOf(TokenTerm term) {
  ListQuery query;
  query.show_closed = true;
  query.terms = {std::move(term)};
  return query;
}

bool Has(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

// A term, and what it means in words that the ledger does not share.
struct Meaning {
  std::string name;
  TokenTerm term;
  std::function<bool(const Token&)> holds;
};

std::vector<Meaning> Meanings(WallTime begin) {
  std::vector<Meaning> all = {
      {"none", TimeTerm(), [](const Token&) { return true; }},
      {"owner", OwnerTerm{"cd"}, [](const Token& token) { return token.owner == "cd"; }},
      {"nobody", OwnerTerm{"nobody"}, [](const Token&) { return false; }},
      {"target by id", TargetTerm{{"", TargetKind::kProject, "7"}},
       [](const Token& token) { return token.target.id == 7; }},
      {"target by another's id", TargetTerm{{"", TargetKind::kUser, "42"}},
       [](const Token& token) { return token.target.path == "demo"; }},
      {"target by path", TargetTerm{{"main", TargetKind::kProject, "ACME/payments"}},
       [](const Token& token) { return token.target.id == 7 || token.target.id == 8; }},
      {"target elsewhere", TargetTerm{{"other", TargetKind::kProject, "7"}}, [](const Token&) { return false; }},
      {"target unknown", TargetTerm{{"", TargetKind::kGroup, "acme"}}, [](const Token&) { return false; }},
      {"scope", ScopeTerm{"read_user"}, [](const Token& token) { return Has(token.scopes, "read_user"); }},
      {"label", LabelTerm{"team", "red"},
       [](const Token& token) { return token.labels.contains("team") && token.labels.at("team") == "red"; }},
      {"label of any value", LabelTerm{"team", {}}, [](const Token& token) { return !token.labels.empty(); }},
      {"empty label", LabelTerm{"env", ""}, [](const Token& token) { return token.labels.contains("env"); }},
      {"label unknown", LabelTerm{"tea", {}}, [](const Token&) { return false; }},
  };
  for (const TokenState state : {TokenState::kPending, TokenState::kActive, TokenState::kRevoking, TokenState::kRevoked,
                                 TokenState::kExpired, TokenState::kAbandoned}) {
    const std::string name(NameOf(state));
    all.push_back({name, StateTerm{state}, [state](const Token& token) { return token.state == state; }});
    all.push_back(
        {"not " + name, StateTerm{state, true}, [state](const Token& token) { return token.state != state; }});
  }
  const WallTime created = begin + seconds(11);
  const WallTime expiring = begin + hours(4);
  all.push_back({"created from", TimeTerm{TimeField::kCreateTime, created, {}},
                 [created](const Token& token) { return token.create_time >= created; }});
  all.push_back({"created to", TimeTerm{TimeField::kCreateTime, {}, created},
                 [created](const Token& token) { return token.create_time <= created; }});
  all.push_back({"expires from", TimeTerm{TimeField::kExpireTime, expiring, {}},
                 [expiring](const Token& token) { return token.expire_time >= expiring; }});
  all.push_back({"expires to", TimeTerm{TimeField::kExpireTime, {}, expiring},
                 [expiring](const Token& token) { return token.expire_time <= expiring; }});
  all.push_back({"expires at", TimeTerm{TimeField::kExpireTime, expiring, expiring},
                 [expiring](const Token& token) { return token.expire_time == expiring; }});
  all.push_back(
      {"no time at all", TimeTerm{TimeField::kCreateTime, created, begin}, [](const Token&) { return false; }});
  return all;
}

// Sorted and sifted by hand.
std::vector<TokenId> Expected(const std::vector<Token>& all, const ListQuery& query,
                              const std::function<bool(const Token&)>& holds) {
  std::vector<std::tuple<WallTime, TokenId>> keys;
  for (const Token& token : all) {
    const bool closed = token.state == TokenState::kRevoked || token.state == TokenState::kExpired ||
                        token.state == TokenState::kAbandoned;
    if (query.owner.has_value() && *query.owner != token.owner) continue;
    if ((closed && !query.show_closed) || !holds(token)) continue;
    keys.emplace_back(query.order.by == TimeField::kCreateTime ? token.create_time : token.expire_time, token.id);
  }
  std::sort(keys.begin(), keys.end());
  if (query.order.descending) std::reverse(keys.begin(), keys.end());
  std::vector<TokenId> ids;
  for (const auto& [time, id] : keys) ids.push_back(id);
  return ids;
}

// Calls `check` with the query under every order, for one owner and for all, with and without closed ones.
void ForEveryForm(ListQuery query, const std::function<void(const ListQuery&)>& check) {
  for (int form = 0; form < 16; ++form) {
    query.order.by = (form & 1) != 0 ? TimeField::kExpireTime : TimeField::kCreateTime;
    query.order.descending = (form & 2) != 0;
    query.show_closed = (form & 4) != 0;
    query.owner = (form & 8) != 0 ? std::optional<std::string>("ci") : std::nullopt;
    SCOPED_TRACE("form " + std::to_string(form));
    check(query);
  }
}

TEST_P(LedgerContract, EveryTermUnderEveryOrderInPagesThatJoin) {
  const WallTime begin = loop_.Now();
  const std::vector<Token> all = Fill();
  for (const Meaning& meaning : Meanings(begin)) {
    SCOPED_TRACE(meaning.name);
    ForEveryForm(QueryOf(meaning.term), [&](ListQuery query) {
      const std::vector<TokenId> expected = Expected(all, query, meaning.holds);
      query.limit = 1000;
      EXPECT_EQ(AllPages(query), expected);
      query.limit = 5;
      EXPECT_EQ(AllPages(query), expected);
      query.max_rows = 9;  // Too few to sort what an index finds in another order.
      EXPECT_EQ(AllPages(query), expected);
    });
  }
}

// Two terms at a time: what the index in use does not serve is compared.
TEST_P(LedgerContract, TermsAreJoinedByAnd) {
  const WallTime begin = loop_.Now();
  const std::vector<Token> all = Fill();
  const std::vector<Meaning> meanings = Meanings(begin);
  for (std::size_t i = 0; i < meanings.size(); ++i) {
    const Meaning& one = meanings[i];
    const Meaning& other = meanings[(i * 5 + 3) % meanings.size()];
    SCOPED_TRACE(one.name + " and " + other.name);
    ListQuery query = QueryOf(one.term);
    query.terms.push_back(other.term);
    ForEveryForm(query, [&](const ListQuery& form) {
      EXPECT_EQ(AllPages(form),
                Expected(all, form, [&](const Token& token) { return one.holds(token) && other.holds(token); }));
    });
  }
}

// A search that is cut short goes on where it was, however few rows it may look at, and whatever it finds there.
TEST_P(LedgerContract, ABoundedSearchIsWhole) {
  const std::vector<Token> all = Fill();
  ListQuery query = QueryOf(TokenTerm(ScopeTerm{"read_user"}));
  query.visible = [](const Token& token) { return token.owner != "cd"; };
  query.max_rows = 3;
  ForEveryForm(query, [&](const ListQuery& form) {
    EXPECT_EQ(AllPages(form), Expected(all, form, [](const Token& token) {
                return token.owner != "cd" && Has(token.scopes, "read_user");
              }));
  });
}

TEST_P(LedgerContract, LooksAtNoMoreRowsThanItMay) {
  Fill();
  int seen = 0;
  ListQuery query;
  query.show_closed = true;
  query.max_rows = 10;
  query.visible = [&seen](const Token&) {
    ++seen;
    return false;
  };
  const absl::StatusOr<TokenList> list = Wait(ledger_->List(query));
  ASSERT_EQ(list.status(), absl::OkStatus());
  EXPECT_EQ(seen, 10);
  EXPECT_TRUE(list->tokens.empty());
  EXPECT_TRUE(list->next.has_value());
}

TEST_P(LedgerContract, AListEndsBeforeItsBytesExceedTheBoundAndHasOneTokenAtLeast) {
  for (int i = 0; i < 5; ++i) ActiveRow();
  ListQuery query;
  query.limit = 1000;
  const absl::StatusOr<TokenList> whole = Wait(ledger_->List(query));
  ASSERT_EQ(whole.status(), absl::OkStatus());
  ASSERT_EQ(whole->tokens.size(), 5u);
  EXPECT_EQ(whole->next, std::nullopt);
  query.max_bytes = whole->bytes - 1;
  const absl::StatusOr<TokenList> most = Wait(ledger_->List(query));
  ASSERT_EQ(most.status(), absl::OkStatus());
  EXPECT_EQ(most->tokens.size(), 4u);
  EXPECT_LE(most->bytes, query.max_bytes);
  query.max_bytes = 1;
  std::vector<TokenId> ids;
  for (int page = 0; page < 5; ++page) {
    const absl::StatusOr<TokenList> one = Wait(ledger_->List(query));
    ASSERT_EQ(one.status(), absl::OkStatus());
    ASSERT_EQ(one->tokens.size(), 1u);
    ids.push_back(one->tokens[0].id);
    query.after = one->next;
    EXPECT_EQ(query.after.has_value(), page < 4);
  }
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(ids[i], whole->tokens[i].id);
}

// What may not be seen does not even show by a page that follows, as long as the search comes to its end.
TEST_P(LedgerContract, NothingFollowsTheLastVisibleToken) {
  const std::vector<Token> all = Fill();
  ListQuery query;
  query.show_closed = true;
  query.limit = 3;
  query.visible = [&all](const Token& token) {
    return std::any_of(all.end() - 3, all.end(), [&](const Token& each) { return each.id == token.id; });
  };
  const absl::StatusOr<TokenList> list = Wait(ledger_->List(query));
  ASSERT_EQ(list.status(), absl::OkStatus());
  EXPECT_EQ(list->tokens.size(), 3U);
  EXPECT_FALSE(list->next.has_value());
}

// A row that closes, or opens again, is found where it is now.
TEST_P(LedgerContract, FollowsAToken) {
  const TokenId id = PendingRow();
  const auto found = [&](bool closed) {
    std::vector<bool> results;
    for (const TokenTerm& term : {TokenTerm(TargetTerm{{"", TargetKind::kProject, "7"}}),
                                  TokenTerm(ScopeTerm{"read_api"}), TokenTerm(LabelTerm{"empty", ""})}) {
      ListQuery query = QueryOf(term);
      query.show_closed = closed;
      results.push_back(AllPages(query) == std::vector<TokenId>{id});
    }
    return results;
  };
  const std::vector<bool> yes(3, true);
  const std::vector<bool> no(3, false);
  EXPECT_EQ(found(false), yes);
  ASSERT_EQ(Wait(ledger_->Abandon(id, "GitLab said 400")), absl::OkStatus());
  EXPECT_EQ(found(false), no);
  EXPECT_EQ(found(true), yes);
  Look(id, {Made()});  // Late, but it was made.
  EXPECT_EQ(Shown(id), "REVOKING ORPHAN");
  EXPECT_EQ(found(false), yes);
  EXPECT_EQ(found(true), yes);
  Reopen();
  EXPECT_EQ(found(false), yes);
}

// A second token of one POST has a row of its own, and is found by the same terms.
TEST_P(LedgerContract, FindsAnOrphanOfTheSameTarget) {
  const TokenId id = PendingRow();
  loop_.Advance(hours(1));
  const std::vector<TokenId> rows = Look(id, {Made(), Made()});
  ASSERT_EQ(rows.size(), 2U);
  std::vector<TokenId> found = AllPages(QueryOf(TokenTerm(TargetTerm{{"", TargetKind::kProject, "acme/payments"}})));
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, rows);
}

}  // namespace
}  // namespace tokenbroker
