#include "server/broker/targets_today.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/broker/core.h"

namespace tokenbroker {
namespace {

constexpr int kPage = 1000;

}  // namespace

bool TargetsToday::Add(const ResolvedTarget& target, const TargetFacts& facts) {
  const bool as_it_was =
      facts.target.path == target.path && facts.active && !facts.bot && !facts.is_admin && !facts.is_issuer;
  if (!as_it_was) facts_.insert_or_assign(KeyOf(target), facts);
  return !as_it_was;
}

void TargetsToday::Keep(const ResolvedTarget& target, const TargetsToday& other) {
  const auto known = other.facts_.find(KeyOf(target));
  if (known != other.facts_.end()) facts_.insert(*known);
}

Decision TargetsToday::Judge(const Policy& policy, const Token& token, WallTime now) const {
  const auto found = facts_.find(KeyOf(token.target));
  return found == facts_.end() ? JudgeAsMade(policy, token, now) : JudgeOn(policy, token, found->second, now);
}

std::string TargetsToday::KeyOf(const ResolvedTarget& target) {
  return absl::StrCat(target.instance, "\n", std::string(NameOf(target.kind)), "\n", target.id, "\n", target.path);
}

Task<absl::StatusOr<std::int64_t>> CountDeniedByTarget(BrokerParts parts, std::shared_ptr<const TargetsToday> targets) {
  std::int64_t count = 0;
  if (targets->empty()) co_return count;
  const std::shared_ptr<const Policy> policy = parts.policies.Current();
  const WallTime now = parts.ledger.Now();
  ListQuery query;
  query.limit = kPage;
  query.max_rows = kPage;
  query.terms.emplace_back(StateTerm{});  // ACTIVE
  query.visible = [targets, policy, now](const Token& token) {
    return targets->Contains(token.target) && !targets->Judge(*policy, token, now).status.ok() &&
           JudgeAsMade(*policy, token, now).status.ok();
  };
  do {
    const absl::StatusOr<TokenList> list = co_await parts.ledger.List(query);
    if (!list.ok()) co_return list.status();
    count += static_cast<std::int64_t>(list->tokens.size());
    query.after = list->next;
  } while (query.after.has_value());
  co_return count;
}

}  // namespace tokenbroker
