#include "server/gitlab/http_gitlab_fixture.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iostream>

#include "gtest/gtest.h"
#include "server/base/error.h"
#include "server/gitlab/http_gitlab.h"
#include "server/ledger/intent_for_test.h"
#include "server/telemetry/log.h"

namespace tokenbroker {
namespace {

std::filesystem::path NewFolder() {
  std::string name = testing::TempDir() + "/adapter_XXXXXX";
  if (mkdtemp(name.data()) == nullptr) std::abort();
  return name;
}

}  // namespace

AdapterUnderTest::AdapterUnderTest(const std::string& url, const std::string& issuer_secret, int max_connections)
    : folder_(NewFolder()) {
  WriteIssuer(issuer_secret);
  slots_ = std::make_unique<Slots>(loop_, loop_, metrics_, max_connections);
  HttpGitLabOptions options;
  options.url = url;
  options.issuer_file = folder_ / "issuer";
  options.max_connections = max_connections;
  absl::StatusOr<std::unique_ptr<GitLab>> gitlab = MakeHttpGitLab(options, loop_, loop_, *slots_, metrics_, NullLog());
  if (!gitlab.ok()) {
    std::cerr << gitlab.status() << "\n";
    std::abort();
  }
  gitlab_ = *std::move(gitlab);
  scope_ = std::make_unique<TaskScope>(loop_);
}

AdapterUnderTest::~AdapterUnderTest() {
  EXPECT_TRUE(scope_->WaitIdle(seconds(70)));
  std::filesystem::remove_all(folder_);
}

void AdapterUnderTest::WriteIssuer(const std::string& secret) const {
  std::ofstream(folder_ / "issuer.new") << secret << "\n";
  std::filesystem::rename(folder_ / "issuer.new", folder_ / "issuer");
}

DurableIntent AdapterUnderTest::Intent(Duration ago) { return IntentForTest::Make(Token(), loop_.Boot() - ago); }

template <typename T>
std::string EndOf(const Ended<T>& end) {
  if (const auto* refused = std::get_if<Refused>(&end)) return "REFUSED " + ReasonOf(refused->why);
  if (const auto* unknown = std::get_if<Unknown>(&end)) return "UNKNOWN " + ReasonOf(unknown->why);
  return "DONE";
}
template std::string EndOf(const Ended<Minted>&);
template std::string EndOf(const Ended<GitLab::Deleted>&);

MintSpec SpecFor(ResolvedTarget target, std::string name) {
  MintSpec spec;
  spec.access_level = target.kind == TargetKind::kProject ? 30 : 0;
  spec.target = std::move(target);
  spec.name = std::move(name);
  spec.description = "for a test";
  spec.scopes = {"read_api"};
  spec.expires_at = DateOf(FromMicros(std::chrono::duration_cast<std::chrono::microseconds>(
                                          std::chrono::system_clock::now().time_since_epoch())
                                          .count())) +
                    std::chrono::days(7);
  return spec;
}

ResolvedTarget UserTarget(std::int64_t id) { return {"main", TargetKind::kUser, id, "somebody"}; }
ResolvedTarget ProjectTarget(std::int64_t id) { return {"main", TargetKind::kProject, id, "acme/payments"}; }

}  // namespace tokenbroker
