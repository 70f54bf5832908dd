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

// So many open tokens without a known end are looked at for the time when it will be known.
constexpr int kMostUncertain = 256;

// Places that are taken by tokens whose end is not known yet: the POST's outcome, or the revocation.
struct Uncertain {
  int count = 0;   // kMostUncertain + 1: more than are looked at.
  WallTime first;  // When the end of one may be known, at the earliest,
  WallTime last;   // and that of all at the latest, if GitLab responds.
};

absl::StatusOr<Uncertain> FindUncertain(Transaction& transaction, Duration settle, const std::string& owner,
                                        const std::string& role) {
  absl::StatusOr<Statement> select = transaction.db.Prepare(
      "SELECT state, create_time, next_attempt_time FROM tokens "
      "WHERE owner = ? AND role = ? AND state IN ('PENDING', 'REVOKING') LIMIT ?");
  if (!select.ok()) return select.status();
  select->Bind(1, owner).Bind(2, role).Bind(3, kMostUncertain + 1);
  Uncertain uncertain;
  for (;;) {
    const absl::StatusOr<bool> row = select->Step();
    if (!row.ok()) return row.status();
    if (!*row) return uncertain;
    const WallTime next = std::max(select->OptionalTime(2).value_or(transaction.now), transaction.now);
    // An attempt without an outcome is known to have made nothing once the look after `settle` has found nothing.
    const WallTime last = select->Text(0) == "PENDING" ? std::max(next, select->Time(1) + kSendWindow + settle) : next;
    uncertain.first = uncertain.count == 0 ? next : std::min(uncertain.first, next);
    uncertain.last = std::max(uncertain.last, last);
    ++uncertain.count;
  }
}

absl::Status TooMany(Transaction& transaction, Duration settle, const std::string& owner, const std::string& role,
                     int limit, std::int64_t taken) {
  const absl::StatusOr<Uncertain> uncertain = FindUncertain(transaction, settle, owner, role);
  if (!uncertain.ok()) return uncertain.status();
  std::string what = absl::StrCat(taken, " of ", limit, " places are taken");
  if (uncertain->count == 0) {
    return Error(absl::StatusCode::kResourceExhausted, "QUOTA_EXCEEDED",
                 what + "; revoke a token that is not needed any more")
        .Quota(SubjectOf(owner, role), what);
  }
  if (uncertain->count > kMostUncertain) {
    absl::StrAppend(&what, ", more than ", kMostUncertain, " of them by tokens whose end is still unknown");
  } else {
    absl::StrAppend(&what, ", ", uncertain->count, " of them by tokens whose end is still unknown, until ",
                    FormatRfc3339(uncertain->last), " at the latest while GitLab answers");
  }
  return Error(absl::StatusCode::kResourceExhausted, "QUOTA_EXCEEDED", what)
      .Quota(SubjectOf(owner, role), what)
      .RetryAfter(std::max(uncertain->first - transaction.now, kLeastRetry));
}

absl::StatusOr<std::int64_t> OpenTokens(SqliteDb& db, const std::string& owner, const std::string& role) {
  absl::StatusOr<Statement> select = db.Prepare("SELECT open_tokens FROM quotas WHERE owner = ? AND role = ?");
  if (!select.ok()) return select.status();
  const absl::StatusOr<bool> row = select->Bind(1, owner).Bind(2, role).Step();
  if (!row.ok()) return row.status();
  return *row ? select->Int(0) : 0;
}

absl::Status CheckPlaces(Transaction& transaction, Duration settle, const std::string& owner, const std::string& role,
                         int limit, const std::optional<TokenId>& gives_way) {
  const absl::StatusOr<std::int64_t> open = OpenTokens(transaction.db, owner, role);
  if (!open.ok()) return open.status();
  std::int64_t taken = *open;
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

// The attempt that is `limit` attempts back must be older than a minute. Rows that were written before the clock went
// back say nothing: those of the future, and those whose minute comes a second time.
absl::Status CheckRate(Transaction& transaction, std::int64_t untimely_row, const std::string& owner,
                       const std::string& role, int limit) {
  absl::StatusOr<Statement> select = transaction.db.Prepare(
      "SELECT create_time FROM tokens WHERE owner = ? AND role = ? AND create_time > ? AND create_time <= ? AND row > "
      "? "
      "AND state IN ('PENDING', 'ACTIVE', 'REVOKING', 'REVOKED', 'EXPIRED', 'ABANDONED') "
      "ORDER BY create_time DESC LIMIT 1 OFFSET ?");
  if (!select.ok()) return select.status();
  const WallTime minute_ago = transaction.now - minutes(1);
  select->Bind(1, owner).Bind(2, role).Bind(3, minute_ago).Bind(4, transaction.now).Bind(5, untimely_row);
  const absl::StatusOr<bool> row = select->Bind(6, limit - 1).Step();
  if (!row.ok()) return row.status();
  if (!*row) return absl::OkStatus();
  const std::string what = absl::StrCat("at most ", limit, " tokens a minute may be made");
  return Error(absl::StatusCode::kResourceExhausted, "RATE_EXCEEDED", what)
      .Quota(SubjectOf(owner, role), what)
      .RetryAfter(std::clamp<Duration>(select->Time(0) - minute_ago, Duration(1), minutes(1)));
}

}  // namespace

absl::Status CheckRoom(Transaction& transaction, const QuotaRules& rules, const std::string& owner,
                       const std::string& role, const QuotaLimits& limits, const std::optional<TokenId>& gives_way) {
  if (limits.max_active > 0) {
    absl::Status places = CheckPlaces(transaction, rules.settle, owner, role, limits.max_active, gives_way);
    if (!places.ok()) return places;
  }
  if (limits.creates_per_minute <= 0) return absl::OkStatus();
  return CheckRate(transaction, rules.untimely_row, owner, role, limits.creates_per_minute);
}

absl::Status ChangeOpenTokens(SqliteDb& db, const std::string& owner, const std::string& role, int by) {
  absl::StatusOr<Statement> update = db.Prepare(
      "INSERT INTO quotas (owner, role, open_tokens) VALUES (?1, ?2, ?3) "
      "ON CONFLICT (owner, role) DO UPDATE SET open_tokens = open_tokens + ?3");
  if (!update.ok()) return update.status();
  return update->Bind(1, owner).Bind(2, role).Bind(3, by).Run();
}

absl::Status VerifyOpenTokens(SqliteDb& db) {
  absl::StatusOr<Statement> select = db.Prepare(R"sql(
    WITH counted AS (
      SELECT owner, role, COUNT(*) AS open_tokens FROM tokens
      WHERE state IN ('PENDING', 'ACTIVE', 'REVOKING') GROUP BY owner, role
    ), kept AS (SELECT owner, role, open_tokens FROM quotas WHERE open_tokens != 0)
    SELECT owner, role FROM (SELECT * FROM counted EXCEPT SELECT * FROM kept)
    UNION SELECT owner, role FROM (SELECT * FROM kept EXCEPT SELECT * FROM counted) LIMIT 1)sql");
  if (!select.ok()) return select.status();
  const absl::StatusOr<bool> row = select->Step();
  if (!row.ok()) return row.status();
  if (!*row) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("the counter of open tokens of ", SubjectOf(select->Text(0), select->Text(1)), " is wrong"));
}

}  // namespace tokenbroker
