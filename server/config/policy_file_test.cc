// Real files, a clock moved by hand.
#include "server/config/policy_file.h"

#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "server/base/error.h"
#include "server/base/manual_loop.h"

namespace tokenbroker {
namespace {

// Keeps every line.
class ListLog final : public Log {
 public:
  struct Line {
    LogLevel level;
    std::string event, error;
  };
  void Write(LogLevel level, std::string_view event, Fields fields) override {
    Line line = {level, std::string(event), ""};
    for (const LogField& field : fields) {
      const auto* const text = std::get_if<std::string_view>(&field.value);
      if (field.key == "error" && text != nullptr) line.error = std::string(*text);
    }
    lines.push_back(std::move(line));
  }
  std::size_t Count(std::string_view event) const {
    return std::count_if(lines.begin(), lines.end(), [&](const Line& line) { return line.event == event; });
  }

  std::vector<Line> lines;
};

std::string PolicyFor(const std::string& caller) {
  return "callers: [{name: " + caller + ", identities: [{dns: a}]}]\n";
}

class PolicyFileTest : public testing::Test {
 protected:
  PolicyFileTest()
      : folder_(testing::TempDir() + "/" + testing::UnitTest::GetInstance()->current_test_info()->name()),
        path_(folder_ + "/policy.yaml") {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
  }

  void Begin() {
    file_ = std::make_unique<PolicyFile>(path_, PolicyOptions{}, loop_, metrics_, log_);
    file_->LoadAtStart();
    file_->Start();
  }
  void WriteInPlace(const std::string& text) const { std::ofstream(path_, std::ios::binary) << text; }
  void Exchange(const std::string& text) const {
    const std::string next = folder_ + "/next";
    std::ofstream(next, std::ios::binary) << text;
    std::filesystem::rename(next, path_);
  }
  void Tick() { loop_.Advance(seconds(1)); }
  // The one caller's name; empty if there is none.
  std::string InForce() const {
    const auto policy = file_->Current();
    return policy->callers().empty() ? "" : policy->callers()[0].name.text();
  }
  // A counter's or a gauge's.
  double Metric(const std::string& name) const {
    for (const auto& family : metrics_.registry()->Collect()) {
      if (family.name != name || family.metric.empty()) continue;
      const auto& metric = family.metric[0];
      return family.type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value;
    }
    return -1;
  }
  std::size_t failures() const {
    EXPECT_EQ(Metric("tokenbroker_policy_load_failures_total"), log_.Count("policy not loaded"));
    return log_.Count("policy not loaded");
  }

