// `tokenbrokerd --check-config` finds what would keep a broker from starting, all of it in one run, and changes
// nothing.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>

#include "tests/integration/broker_process.h"

namespace tokenbroker {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

// Every file and its content, but for the programs' own output.
std::vector<std::pair<std::string, std::string>> FilesOf(const House& house) {
  auto files = house.AllFiles();
  std::erase_if(files, [](const auto& each) { return each.first.ends_with(".log"); });
  std::sort(files.begin(), files.end());
  return files;
}

// Runs --check-config beside whatever the house's broker does: the exit code and what was printed.
struct Checked {
  int exit_code = -1;
  std::string output;
  int errors() const {
    int count = 0;
    for (std::size_t at = output.find("tokenbrokerd: "); at != output.npos;
         at = output.find("tokenbrokerd: ", at + 1)) {
      ++count;
    }
    return count;
  }
};

Checked CheckConfig(House& house) {
  WriteFileOrDie(house.path("config.yaml"), house.config());
  if (!fs::exists(house.path("policy.yaml"))) WriteFileOrDie(house.path("policy.yaml"), house.policy());
  const auto before = FilesOf(house);
  ChildProcess check({std::getenv("TOKENBROKERD"), "--config", house.path("config.yaml"), "--check-config"},
                     house.environment(), house.path("check.log"));
  const std::optional<int> code = check.Wait(seconds(20));
  EXPECT_EQ(FilesOf(house), before) << "--check-config changed something";
  return {code.value_or(-1), check.output()};
}

void Sql(const std::string& path, const char* text) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  char* error = nullptr;
  EXPECT_EQ(sqlite3_exec(db, text, nullptr, nullptr, &error), SQLITE_OK) << (error == nullptr ? "" : error);
  sqlite3_close(db);
}

// A ledger that a broker made and left in order.
void MakeLedger(House& house) {
  ASSERT_TRUE(house.StartBroker()) << house.output();
  ASSERT_EQ(house.StopBroker(), 0) << house.output();
}

bool IsRoot() { return geteuid() == 0; }

struct Bad {
  std::string name;
  std::function<void(House&)> spoil;
  std::vector<std::string> says;
};

class BadStartFileTest : public testing::TestWithParam<Bad> {};

TEST_P(BadStartFileTest, IsOneErrorThatNamesIt) {
  House house;
  GetParam().spoil(house);
  const Checked checked = CheckConfig(house);
  if (IsRoot() && GetParam().name.starts_with("Unreadable")) GTEST_SKIP() << "root reads and writes everything";
  EXPECT_EQ(checked.exit_code, 1) << checked.output;
  EXPECT_EQ(checked.errors(), 1) << checked.output;
  for (const std::string& part : GetParam().says) EXPECT_THAT(checked.output, HasSubstr(part));
  EXPECT_THAT(checked.output, Not(HasSubstr(house.issuer_secret())));
  // A start says the same: what is checked is what counts.
  if (GetParam().name.starts_with("Policy")) return;  // Without a policy a broker starts, and denies.
  EXPECT_NE(house.RunBrokerToItsEnd().value_or(0), 0) << house.output();
}

void ReplaceByFolder(const std::string& path) {
  fs::remove(path);
  fs::create_directory(path);
}

Bad Credential(const std::string& name, const std::string& text, const std::string& says) {
  return {"Credential" + name,
          [text](House& house) { WriteFileOrDie(house.path("issuer"), text); },
          {"gitlab[0].issuer_file: ", "/issuer", says}};
}

