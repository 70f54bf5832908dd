// One table of what becomes of files that an operator replaces while the broker runs, tried on each kind of file. What
// was last good serves on, a bad file is one line and a metric, a good one is taken within 10 s, and the return to good
// is one line.

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>

#include "tests/integration/broker_process.h"
#include "tests/support/test_issuer.h"

namespace tokenbroker {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

// In place, as an editor or `cat >` does: the file stays.
void WriteInPlace(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

// How good files come to be there.
using Put = std::function<void(const std::map<std::string, std::string>& files)>;

void PutInPlace(const std::map<std::string, std::string>& files) {
  for (const auto& [path, text] : files) WriteInPlace(path, text);
}
void PutByRename(const std::map<std::string, std::string>& files) {
  for (const auto& [path, text] : files) {
    if (fs::is_directory(fs::symlink_status(path))) fs::remove_all(path);
    WriteFileOrDie(path, text);
  }
}
// As a kubelet does: "path" leads through "..data" to a folder of one generation, and that link is exchanged.
void PutByLink(const std::map<std::string, std::string>& files) {
  static int generations = 0;
  const fs::path root = fs::path(files.begin()->first).parent_path();
  const std::string generation = "..generation" + std::to_string(++generations);
  // Sets of files lie side by side, so each has a link: it is named after the set's first file.
  const std::string link = "..data-" + fs::path(files.begin()->first).filename().string();
  fs::create_directory(root / generation);
  for (const auto& [path, text] : files) WriteInPlace(root / generation / fs::path(path).filename(), text);
  fs::create_symlink(generation, root / (link + ".new"));
  fs::rename(root / (link + ".new"), root / link);
  for (const auto& [path, text] : files) {
    const fs::path inside = fs::path(link) / fs::path(path).filename();
    if (fs::is_symlink(path) && fs::read_symlink(path) == inside) continue;
    fs::create_symlink(inside, path + ".new");
    if (fs::is_directory(fs::symlink_status(path))) fs::remove_all(path);
    fs::rename(path + ".new", path);
  }
}

// One kind of file.
struct Kind {
  std::string name;
  std::string label;                                         // In tokenbroker_files_good{files}.
  std::string file;                                          // The one that is spoilt.
  std::function<std::map<std::string, std::string>()> good;  // Another good content of all files of its set.
  std::string half, cut, other;  // A half of it; it, and then a line cut short; what is valid, but not here.
  std::string taken_line, rejected_line;
};

struct Case {
  std::string name;
  std::function<void(const Kind& kind)> spoil;  // Null: nothing is spoilt.
  Put repair;
};

std::vector<Case> Cases() {
  const auto write = [](auto text) { return [text](const Kind& kind) { WriteFileOrDie(kind.file, kind.*text); }; };
  const auto put = [](const std::string& text) {
    return [text](const Kind& kind) { WriteFileOrDie(kind.file, text); };
  };
  std::vector<Case> cases = {
      {"Empty", put(""), PutByRename},
      {"EmptyInPlace", [](const Kind& kind) { WriteInPlace(kind.file, ""); }, PutInPlace},
      {"CommentAlone", put("# nothing here\n"), PutInPlace},
      {"Folder",
       [](const Kind& kind) {
         fs::create_directory(kind.file + ".folder");
         fs::remove(kind.file);
         fs::rename(kind.file + ".folder", kind.file);
       },
       PutByRename},
      {"Missing", [](const Kind& kind) { fs::remove(kind.file); }, PutInPlace},
      {"LinkToNothing",
       [](const Kind& kind) {
         fs::create_symlink("nowhere", kind.file + ".new");
         fs::rename(kind.file + ".new", kind.file);
       },
       PutByRename},
      {"HalfWritten", write(&Kind::half), PutInPlace},
      {"CutShort", write(&Kind::cut), PutByRename},
      {"OfAnother", write(&Kind::other), PutByLink},
      {"ChangedInPlace", nullptr, PutInPlace},
      {"Renamed", nullptr, PutByRename},
      {"LinkExchanged", nullptr, PutByLink},
      {"LinkExchangedAgain", nullptr, PutByLink},
  };
  // Root reads everything.
  if (geteuid() != 0) {
    cases.push_back({"Unreadable",
                     [](const Kind& kind) {
                       WriteFileOrDie(kind.file, "x");
                       chmod(kind.file.c_str(), 0);
                     },
                     PutByRename});
  }
  return cases;
}

// A broker whose files are replaced; one of its three TLS files is spoilt.
class ReplacedFiles {
 public:
  explicit ReplacedFiles(const std::string& tls_file)
      : issuer_("cluster", TestKey::Ec("one")), certificate_(house_.authority().Issue(ServerSpec())) {
    fs::copy_file(house_.path("ca.pem"), house_.path("clients.pem"));
    house_.EditConfig("client_ca_file: " + house_.path("ca.pem"), "client_ca_file: " + house_.path("clients.pem"));
    house_.EditConfig("  client_ca_file:", "  client_certificates: optional\n  client_ca_file:");
    house_.config() += "identity:\n  issuers:\n    - issuer: cluster\n      audiences: [broker]\n      jwks_file: " +
                       house_.path("keys.json") + "\n";
    house_.policy().replace(house_.policy().find("  - name: demo\n"), 0,
                            "  - name: builder\n    identities:\n      - jwt: {issuer: cluster, sub: builder}\n");
    WriteFileOrDie(house_.path("keys.json"), issuer_.KeySet());
    AddTls(tls_file);
    AddOthers();
  }

  bool Start() { return house_.StartBroker(); }

  // For each kind of file.
  void Spoil(const Case& tried) {
    Note();
    for (const Kind& kind : kinds_) tried.spoil(kind);
  }
  void ExpectBad() {
    for (const Kind& kind : kinds_) {
      EXPECT_TRUE(Eventually([&] { return IsGood(kind) == false; }, seconds(10))) << kind.name << house_.output();
    }
  }
  void ExpectServing() {
    const auto made = house_.Client()->Create(UserTokenSpec(house_.demo_user()), {}, DeadlineIn(seconds(20)));
    EXPECT_TRUE(made.ok()) << made.status() << house_.output();
    const auto now = WallTime(duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch()));
    TokenClientOptions options;
    options.address = house_.grpc_address();
    options.ca_file = house_.path("ca.pem");
    options.bearer_file = house_.path("token");
    WriteFileOrDie(options.bearer_file, issuer_.Token(issuer_.Claims("broker", "builder", now)));
    const auto client = MakeTokenClient(options);
    ASSERT_TRUE(client.ok()) << client.status();
    const auto caller = (*client)->GetCaller(DeadlineIn(seconds(20)));
    EXPECT_TRUE(caller.ok()) << caller.status() << house_.output();
  }
  void ExpectOneLineEach(bool taken) {
    for (const Kind& kind : kinds_) {
      EXPECT_EQ(Lines(kind, taken), lines_[kind.name + (taken ? "+" : "-")] + 1) << kind.name << house_.output();
    }
    Note();
  }
  void Repair(const Case& tried) {
    for (const Kind& kind : kinds_) tried.repair(kind.good());
  }
  void ExpectTaken() {
    const auto began = std::chrono::steady_clock::now();
    for (const Kind& kind : kinds_) {
      EXPECT_TRUE(Eventually([&] { return IsGood(kind) && Lines(kind, true) > lines_[kind.name + "+"]; }, seconds(20)))
          << kind.name << house_.output();
    }
    EXPECT_LT(std::chrono::steady_clock::now() - began, seconds(10));
  }
  // How many lines there are before something happens.
  void Note() {
    for (const Kind& kind : kinds_) {
      lines_[kind.name + "+"] = Lines(kind, true);
      lines_[kind.name + "-"] = Lines(kind, false);
    }
  }

  House& house() { return house_; }

 private:
  void AddTls(const std::string& tls_file) {
    Kind kind = {tls_file, "tls", house_.path(tls_file), nullptr, "", "", "", "files taken", "files not taken"};
    kind.good = [this]() -> std::map<std::string, std::string> {
      const TestCertificate fresh = house_.authority().Issue(ServerSpec());
      const std::string other = TestAuthority("Yet another").certificate_pem();
      return {{house_.path("server.pem"), "# renewed\n" + fresh.certificate_pem},
              {house_.path("server.key"), fresh.key_pem},
              {house_.path("clients.pem"), house_.authority().certificate_pem() + other}};
    };
    const auto files = kind.good();
    const std::string& text = files.at(kind.file);
    kind.half = text.substr(0, text.size() / 2);
    kind.cut = tls_file == "server.key" ? "-----BEGIN PRIVATE KE" : text + "-----BEGIN CERTIFI";
    // The key of another certificate, the certificate of another key, a key in the place of authorities.
    kind.other = tls_file == "clients.pem"
                     ? certificate_.key_pem
                     : (tls_file == "server.key" ? certificate_.key_pem : certificate_.certificate_pem);
    kinds_.push_back(std::move(kind));
  }
  void AddOthers() {
    const auto fresh = [this](const std::string& name, auto text) {
      return [this, name, text]() -> std::map<std::string, std::string> {
        return {{house_.path(name), text() + std::string(++fresh_, '\n')}};
      };
    };
    const std::string policy = house_.policy();
    const std::string keys = issuer_.KeySet();
    kinds_.push_back({"policy", "policy", house_.path("policy.yaml"), fresh("policy.yaml", [policy] { return policy; }),
                      policy.substr(0, policy.find("- spiffe:") + 5), policy + "bindi", keys, "policy loaded",
                      "policy not loaded"});
    kinds_.push_back({"jwt_keys", "jwt_keys:cluster", house_.path("keys.json"),
                      fresh("keys.json", [keys] { return keys; }), keys.substr(0, keys.size() / 2),
                      keys.substr(0, keys.size() - 1), R"({"keys":[]})", "JWT keys taken up", "JWT keys not taken up"});
    const std::string secret = house_.issuer_secret();
    kinds_.push_back({"credential", "gitlab_credential", house_.path("issuer"),
                      fresh("issuer", [secret] { return secret; }), secret + "\nglp", secret + "\x01",
                      "PRIVATE-TOKEN: " + secret, "files taken", "files not taken"});
  }

  bool IsGood(const Kind& kind) const {
    const std::string page = house_.Fetch("/metrics");
    return page.find("tokenbroker_files_good{files=\"" + kind.label + "\"} 1\n") != std::string::npos;
  }
  int Lines(const Kind& kind, bool taken) const {
    const std::string event = "\"event\":\"" + (taken ? kind.taken_line : kind.rejected_line);
    const bool is_shared = kind.taken_line == "files taken";
    int count = 0;
    std::istringstream output(house_.output());
    for (std::string line; std::getline(output, line);) {
      if (line.find(event) == line.npos) continue;
      count += !is_shared || line.find("\"files\":\"" + kind.label + "\"") != line.npos ? 1 : 0;
    }
    return count;
  }

  House house_;
  TestIssuer issuer_;
  const TestCertificate certificate_;
  int fresh_ = 0;
  std::vector<Kind> kinds_;
  std::map<std::string, int> lines_;
};

// One broker for each of the TLS files, so that three cases run at a time; each tries all other kinds as well.
TEST(ReplacedFilesTest, TheLastGoodOnesServeOnAndGoodOnesAreTaken) {
  std::vector<std::unique_ptr<ReplacedFiles>> brokers;
  for (const char* const file : {"server.pem", "server.key", "clients.pem"}) {
    brokers.push_back(std::make_unique<ReplacedFiles>(file));
    ASSERT_TRUE(brokers.back()->Start()) << brokers.back()->house().output();
  }
  for (const Case& tried : Cases()) {
    SCOPED_TRACE(tried.name);
    if (tried.spoil != nullptr) {
      for (const auto& each : brokers) each->Spoil(tried);
      for (const auto& each : brokers) each->ExpectBad();
      for (const auto& each : brokers) each->ExpectServing();
      for (const auto& each : brokers) each->ExpectOneLineEach(/*taken=*/false);
    } else {
      for (const auto& each : brokers) each->Note();
    }
    for (const auto& each : brokers) each->Repair(tried);
    for (const auto& each : brokers) each->ExpectTaken();
    for (const auto& each : brokers) each->ExpectServing();
    for (const auto& each : brokers) each->ExpectOneLineEach(/*taken=*/true);
  }
  for (const auto& each : brokers) EXPECT_EQ(each->house().StopBroker(), 0) << each->house().output();
}

}  // namespace
}  // namespace tokenbroker
