#include "server/ledger/quota.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/error.h"
#include "server/base/time_text.h"
#include "server/domain/expiry.h"

namespace tokenbroker {
namespace {

constexpr Duration kLeastRetry = seconds(1);

std::string SubjectOf(const std::string& owner, const std::string& role) {
  return absl::StrCat("callers/", owner, " role ", role);
}

// Places that are taken by tokens which may be dead already: nobody can say yet.
struct Unknown {
  std::int64_t count = 0;
  WallTime first;  // When the end of one may be known, at the earliest,
  WallTime last;   // and that of all at the latest, if GitLab answers.
};

absl::StatusOr<Unknown> CountUnknown(Transaction& transaction, Duration settle, const std::string& owner,
                                     const std::string& role) {
  absl::StatusOr<Statement> select = transaction.db.Prepare(
      "SELECT state, create_time, next_attempt_time FROM tokens "
      "WHERE owner = ? AND role = ? AND state IN ('PENDING', 'REVOKING')");
  if (!select.ok()) return select.status();
  select->Bind(1, owner).Bind(2, role);
  Unknown unknown;
  for (;;) {
    const absl::StatusOr<bool> row = select->Step();
    if (!row.ok()) return row.status();
    if (!*row) return unknown;
    const WallTime next = std::max(select->OptionalTime(2).value_or(transaction.now), transaction.now);
    // An attempt without an outcome is known to have made nothing once the look after `settle` has found nothing.
    const WallTime last = select->Text(0) == "PENDING" ? std::max(next, select->Time(1) + kSendWindow + settle) : next;
    unknown.first = unknown.count == 0 ? next : std::min(unknown.first, next);
    unknown.last = std::max(unknown.last, last);
    ++unknown.count;
  }
}

absl::Status TooMany(Transaction& transaction, Duration settle, const std::string& owner, const std::string& role,
                     int limit, std::int64_t taken) {
  const absl::StatusOr<Unknown> unknown = CountUnknown(transaction, settle, owner, role);
  if (!unknown.ok()) return unknown.status();
  std::string what = absl::StrCat(taken, " of ", limit, " places are taken");
  if (unknown->count == 0) {
    return Error(absl::StatusCode::kResourceExhausted, "QUOTA_EXCEEDED",
                 what + "; revoke a token that is not needed any more")
        .Quota(SubjectOf(owner, role), what);
  }
  absl::StrAppend(&what, ", ", unknown->count, " of them by tokens whose end is still unknown, until ",
                  FormatRfc3339(unknown->last), " at the latest while GitLab answers");
  return Error(absl::StatusCode::kResourceExhausted, "QUOTA_EXCEEDED", what)
      .Quota(SubjectOf(owner, role), what)
      .RetryAfter(std::max(unknown->first - transaction.now, kLeastRetry));
}

absl::Status CheckPlaces(Transaction& transaction, Duration settle, const std::string& owner, const std::string& role,
                         int limit, const std::optional<TokenId>& gives_way) {
  absl::StatusOr<Statement> select = transaction.db.Prepare(
      "SELECT COUNT(*) FROM tokens WHERE owner = ? AND role = ? AND state IN ('PENDING', 'ACTIVE', 'REVOKING')");
  if (!select.ok()) return select.status();
  const absl::StatusOr<bool> row = select->Bind(1, owner).Bind(2, role).Step();
  if (!row.ok()) return row.status();
  std::int64_t taken = select->Int(0);
  if (taken >= limit && gives_way.has_value()) {
    absl::StatusOr<Statement> yielding = transaction.db.Prepare(
        "SELECT 1 FROM tokens WHERE id = ? AND owner = ? AND role = ? AND state IN ('PENDING', 'ACTIVE', 'REVOKING')");
    if (!yielding.ok()) return yielding.status();
    const absl::StatusOr<bool> yields = yielding->Bind(1, *gives_way).Bind(2, owner).Bind(3, role).Step();
    if (!yields.ok()) return yields.status();
    if (*yields) --taken;
  }
  return taken < limit ? absl::OkStatus() : TooMany(transaction, settle, owner, role, limit, taken);
}

// The attempt that is `limit` attempts back must be older than a minute. Rows of the future were written before the
// host's clock was set back, and say nothing.
absl::Status CheckRate(Transaction& transaction, const std::string& owner, const std::string& role, int limit) {
  absl::StatusOr<Statement> select = transaction.db.Prepare(
      "SELECT create_time FROM tokens WHERE owner = ? AND role = ? AND create_time > ? AND create_time <= ? "
      "AND state IN ('PENDING', 'ACTIVE', 'REVOKING', 'REVOKED', 'EXPIRED', 'ABANDONED') "
      "ORDER BY create_time DESC LIMIT 1 OFFSET ?");
  if (!select.ok()) return select.status();
  const WallTime minute_ago = transaction.now - minutes(1);
  const absl::StatusOr<bool> row =
      select->Bind(1, owner).Bind(2, role).Bind(3, minute_ago).Bind(4, transaction.now).Bind(5, limit - 1).Step();
  if (!row.ok()) return row.status();
  if (!*row) return absl::OkStatus();
  const std::string what = absl::StrCat("at most ", limit, " tokens a minute may be made");
  return Error(absl::StatusCode::kResourceExhausted, "RATE_EXCEEDED", what)
      .Quota(SubjectOf(owner, role), what)
      .RetryAfter(std::clamp<Duration>(select->Time(0) - minute_ago, Duration(1), minutes(1)));
}

}  // namespace

absl::Status CheckRoom(Transaction& transaction, Duration settle, const std::string& owner, const std::string& role,
                       const QuotaLimits& limits, const std::optional<TokenId>& gives_way) {
  if (limits.max_active > 0) {
    absl::Status places = CheckPlaces(transaction, settle, owner, role, limits.max_active, gives_way);
    if (!places.ok()) return places;
  }
  return limits.creates_per_minute > 0 ? CheckRate(transaction, owner, role, limits.creates_per_minute)
                                       : absl::OkStatus();
}

}  // namespace tokenbroker
