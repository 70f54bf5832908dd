// `tokenctl audit`: an export that was tampered with is found, and the record named.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <sstream>

#include "absl/strings/escaping.h"
#include "client/fake_broker.h"
#include "server/domain/audit_record.h"
#include "tests/support/subprocess.h"

namespace tokenbroker {
namespace {

using testing::HasSubstr;

using Lines = std::vector<std::string>;

class AuditCommandTest : public testing::Test {
 protected:
  AuditCommandTest() : broker_(authority_), folder_(authority_, "spiffe://test/demo") {}

  // `length` records of one writer.
  static std::vector<v1::AuditRecord> Chain(const std::string& writer, int length) {
    std::vector<v1::AuditRecord> records;
    std::string previous = FirstAuditHash();
    for (int seq = 1; seq <= length; ++seq) {
      const AuditEvent event = {FromMicros(1'764'000'000'123'000 + seq), "token.active", "06f3", "ci",
                                "{\"why\":\"\\u00e4\",\"n\":" + std::to_string(seq) + "}"};
      v1::AuditRecord record;
      record.set_writer(writer);
      record.set_seq(seq);
      record.mutable_time()->set_seconds(1'764'000'000);
      record.mutable_time()->set_nanos((123'000 + seq) * 1000);
      record.set_kind(event.kind);
      record.set_token(AuditedToken(event));
      record.set_caller(AuditedCaller(event));
      record.set_body(event.body);
      record.set_previous_hash(absl::BytesToHexString(previous));
      previous = AuditHashOf(previous, writer, seq, event);
      record.set_hash(absl::BytesToHexString(previous));
      records.push_back(record);
    }
    return records;
  }

  Finished Run(std::vector<std::string> words) const {
    words.insert(words.begin(), {"client/tokenctl/tokenctl", "audit"});
    return RunProcess(words, {{"TOKENBROKER_ADDRESS", broker_.address()},
                              {"TOKENBROKER_CA", folder_.Path("ca.pem")},
                              {"TOKENBROKER_CERT", folder_.Path("cert.pem")},
                              {"TOKENBROKER_KEY", folder_.Path("key.pem")}});
  }

  // The lines of an export of `records`.
  Lines Export(const std::vector<v1::AuditRecord>& records) {
    broker_.admin().SetAudit(records);
    const Finished run = Run({"export"});
    EXPECT_EQ(run.exit_code, 0) << run.error;
    Lines lines;
    std::istringstream out(run.out);
    for (std::string line; std::getline(out, line);) lines.push_back(line);
    return lines;
  }

  Finished Verify(const Lines& lines, std::vector<std::string> more = {}) const {
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    WriteFileOrDie(folder_.Path("audit.jsonl"), text);
    more.insert(more.begin(), {"verify", folder_.Path("audit.jsonl")});
    return Run(more);
  }

  TestAuthority authority_;
  FakeBroker broker_;
  ClientFolder folder_;
};

TEST_F(AuditCommandTest, AWholeExportIsGoodAndCounted) {
  std::vector<v1::AuditRecord> records = Chain("a", 3);
  const std::vector<v1::AuditRecord> more = Chain("b", 2);
  records.insert(records.end(), more.begin(), more.end());
  const Finished run = Verify(Export(records));
  EXPECT_EQ(run.exit_code, 0) << run.error;
  EXPECT_EQ(run.out, "OK: 5 records of 2 writers\n");
}

TEST_F(AuditCommandTest, AnEmptyExportIsGood) {
  EXPECT_EQ(Verify(Export({})).out, "OK: 0 records of 0 writers\n");
  EXPECT_EQ(Run({"verify"}).out, "OK: 0 records of 0 writers\n");  // Nothing on the standard input.
}

TEST_F(AuditCommandTest, TheFirstBadRecordIsNamed) {
  const Lines good = Export(Chain("w1", 5));
  ASSERT_EQ(good.size(), 5u);
  struct Row {
    std::string name;
    std::function<void(Lines&)> tamper;
    std::string words;
  };
  const auto replace = [](std::string& line, const std::string& from, const std::string& to) {
    ASSERT_NE(line.find(from), std::string::npos) << line;
    line.replace(line.find(from), from.size(), to);
  };
  const std::vector<Row> rows = {
      {"altered", [&](Lines& lines) { replace(lines[2], "callers/ci", "callers/root"); },
       "line 3: record 3 of writer w1: its hash does not fit"},
      {"time", [&](Lines& lines) { replace(lines[2], ".123003Z", ".123004Z"); }, "line 3: record 3 of writer w1"},
      {"dropped", [](Lines& lines) { lines.erase(lines.begin() + 1); },
       "line 2: record 3 of writer w1: record 2 is missing before it"},
      {"first dropped", [](Lines& lines) { lines.erase(lines.begin()); },
       "line 1: record 2 of writer w1: record 1 is missing before it"},
      {"swapped", [](Lines& lines) { std::swap(lines[1], lines[2]); }, "line 2: record 3 of writer w1"},
      {"inserted", [](Lines& lines) { lines.insert(lines.begin() + 3, lines[1]); },
       "line 4: record 2 of writer w1: it comes after record 3"},
      {"another writer's", [&](Lines& lines) { replace(lines[0], "\"w1\"", "\"w2\""); },
       "line 1: record 1 of writer w2"},
      {"caller without its collection", [&](Lines& lines) { replace(lines[2], "callers/ci", "ci"); },
       "line 3: is no record"},
      {"token of another collection", [&](Lines& lines) { replace(lines[2], "tokens/06f3", "callers/06f3"); },
       "line 3: is no record"},
      {"no record", [](Lines& lines) { lines[3] = "{}"; }, "line 4: is no record"},
      {"cut", [](Lines& lines) { lines[4].resize(40); }, "line 5: is no record"},
      {"unknown field", [](Lines& lines) { lines[0].insert(1, "\"more\":1,"); }, "line 1: is no record"},
  };
  for (const Row& row : rows) {
    Lines lines = good;
    row.tamper(lines);
    const Finished run = Verify(lines);
    EXPECT_EQ(run.exit_code, 1) << row.name;
    EXPECT_THAT(run.error, HasSubstr(row.words)) << row.name;
    EXPECT_EQ(run.out, "") << row.name;
  }
}

TEST_F(AuditCommandTest, APartOfAChainIsGoodIfThatIsMeant) {
  Lines lines = Export(Chain("w1", 5));
  lines.erase(lines.begin(), lines.begin() + 2);
  EXPECT_EQ(Verify(lines).exit_code, 1);
  EXPECT_EQ(Verify(lines, {"--partial"}).out, "OK: 3 records of 1 writers\n");
}

TEST_F(AuditCommandTest, ExportGoesOnWhereItIsTold) {
  broker_.admin().SetAudit(Chain("w1", 3));
  const Finished run = Run({"export", "--after", "w1/2"});
  EXPECT_EQ(run.exit_code, 0) << run.error;
  EXPECT_THAT(run.out, HasSubstr("\"seq\":\"3\""));
  EXPECT_EQ(std::count(run.out.begin(), run.out.end(), '\n'), 1);
  for (const char* wrong : {"w1", "w1/", "/3", "w1/x", "w1/99999999999999999999"}) {
    EXPECT_EQ(Run({"export", "--after", wrong}).exit_code, 2) << wrong;
  }
  EXPECT_EQ(Run({"export", "--from", "yesterday"}).exit_code, 2);
}

}  // namespace
}  // namespace tokenbroker
