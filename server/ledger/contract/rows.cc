// Rows in each state, and how they look.

#include <utility>

#include "server/ledger/contract/ledger_contract.h"

namespace tokenbroker {

TokenId LedgerContract::ActiveRow(const std::string& owner, Duration ttl) {
  const Token token = Active(owner, ttl);
  made_[token.id] = {token.upstream_id, token.upstream_user_id, token.upstream_name, token.upstream_expire_date};
  return token.id;
}

TokenId LedgerContract::RevokingRow(RevokeReason reason, const std::string& owner) {
  const TokenId id = ActiveRow(owner);
  EXPECT_EQ(Wait(ledger_->StartRevoking(id, reason, std::nullopt)).status(), absl::OkStatus());
  return id;
}

TokenId LedgerContract::AbandonedRow() {
  const TokenId id = PendingRow();
  EXPECT_EQ(Wait(ledger_->Abandon(id, "GitLab said 400")), absl::OkStatus());
  return id;
}

TokenRecord LedgerContract::Row(const TokenId& id) {
  absl::StatusOr<TokenRecord> record = Wait(ledger_->Get(id));
  EXPECT_EQ(record.status(), absl::OkStatus());
  return record.ok() ? *std::move(record) : TokenRecord();
}

std::string LedgerContract::Shown(const TokenRecord& record) {
  std::string text(NameOf(record.token.state));
  if (record.pending && record.token.state != TokenState::kPending) text = "PENDING as " + text;
  if (record.token.revoke_reason != RevokeReason::kNone) text += " " + std::string(NameOf(record.token.revoke_reason));
  return text;
}

std::vector<TokenId> LedgerContract::Look(const TokenId& id, std::vector<MadeUpstream> found) {
  const absl::StatusOr<std::vector<TokenId>> rows = Wait(ledger_->RecordLook(id, loop_.Now(), std::move(found)));
  EXPECT_EQ(rows.status(), absl::OkStatus());
  return rows.ok() ? *rows : std::vector<TokenId>();
}

}  // namespace tokenbroker