  const std::string folder_, path_;
  ManualLoop loop_;
  Metrics metrics_;
  ListLog log_;
  std::unique_ptr<PolicyFile> file_;
};

TEST_F(PolicyFileTest, LoadsAtStart) {
  WriteInPlace("callers: []\n");
  Begin();
  EXPECT_TRUE(file_->ready().ok()) << file_->ready();
  // printf 'callers: []\n' | sha256sum
  EXPECT_EQ(file_->Current()->version(), "d6187afa1802b857");
  EXPECT_EQ(failures(), 0u);
}

TEST_F(PolicyFileTest, WithoutAGoodFileNobodyMayUntilOneComes) {
  for (const std::string& text : {std::string("absent"), std::string(), std::string(" \n# nothing\n"),
                                  std::string("rolls: {}\n"), std::string("denies: [{scopes: [apy]}]\n")}) {
    log_.lines.clear();
    std::filesystem::remove(path_);
    if (text != "absent") WriteInPlace(text);
    Begin();
    EXPECT_EQ(file_->Current(), Policy::DenyAll()) << text;
    EXPECT_EQ(ReasonOf(file_->ready()), "POLICY_MISSING");
    ASSERT_EQ(log_.lines.size(), 1u);
    EXPECT_EQ(log_.lines[0].level, LogLevel::kWarn);
    EXPECT_EQ(log_.lines[0].event, "policy not loaded");
    EXPECT_EQ(log_.lines[0].error.rfind(path_ + ":", 0), 0u) << log_.lines[0].error;
    EXPECT_EQ(file_->ready().message(), log_.lines[0].error);
    Tick();
    Tick();
    EXPECT_EQ(log_.Count("policy not loaded"), 1u) << "once per content";
    Exchange(PolicyFor("web"));
    Tick();
    Tick();
    EXPECT_EQ(InForce(), "web");
    EXPECT_TRUE(file_->ready().ok());
    file_.reset();
  }
}

TEST_F(PolicyFileTest, TheErrorNamesPlaceAndField) {
  WriteInPlace("callers: []\ndenies:\n  - scopes: [read_user, read_apy]\n");
  Begin();
  ASSERT_EQ(log_.lines.size(), 1u);
  EXPECT_EQ(log_.lines[0].error,
            path_ + ":3:25: denies[0].scopes[1]: unknown scope 'read_apy'; did you mean 'read_api'?");
  EXPECT_EQ(CheckPolicyFile(path_, {}).message(), log_.lines[0].error);
}

TEST_F(PolicyFileTest, AnEmptyMomentIsNotAPolicy) {
  WriteInPlace(PolicyFor("web"));
  Begin();
  const auto good = file_->Current();
  const double loaded_at = Metric("tokenbroker_policy_load_time_seconds");
  EXPECT_GT(loaded_at, 0);
  std::size_t want = 0;
  const auto stays = [&] {
    for (int i = 0; i < 3; ++i) Tick();
    EXPECT_EQ(file_->Current(), good);
    EXPECT_TRUE(file_->ready().ok());
    EXPECT_EQ(failures(), ++want);
    EXPECT_EQ(Metric("tokenbroker_policy_load_time_seconds"), loaded_at);
  };
  WriteInPlace("");
  stays();
  WriteInPlace("# only a comment\n");
  stays();
  WriteInPlace("callers: [\n");
  stays();
  Exchange("rolls: {}\n");
  stays();
  unlink(path_.c_str());
  stays();
  mkdir(path_.c_str(), 0700);
  stays();
  rmdir(path_.c_str());
  stays();
  // Who wants to deny everything writes it.
  Exchange("bindings: []\n");
  for (int i = 0; i < 2; ++i) Tick();
  EXPECT_EQ(InForce(), "");
  EXPECT_NE(file_->Current(), good);
  EXPECT_EQ(failures(), want);
}

TEST_F(PolicyFileTest, AnExchangedFileIsTakenAtOnce) {
  WriteInPlace(PolicyFor("web"));
  Begin();
  for (int i = 0; i < 20; ++i) {
    const std::string name = "web" + std::to_string(i);
    Exchange(PolicyFor(name));
    Tick();
    EXPECT_EQ(InForce(), name);
  }
}

TEST_F(PolicyFileTest, AMetricNamesTheOneInForceAlone) {
  WriteInPlace("callers: []\n");
  Begin();
  Exchange(PolicyFor("web"));
  Tick();
  Exchange("rolls: {}\n");
  Tick();
  ASSERT_EQ(InForce(), "web");
  for (const auto& family : metrics_.registry()->Collect()) {
    if (family.name != "tokenbroker_policy_info") continue;
    ASSERT_EQ(family.metric.size(), 1u);
    std::map<std::string, std::string> labels;
    for (const auto& label : family.metric[0].label) labels[label.name] = label.value;
    EXPECT_EQ(labels["version"], file_->Current()->version());
    EXPECT_EQ(labels["hash"].size(), 64u);
    EXPECT_EQ(labels["hash"].substr(0, 16), labels["version"]);
    EXPECT_EQ(family.metric[0].gauge.value, 1);
    return;
  }
  ADD_FAILURE() << "there is no such metric";
}

TEST_F(PolicyFileTest, AnExchangedLinkIsTakenAtOnce) {
  for (const char* name : {"one", "two"}) std::ofstream(folder_ + "/" + name) << PolicyFor(name);
  std::filesystem::create_symlink("one", path_);
  Begin();
  EXPECT_EQ(InForce(), "one");
  std::filesystem::create_symlink("two", folder_ + "/next");
  std::filesystem::rename(folder_ + "/next", path_);
  Tick();
  EXPECT_EQ(InForce(), "two");
}

TEST_F(PolicyFileTest, AFileChangedInPlaceMustBeQuietForASecond) {
  WriteInPlace(PolicyFor("web"));
  Begin();
  // Written in three pieces, each a valid policy; the first two are never in force.
  const std::string whole = PolicyFor("app") + "denies: [{verbs: [create]}]\n";
  WriteInPlace(PolicyFor("a"));
  Tick();
  EXPECT_EQ(InForce(), "web");
  WriteInPlace(PolicyFor("app"));
  Tick();
  EXPECT_EQ(InForce(), "web");
  WriteInPlace(whole);
  Tick();
  EXPECT_EQ(InForce(), "web");
  Tick();
  EXPECT_EQ(InForce(), "app");
  EXPECT_EQ(failures(), 0u);
}

TEST_F(PolicyFileTest, AShortTruncationIsNotEvenAFailure) {
  const std::string text = PolicyFor("web");
  WriteInPlace(text);
  Begin();
  const auto good = file_->Current();
  for (int i = 0; i < 50; ++i) {
    WriteInPlace("");
    Tick();
    EXPECT_EQ(file_->Current(), good);
    WriteInPlace(text);
    Tick();
    EXPECT_EQ(file_->Current(), good);
  }
  EXPECT_EQ(failures(), 0u);
}

TEST_F(PolicyFileTest, AFileThatAppearsMustBeQuietForASecond) {
  Begin();
  WriteInPlace(PolicyFor("a"));
  Tick();
  EXPECT_EQ(InForce(), "");
  WriteInPlace(PolicyFor("app"));
  Tick();
  EXPECT_EQ(InForce(), "");
  Tick();
  EXPECT_EQ(InForce(), "app");
}

TEST_F(PolicyFileTest, TheSameBadTextLaterIsCountedAgain) {
  WriteInPlace(PolicyFor("web"));
  Begin();
  for (int i = 0; i < 2; ++i) {
    Exchange("rolls: {}\n");
    Tick();
    Tick();
    Exchange(PolicyFor("web"));
    Tick();
  }
  EXPECT_EQ(failures(), 2u);
  EXPECT_EQ(log_.Count("policy loaded"), 3u);
}

// For the sanitizers, too: one thread decides while another loads.
TEST_F(PolicyFileTest, EveryDecisionIsOfOneWholePolicy) {
  const std::string odd = PolicyFor("odd") + "denies: [{verbs: [create]}]\n";
  const std::string even = PolicyFor("even");
  WriteInPlace(even);
  Begin();
  const std::string even_version = file_->Current()->version();
  std::atomic<bool> stop = false;
  std::atomic<int> torn = 0;
  std::thread reader([&] {
    while (!stop) {
      const auto policy = file_->Current();
      const bool is_even = policy->callers().size() == 1 && policy->callers()[0].name.text() == "even";
      if (is_even != (policy->version() == even_version) || !file_->ready().ok()) ++torn;
    }
  });
  for (int i = 0; i < 200; ++i) {
    Exchange(i % 2 == 0 ? odd : even);
    Tick();
  }
  stop = true;
  reader.join();
  EXPECT_EQ(torn, 0);
  EXPECT_EQ(log_.Count("policy loaded"), 201u);
}

// Each generation's roles bind what its callers name: mixed, they would not compile.
TEST_F(PolicyFileTest, AMountedFolderIsExchangedAtOnceAndAsAWhole) {
  const auto generation = [&](int i) {
    const std::string name = "web" + std::to_string(i);
    const std::string folder = path_ + "/..gen" + std::to_string(i);
    std::filesystem::create_directories(folder);
    std::ofstream(folder + "/callers.yaml") << PolicyFor(name);
    std::ofstream(folder + "/bindings.yaml")
        << "roles: {r" << i << ": [{verbs: [read], targets: [{user: 42}]}]}\nbindings: [{callers: [" << name
        << "], roles: [r" << i << "]}]\n";
    std::filesystem::create_directory_symlink("..gen" + std::to_string(i), path_ + "/..next");
    std::filesystem::rename(path_ + "/..next", path_ + "/..data");
    if (i > 0) std::filesystem::remove_all(path_ + "/..gen" + std::to_string(i - 1));
  };
  generation(0);
  Begin();
  for (int i = 1; i < 50; ++i) {
    generation(i);
    Tick();
    ASSERT_EQ(InForce(), "web" + std::to_string(i));
  }
  EXPECT_EQ(failures(), 0u);
}

TEST_F(PolicyFileTest, APlainFolderMustBeQuietForASecond) {
  std::filesystem::create_directory(path_);
  std::ofstream(path_ + "/a.yaml") << PolicyFor("web");
  Begin();
  EXPECT_EQ(InForce(), "web");
  // A rename is no better here: the denies may follow.
  std::ofstream(path_ + "/next") << PolicyFor("app");
  std::filesystem::rename(path_ + "/next", path_ + "/a.yaml");
  Tick();
  EXPECT_EQ(InForce(), "web");
  std::ofstream(path_ + "/b.yaml") << "denies: [{verbs: [create]}]\n";
  Tick();
  EXPECT_EQ(InForce(), "web");
  Tick();
  EXPECT_EQ(InForce(), "app");
  EXPECT_EQ(failures(), 0u);
}

TEST_F(PolicyFileTest, StopsLookingWhenItEnds) {
  WriteInPlace(PolicyFor("web"));
  Begin();
  EXPECT_TRUE(loop_.EarliestTimer().has_value());
  file_.reset();
  EXPECT_FALSE(loop_.EarliestTimer().has_value());
}

}  // namespace
}  // namespace tokenbroker
