#include "server/ledger/stored_rows.h"

#include <memory>
#include <utility>

#include "server/ledger/audit_chain.h"
#include "server/ledger/sqlite_db.h"
#include "server/ledger/token_rows.h"

namespace tokenbroker {

absl::StatusOr<std::vector<TokenRecord>> ReadStoredRows(const std::string& path, const std::string& vfs) {
  const absl::StatusOr<std::unique_ptr<SqliteDb>> db = SqliteDb::OpenReader(path, seconds(5), vfs);
  if (!db.ok()) return db.status();
  absl::StatusOr<Statement> select =
      (*db)->Prepare("SELECT " + std::string(TokenColumns()) + " FROM tokens ORDER BY id");
  if (!select.ok()) return select.status();
  std::vector<TokenRecord> rows;
  for (;;) {
    const absl::StatusOr<bool> row = select->Step();
    if (!row.ok()) return row.status();
    if (!*row) return rows;
    rows.push_back(ReadRow(*select));
  }
}

absl::StatusOr<std::vector<AuditEvent>> ReadStoredEvents(const std::string& path, const std::string& vfs) {
  const absl::StatusOr<std::unique_ptr<SqliteDb>> db = SqliteDb::OpenReader(path, seconds(5), vfs);
  if (!db.ok()) return db.status();
  std::vector<AuditEvent> events;
  AuditQuery query;
  for (;;) {
    absl::StatusOr<std::vector<AuditRecord>> page = ReadAuditPage(**db, query);
    if (!page.ok()) return page.status();
    for (AuditRecord& record : *page) {
      query.after = AuditPosition{record.writer, record.seq};
      events.push_back(std::move(record.event));
    }
    if (page->size() < static_cast<std::size_t>(query.limit)) return events;
  }
}

absl::Status VerifyStoredAudit(const std::string& path, const std::string& vfs) {
  const absl::StatusOr<std::unique_ptr<SqliteDb>> db = SqliteDb::OpenReader(path, seconds(5), vfs);
  return db.ok() ? VerifyChains(**db) : db.status();
}

absl::Status ExecuteInLedger(const std::string& path, const std::string& vfs, const std::string& sql) {
  const absl::StatusOr<std::unique_ptr<SqliteDb>> db = SqliteDb::OpenWriter(path, seconds(5), vfs);
  return db.ok() ? (*db)->Execute(sql.c_str()) : db.status();
}

}  // namespace tokenbroker
