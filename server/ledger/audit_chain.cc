#include "server/ledger/audit_chain.h"

#include <openssl/sha.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace tokenbroker {
namespace {

// Each part with its length in front: no two events have one text.
void AddPart(std::string& text, std::string_view part) {
  text += std::to_string(part.size());
  text += ':';
  text += part;
}

}  // namespace

std::string HashOf(const std::string& previous, const std::string& writer, std::int64_t seq, const AuditEvent& event) {
  std::string text = previous;
  AddPart(text, writer);
  AddPart(text, std::to_string(seq));
  AddPart(text, std::to_string(MicrosOf(event.time)));
  AddPart(text, event.kind);
  AddPart(text, event.token_id);
  AddPart(text, event.caller);
  AddPart(text, event.body);
  std::string hash(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(hash.data()));
  return hash;
}

AuditChain::AuditChain(Random& random)
    : writer_(MakeUuid4(random)), place_{0, std::string(SHA256_DIGEST_LENGTH, '\0')} {}

absl::Status AuditChain::Append(SqliteDb& db, const AuditEvent& event) {
  absl::StatusOr<Statement> insert = db.Prepare(
      "INSERT INTO events (writer, seq, previous, hash, time, kind, token_id, caller, body) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
  if (!insert.ok()) return insert.status();
  const std::int64_t seq = place_.seq + 1;
  std::string hash = HashOf(place_.hash, writer_, seq, event);
  insert->Bind(1, writer_).Bind(2, seq).BindBlob(3, place_.hash).BindBlob(4, hash).Bind(5, event.time);
  insert->Bind(6, event.kind).Bind(7, event.token_id).Bind(8, event.caller).Bind(9, event.body);
  const absl::Status done = insert->Run();
  if (done.ok()) place_ = {seq, std::move(hash)};
  return done;
}

absl::Status VerifyChains(SqliteDb& db) {
  absl::StatusOr<Statement> select = db.Prepare(
      "SELECT writer, seq, previous, hash, time, kind, token_id, caller, body FROM events ORDER BY writer, seq");
  if (!select.ok()) return select.status();
  std::string writer;
  std::string hash;
  std::int64_t seq = 0;
  for (;;) {
    const absl::StatusOr<bool> row = select->Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
    if (select->Text(0) != writer) {
      writer = select->Text(0);
      hash.assign(SHA256_DIGEST_LENGTH, '\0');
      seq = 0;
    }
    ++seq;
    const AuditEvent event = {select->Time(4), select->Text(5), select->Text(6), select->Text(7), select->Text(8)};
    const std::string expected = HashOf(hash, writer, seq, event);
    if (select->Int(1) != seq || select->Text(2) != hash || select->Text(3) != expected) {
      return absl::DataLossError(absl::StrCat("the audit of writer ", writer, " is broken at record ", seq));
    }
    hash = expected;
  }
}

}  // namespace tokenbroker