INSTANTIATE_TEST_SUITE_P(
    Credentials, BadStartFileTest,
    testing::ValuesIn<Bad>({
        Credential("Empty", "", "is empty"),
        Credential("LineEnd", "\n", "is empty"),
        Credential("Blanks", " \t \r\n", "is empty"),
        Credential("TwoLines", "glpat-one\nglpat-two\n", "more than one line"),
        Credential("OldMacLines", "glpat-one\rglpat-two", "more than one line"),
        Credential("TwoWords", "PRIVATE-TOKEN: glpat-one\n", "contains a blank"),
        Credential("Control", "glpat-\x1b[0m\n", "control character"),
        Credential("Nul", std::string("glpat-\0x", 8), "control character"),
        Credential("Latin1", "glpat-\xe9\n", "not ASCII"),
        Credential("ByteOrderMark", "\xef\xbb\xbfglpat-one\n", "not ASCII"),
        Credential("TooLong", std::string(4097, 'x'), "longer than 4096"),
        Credential("Huge", std::string((1 << 20) + 1, 'x'), "larger than 1 MiB"),
        {"CredentialMissing", [](House& h) { unlink(h.path("issuer").c_str()); }, {"issuer", "No such file"}},
        {"CredentialFolder", [](House& h) { ReplaceByFolder(h.path("issuer")); }, {"issuer", "it is not a file"}},
        {"UnreadableCredential", [](House& h) { chmod(h.path("issuer").c_str(), 0); }, {"issuer", "Permission denied"}},
    }),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Tls, BadStartFileTest,
    testing::ValuesIn<Bad>({
        {"NoCertificate", [](House& h) { unlink(h.path("server.pem").c_str()); }, {"server.pem", "No such file"}},
        {"EmptyCertificate", [](House& h) { WriteFileOrDie(h.path("server.pem"), ""); }, {"server.pem", "PEM"}},
        {"CommentAlone", [](House& h) { WriteFileOrDie(h.path("server.pem"), "# none\n"); }, {"server.pem", "PEM"}},
        {"LeafIsNotFirst",
         [](House& h) {
           std::ifstream leaf(h.path("server.pem"));
           const std::string text{std::istreambuf_iterator<char>(leaf), {}};
           WriteFileOrDie(h.path("server.pem"), h.authority().certificate_pem() + text);
         },
         {"server.pem", "must be the first of the chain; it is number 2"}},
        {"NoKey", [](House& h) { unlink(h.path("server.key").c_str()); }, {"server.key", "No such file"}},
        {"KeyFolder", [](House& h) { ReplaceByFolder(h.path("server.key")); }, {"server.key", "it is not a file"}},
        {"UnreadableKey", [](House& h) { chmod(h.path("server.key").c_str(), 0); }, {"server.key", "denied"}},
        {"OtherKey",
         [](House& h) { WriteFileOrDie(h.path("server.key"), h.authority().Issue(ServerSpec()).key_pem); },
         {"server.key", "is not the key of the certificate"}},
        {"CutAuthorities",
         [](House& h) { WriteFileOrDie(h.path("ca.pem"), h.authority().certificate_pem() + "-----BEGIN CERTIFI"); },
         {"ca.pem", "BEGIN or END line is cut short"}},
        {"HalfAnAuthority",
         [](House& h) { WriteFileOrDie(h.path("ca.pem"), h.authority().certificate_pem().substr(0, 300)); },
         {"ca.pem", "BEGIN or END line is cut short"}},
    }),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Ledger, BadStartFileTest,
    testing::ValuesIn<Bad>({
        {"NoLedgerFolder", [](House& h) { h.EditConfig("ledger.db", "absent/ledger.db"); }, {"absent", "No such file"}},
        {"LedgerFolderIsAFile", [](House& h) { h.EditConfig("ledger.db", "issuer/ledger.db"); }, {"issuer"}},
        {"UnreadableLedgerFolder",
         [](House& h) {
           fs::create_directory(h.path("closed"));
           chmod(h.path("closed").c_str(), 0500);
           h.EditConfig("ledger.db", "closed/ledger.db");
         },
         {"closed", "cannot be written"}},
        {"LedgerIsAFolder", [](House& h) { fs::create_directory(h.path("ledger.db")); }, {"ledger.db", "not a file"}},
        {"LockIsAFolder",
         [](House& h) { fs::create_directory(h.path("ledger.db.lock")); },
         {"ledger.db.lock", "not a file"}},
        {"LedgerHasTwoNames",
         [](House& h) {
           MakeLedger(h);
           fs::create_hard_link(h.path("ledger.db"), h.path("second.db"));
         },
         {"ledger.db", "2 names (hard links)"}},
        {"LedgerIsAText",
         [](House& h) { WriteFileOrDie(h.path("ledger.db"), "not a database at all, but a text of some length\n"); },
         {"ledger.db is not a ledger"}},
        {"LedgerOfAnotherProgram",
         [](House& h) { Sql(h.path("ledger.db"), "CREATE TABLE people (name TEXT)"); },
         {"ledger.db is not a ledger", "another program"}},
        {"LedgerOfANewerProgram",
         [](House& h) {
           MakeLedger(h);
           Sql(h.path("ledger.db"), "UPDATE meta SET value = '99' WHERE key = 'schema'");
         },
         {"schema version 99", "this program knows"}},
        {"LedgerOfAnotherBroker",
         [](House& h) {
           MakeLedger(h);
           h.EditConfig("broker: test", "broker: other1");
         },
         {"belongs to broker \"test\"", "other1"}},
    }),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(Others, BadStartFileTest,
                         testing::ValuesIn<Bad>({
                             {"PolicyMissing",
                              [](House& h) { h.EditConfig("policy.yaml", "absent.yaml"); },
                              {"absent.yaml", "No such file"}},
                             {"PolicyOfUnknownFields",
                              [](House& h) { WriteFileOrDie(h.path("policy.yaml"), "rolls: {}\n"); },
                              {"policy.yaml:1:1", "rolls"}},
                             {"Address",
                              [](House& h) { h.EditConfig("grpc: 127.0.0.1:0", "grpc: 127.0.0.1:99999"); },
                              {"listen.grpc", "host:port"}},
                             {"NameThatDoesNotResolve",
                              [](House& h) { h.EditConfig("http: 127.0.0.1:0", "http: no-such-host.invalid:0"); },
                              {"listen.http", "no-such-host.invalid"}},
                         }),
                         [](const auto& info) { return info.param.name; });

TEST(CheckConfigTest, EveryErrorIsPrintedInOneRun) {
  House house;
  unlink(house.path("server.pem").c_str());
  WriteFileOrDie(house.path("server.key"), "");
  WriteFileOrDie(house.path("ca.pem"), "# none\n");
  WriteFileOrDie(house.path("policy.yaml"), "rolls: {}\n");
  WriteFileOrDie(house.path("issuer"), "two words\n");
  house.EditConfig("ledger.db", "absent/ledger.db");
  house.EditConfig("broker: test", "broker: Test_1");
  house.EditConfig("level: info", "level: loud");
  const Checked checked = CheckConfig(house);
  EXPECT_EQ(checked.exit_code, 1);
  EXPECT_EQ(checked.errors(), 8) << checked.output;
  for (const char* part : {"broker: 'Test_1'", "log.level: 'loud'", "server.pem", "server.key", "ca.pem", "absent",
                           "policy.yaml:1:1", "contains a blank"}) {
    EXPECT_THAT(checked.output, HasSubstr(part));
  }
}

TEST(CheckConfigTest, AGoodConfigurationIsGoodBeforeDuringAndAfterABroker) {
  House house;
  Checked checked = CheckConfig(house);
  EXPECT_EQ(checked.exit_code, 0) << checked.output;
  EXPECT_FALSE(fs::exists(house.path("ledger.db")));
  EXPECT_FALSE(fs::exists(house.path("ledger.db.lock")));
  ASSERT_TRUE(house.StartBroker()) << house.output();
  ASSERT_TRUE(house.Client()->Create(UserTokenSpec(house.demo_user()), {}, DeadlineIn(seconds(20))).ok());
  checked = CheckConfig(house);  // Its schema is in the write-ahead log alone.
  EXPECT_EQ(checked.exit_code, 0) << checked.output;
  house.KillBroker();
  ASSERT_TRUE(fs::exists(house.path("ledger.db-wal")));
  checked = CheckConfig(house);
  EXPECT_EQ(checked.exit_code, 0) << checked.output;
  // What the log alone says is read, too.
  house.EditConfig("broker: test", "broker: other1");
  checked = CheckConfig(house);
  EXPECT_EQ(checked.exit_code, 1);
  EXPECT_THAT(checked.output, HasSubstr("belongs to broker \"test\""));
  house.EditConfig("broker: other1", "broker: test");
  ASSERT_TRUE(house.StartBroker()) << house.output();
  EXPECT_EQ(house.StopBroker(), 0);
}

}  // namespace
}  // namespace tokenbroker
