#include "server/domain/audit_record.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "absl/strings/escaping.h"

namespace tokenbroker {
namespace {

std::vector<AuditRecord> ChainOf(const std::string& writer, int length) {
  std::vector<AuditRecord> records;
  std::string previous = FirstAuditHash();
  for (int seq = 1; seq <= length; ++seq) {
    AuditRecord record;
    record.writer = writer;
    record.seq = seq;
    record.event = {FromMicros(std::int64_t{1'000'000} * seq), "token.active", "id", "ci",
                    "{\"n\":" + std::to_string(seq) + "}"};
    record.previous_hash = previous;
    record.hash = AuditHashOf(previous, writer, seq, record.event);
    previous = record.hash;
    records.push_back(std::move(record));
  }
  return records;
}

// "w/3: its hash ...", or "".
std::string FirstBad(const std::vector<AuditRecord>& records, bool partial = false) {
  AuditVerifier verifier(partial);
  for (const AuditRecord& record : records) {
    if (const std::optional<std::string> bad = verifier.Check(record)) {
      return record.writer + "/" + std::to_string(record.seq) + ": " + *bad;
    }
  }
  EXPECT_EQ(verifier.records(), static_cast<std::int64_t>(records.size()));
  return "";
}

TEST(AuditRecordTest, TheHashIsThatOfTheDocumentedText) {
  const AuditEvent event = {FromMicros(1'700'000'000'000'001), "refusal", "id", "ci", "{}"};
  // sha256(32 zero bytes, then "1:w1:116:17000000000000017:refusal9:tokens/id10:callers/ci2:{}"), by Python's hashlib.
  EXPECT_EQ(absl::BytesToHexString(AuditHashOf(FirstAuditHash(), "w", 1, event)),
            "a9547dae100ccf8c1b800b4300e2bbf0e2c3bea4cfb2da01664b6bd41abb655b");
  EXPECT_EQ(AuditedToken(event), "tokens/id");
  EXPECT_EQ(AuditedCaller(event), "callers/ci");
}

TEST(AuditRecordTest, OnlyResourceNamesOfTheRightCollectionAreRead) {
  EXPECT_EQ(ParseAuditedToken("tokens/id"), "id");
  EXPECT_EQ(ParseAuditedCaller("callers/ci"), "ci");
  EXPECT_EQ(ParseAuditedToken(""), "");
  EXPECT_EQ(ParseAuditedCaller(""), "");
  for (const char* name : {"tokens/", "id", "callers/id", "Tokens/id", "/id"}) {
    EXPECT_EQ(ParseAuditedToken(name), std::nullopt) << name;
  }
  EXPECT_EQ(ParseAuditedCaller("tokens/ci"), std::nullopt);
  EXPECT_EQ(ParseAuditedCaller("ci"), std::nullopt);
}

TEST(AuditRecordTest, AWholeChainFitsAndSoDoSeveralMixed) {
  EXPECT_EQ(FirstBad({}), "");
  std::vector<AuditRecord> records = ChainOf("a", 3);
  const std::vector<AuditRecord> others = ChainOf("b", 3);
  for (std::size_t i = 0; i < 3; ++i) records.insert(records.begin() + static_cast<std::ptrdiff_t>(2 * i), others[i]);
  EXPECT_EQ(FirstBad(records), "");
}

TEST(AuditRecordTest, EveryFieldIsCovered) {
  const std::vector<AuditRecord> good = ChainOf("w", 3);
  for (int field = 0; field < 5; ++field) {
    std::vector<AuditRecord> records = good;
    AuditEvent& event = records[1].event;
    if (field == 0) event.time += Duration(1);
    if (field == 1) event.kind = "token.revoked";
    if (field == 2) event.token_id = "di";
    if (field == 3) event.caller = "root";
    if (field == 4) event.body = "{\"n\":3}";
    EXPECT_EQ(FirstBad(records), "w/2: its hash does not fit what it says") << field;
  }
}

TEST(AuditRecordTest, AnAlteredRecordWithItsHashWorkedOutAnewIsFoundByTheNext) {
  std::vector<AuditRecord> records = ChainOf("w", 3);
  records[1].event.caller = "root";
  records[1].hash = AuditHashOf(records[1].previous_hash, "w", 2, records[1].event);
  EXPECT_EQ(FirstBad(records), "w/3: it does not follow the record before it");
}

TEST(AuditRecordTest, ADroppedRecordIsMissed) {
  std::vector<AuditRecord> records = ChainOf("w", 5);
  records.erase(records.begin() + 1);
  EXPECT_EQ(FirstBad(records), "w/3: record 2 is missing before it");
  records.erase(records.begin() + 1);
  EXPECT_EQ(FirstBad(records), "w/4: record 2 to 3 are missing before it");
  records.erase(records.begin());
  EXPECT_EQ(FirstBad(records), "w/4: record 1 to 3 are missing before it");
  EXPECT_EQ(FirstBad(records, /*partial=*/true), "");
}

TEST(AuditRecordTest, SwappedAndInsertedRecordsAreNamed) {
  std::vector<AuditRecord> swapped = ChainOf("w", 4);
  std::swap(swapped[1], swapped[2]);
  EXPECT_EQ(FirstBad(swapped), "w/3: record 2 is missing before it");

  std::vector<AuditRecord> inserted = ChainOf("w", 4);
  AuditRecord forged = inserted[1];
  forged.event.caller = "root";
  inserted.insert(inserted.begin() + 2, forged);
  EXPECT_EQ(FirstBad(inserted), "w/2: it comes after record 2");
}

}  // namespace
}  // namespace tokenbroker
