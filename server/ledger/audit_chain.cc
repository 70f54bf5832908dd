#include "server/ledger/audit_chain.h"

#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tokenbroker {
namespace {

constexpr char kPage[] =
    "SELECT writer, seq, previous, hash, time, kind, token_id, caller, body FROM events "
    "WHERE writer = ? AND seq > ? ORDER BY seq LIMIT ?";

AuditRecord RecordOf(const Statement& row) {
  AuditRecord record;
  record.writer = row.Text(0);
  record.seq = row.Int(1);
  record.previous_hash = row.Text(2);
  record.hash = row.Text(3);
  record.event = {row.Time(4), row.Text(5), row.Text(6), row.Text(7), row.Text(8)};
  return record;
}

absl::StatusOr<std::optional<std::string>> NextWriter(SqliteDb& db, const std::string& after) {
  absl::StatusOr<Statement> select = db.Prepare("SELECT writer FROM events WHERE writer > ? ORDER BY writer LIMIT 1");
  if (!select.ok()) return select.status();
  const absl::StatusOr<bool> row = select->Bind(1, after).Step();
  if (!row.ok()) return row.status();
  return *row ? std::optional(select->Text(0)) : std::nullopt;
}

// The record after which a writer's chain is of interest; nothing if none of it is.
absl::StatusOr<std::optional<std::int64_t>> StartOf(SqliteDb& db, const std::string& writer,
                                                    const std::optional<WallTime>& from_time) {
  if (!from_time.has_value()) return 0;
  absl::StatusOr<Statement> select =
      db.Prepare("SELECT seq FROM events WHERE writer = ? AND time >= ? ORDER BY seq LIMIT 1");
  if (!select.ok()) return select.status();
  const absl::StatusOr<bool> row = select->Bind(1, writer).Bind(2, *from_time).Step();
  if (!row.ok()) return row.status();
  return *row ? std::optional(select->Int(0) - 1) : std::nullopt;
}

absl::Status AddPage(SqliteDb& db, const AuditPosition& after, int limit, std::vector<AuditRecord>& records) {
  absl::StatusOr<Statement> select = db.Prepare(kPage);
  if (!select.ok()) return select.status();
  select->Bind(1, after.writer).Bind(2, after.seq).Bind(3, limit);
  for (;;) {
    const absl::StatusOr<bool> row = select->Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
    records.push_back(RecordOf(*select));
  }
}

}  // namespace

AuditChain::AuditChain(Random& random) : writer_(MakeUuid4(random)), place_{0, FirstAuditHash()} {}

absl::Status AuditChain::Append(SqliteDb& db, const AuditEvent& event) {
  absl::StatusOr<Statement> insert = db.Prepare(
      "INSERT INTO events (writer, seq, previous, hash, time, kind, token_id, caller, body) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
  if (!insert.ok()) return insert.status();
  const std::int64_t seq = place_.seq + 1;
  std::string hash = AuditHashOf(place_.hash, writer_, seq, event);
  insert->Bind(1, writer_).Bind(2, seq).BindBlob(3, place_.hash).BindBlob(4, hash).Bind(5, event.time);
  insert->Bind(6, event.kind).Bind(7, event.token_id).Bind(8, event.caller).Bind(9, event.body);
  const absl::Status done = insert->Run();
  if (done.ok()) place_ = {seq, std::move(hash)};
  return done;
}

absl::StatusOr<std::vector<AuditRecord>> ReadAuditPage(SqliteDb& db, const AuditQuery& query) {
  std::vector<AuditRecord> records;
  AuditPosition at = query.after.value_or(AuditPosition());
  for (;;) {
    const auto wanted = static_cast<std::size_t>(query.limit);
    if (!at.writer.empty()) {
      const absl::Status added = AddPage(db, at, query.limit - static_cast<int>(records.size()), records);
      if (!added.ok()) return added;
    }
    if (records.size() >= wanted) return records;
    const absl::StatusOr<std::optional<std::string>> next = NextWriter(db, at.writer);
    if (!next.ok()) return next.status();
    if (!next->has_value()) return records;
    const absl::StatusOr<std::optional<std::int64_t>> start = StartOf(db, **next, query.from_time);
    if (!start.ok()) return start.status();
    at = {**next, start->value_or(std::numeric_limits<std::int64_t>::max())};
  }
}

absl::Status VerifyChains(SqliteDb& db) {
  absl::StatusOr<Statement> select = db.Prepare(
      "SELECT writer, seq, previous, hash, time, kind, token_id, caller, body FROM events ORDER BY writer, seq");
  if (!select.ok()) return select.status();
  AuditVerifier verifier(/*partial=*/false);
  for (;;) {
    const absl::StatusOr<bool> row = select->Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
    const AuditRecord record = RecordOf(*select);
    if (const std::optional<std::string> bad = verifier.Check(record)) {
      return absl::DataLossError(
          absl::StrCat("the audit of writer ", record.writer, " is broken at record ", record.seq, ": ", *bad));
    }
  }
}

}  // namespace tokenbroker
