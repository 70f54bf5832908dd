// The rule for files that are replaced while the broker runs, case by case.

#include "server/files/watched_files.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>

#include "server/base/manual_loop.h"
#include "server/telemetry/metrics_page.h"

namespace tokenbroker {
namespace {

namespace fs = std::filesystem;

class LogOfEvents final : public Log {
 public:
  void Write(LogLevel, std::string_view event, Fields) override { events.emplace_back(event); }
  std::vector<std::string> events;
};

// Two files that are good together if both hold the same word, and it is not "bad".
class WatchedFilesTest : public testing::Test {
 protected:
  WatchedFilesTest() {
    std::string folder = testing::TempDir() + "watched_XXXXXX";
    folder_ = mkdtemp(folder.data());
    Write("a", "one");
    Write("b", "one");
    files_ = std::make_unique<WatchedFiles>(
        "tls", std::vector<std::string>{Path("a"), Path("b")},
        [this](const WatchedFiles::Contents& contents) { return Take(contents); }, loop_, metrics_, log_);
    EXPECT_EQ(files_->Load(), absl::OkStatus());
    files_->Start();
  }
  ~WatchedFilesTest() override {
    files_.reset();
    fs::remove_all(folder_);
  }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  // In place, as an editor or `cat >` does.
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(Path(name), std::ios::binary | std::ios::trunc) << text;
  }
  absl::Status Take(const WatchedFiles::Contents& contents) {
    if (contents[0] != contents[1] || contents[0] == "bad" || contents[0].empty()) {
      return absl::InvalidArgumentError(Path("a") + ": is not what is in b");
    }
    taken_ = contents[0];
    return absl::OkStatus();
  }
  bool IsGood() { return MetricsPage(metrics_).find("tokenbroker_files_good{files=\"tls\"} 1") != std::string::npos; }
  int Count(const std::string& event) const {
    return static_cast<int>(std::count(log_.events.begin(), log_.events.end(), event));
  }

  ManualLoop loop_;
  Metrics metrics_;
  LogOfEvents log_;
  std::string folder_;
  std::string taken_;
  std::unique_ptr<WatchedFiles> files_;
};

constexpr char kBadLine[] = "files not taken: the last good ones serve on";

TEST_F(WatchedFilesTest, AGoodSetIsTakenWithinTenSecondsOfItsLastFile) {
  Write("a", "two");
  loop_.Advance(seconds(30));
  EXPECT_EQ(taken_, "one");
  EXPECT_FALSE(IsGood());
  Write("b", "two");
  loop_.Advance(seconds(10));
  EXPECT_EQ(taken_, "two");
  EXPECT_TRUE(IsGood());
  EXPECT_EQ(Count(kBadLine), 1);
  EXPECT_EQ(Count("files taken"), 1);
}

TEST_F(WatchedFilesTest, ASetIsTakenOnlyAfterItWasReadTwiceAlike) {
  Write("a", "t");
  Write("b", "t");  // Both are being written.
  loop_.Advance(seconds(1));
  Write("a", "two");
  Write("b", "two");
  loop_.Advance(seconds(1));
  EXPECT_EQ(taken_, "one");
  loop_.Advance(seconds(1));
  EXPECT_EQ(taken_, "two");
}

struct BadCase {
  std::string name;
  std::function<void(const std::string& a)> spoil;  // What becomes of the first file.
};

class BadFileTest : public WatchedFilesTest, public testing::WithParamInterface<BadCase> {};

TEST_P(BadFileTest, LeavesTheLastGoodSetWithOneLineAndAMetricUntilAGoodOneComes) {
  GetParam().spoil(Path("a"));
  loop_.Advance(minutes(10));
  EXPECT_EQ(taken_, "one");
  EXPECT_FALSE(IsGood());
  EXPECT_EQ(Count(kBadLine), 1);
  chmod(Path("a").c_str(), 0600);
  fs::remove_all(Path("a"));
  Write("a", "two");
  Write("b", "two");
  loop_.Advance(seconds(10));
  EXPECT_EQ(taken_, "two");
  EXPECT_TRUE(IsGood());
}

TEST_P(BadFileTest, ThatIsRepairedIsGoodAgain) {
  GetParam().spoil(Path("a"));
  loop_.Advance(minutes(1));
  fs::remove_all(Path("a"));
  Write("a", "one");
  loop_.Advance(seconds(10));
  EXPECT_EQ(taken_, "one");
  EXPECT_TRUE(IsGood());
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadFileTest,
    testing::ValuesIn<BadCase>({
        {"Missing", [](const std::string& a) { fs::remove(a); }},
        {"Empty", [](const std::string& a) { std::ofstream(a, std::ios::trunc); }},
        {"AFolder",
         [](const std::string& a) {
           fs::remove(a);
           fs::create_directory(a);
         }},
        {"APipe",
         [](const std::string& a) {
           fs::remove(a);
           ASSERT_EQ(mkfifo(a.c_str(), 0600), 0);
         }},
        {"ALinkToNothing",
         [](const std::string& a) {
           fs::remove(a);
           fs::create_symlink(a + ".gone", a);
         }},
        {"AnothersHalf", [](const std::string& a) { std::ofstream(a, std::ios::trunc) << "two"; }},
        {"HalfWritten", [](const std::string& a) { std::ofstream(a, std::ios::trunc) << "o"; }},
        {"Huge", [](const std::string& a) { std::ofstream(a, std::ios::trunc) << std::string((1 << 20) + 1, 'x'); }},
    }),
    [](const auto& info) { return info.param.name; });

// A kubelet keeps a set in a folder and exchanges one link.
TEST_F(WatchedFilesTest, AFolderBehindALinkIsExchangedAtOnce) {
  for (const char* version : {"v1", "v2"}) {
    fs::create_directory(Path(version));
    for (const char* name : {"a", "b"}) std::ofstream(Path(version) + "/" + name) << version;
  }
  fs::create_symlink("v1", Path("data"));
  for (const char* name : {"a", "b"}) {
    fs::remove(Path(name));
    fs::create_symlink(std::string("data/") + name, Path(name));
  }
  loop_.Advance(seconds(10));
  EXPECT_EQ(taken_, "v1");
  fs::create_symlink("v2", Path("data.new"));
  fs::rename(Path("data.new"), Path("data"));
  loop_.Advance(seconds(10));
  EXPECT_EQ(taken_, "v2");
  EXPECT_EQ(Count(kBadLine), 0);
}

}  // namespace
}  // namespace tokenbroker
