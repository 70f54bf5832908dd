// The audit read page by page: all of it, in order, whole.

#include "server/ledger/contract/ledger_contract.h"

namespace tokenbroker {
namespace {

std::vector<std::string> PlacesOf(const std::vector<AuditRecord>& records) {
  std::vector<std::string> places;
  for (const AuditRecord& record : records) places.push_back(record.writer + "/" + std::to_string(record.seq));
  return places;
}

TEST_P(LedgerContract, AnEmptyAuditHasNoPage) { EXPECT_TRUE(Wait(ledger_->ReadAudit({}))->empty()); }

TEST_P(LedgerContract, TheAuditIsReadInPagesWithoutGapOrRepeat) {
  for (int start = 0; start < 3; ++start) {
    for (int i = 0; i < 3; ++i) (void)ActiveRow();
    Reopen();
  }
  AuditQuery query;
  query.limit = 4;
  std::vector<AuditRecord> all;
  for (;;) {
    absl::StatusOr<std::vector<AuditRecord>> page = Wait(ledger_->ReadAudit(query));
    ASSERT_EQ(page.status(), absl::OkStatus());
    ASSERT_LE(page->size(), 4U);
    all.insert(all.end(), page->begin(), page->end());
    if (page->size() < 4U) break;
    query.after = AuditPosition{all.back().writer, all.back().seq};
  }
  EXPECT_EQ(all.size(), 18U);  // PENDING and ACTIVE of nine tokens.
  AuditVerifier verifier(/*partial=*/false);
  for (const AuditRecord& record : all) EXPECT_EQ(verifier.Check(record), std::nullopt);
  EXPECT_EQ(verifier.writers(), 3U);
  AuditQuery whole;
  EXPECT_EQ(PlacesOf(*Wait(ledger_->ReadAudit(whole))), PlacesOf(all));
}

TEST_P(LedgerContract, FromATimeOnEachChainIsWhole) {
  (void)ActiveRow();
  Reopen();
  (void)ActiveRow();
  loop_.Advance(minutes(10));
  const WallTime from = loop_.Now();
  const TokenId later = ActiveRow();
  loop_.StepWall(-hours(1));
  const TokenId stepped = ActiveRow();  // After it, whatever its clock said.
  AuditQuery query;
  query.from_time = from;
  const absl::StatusOr<std::vector<AuditRecord>> page = Wait(ledger_->ReadAudit(query));
  ASSERT_EQ(page.status(), absl::OkStatus());
  ASSERT_EQ(page->size(), 4U);
  AuditVerifier verifier(/*partial=*/true);
  for (const AuditRecord& record : *page) {
    EXPECT_EQ(verifier.Check(record), std::nullopt);
    EXPECT_TRUE(record.event.token_id == later || record.event.token_id == stepped);
  }
}

}  // namespace
}  // namespace tokenbroker
