#pragma once
// A real tokenbrokerd in a process of its own, against a simulated GitLab in this one, with real certificates and
// files: what the tests of the whole house stand on.

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/token_client.h"
#include "tests/gitlab_sim/gitlab_sim.h"
#include "tests/support/test_certificates.h"

namespace tokenbroker {

// A child process whose output goes to files. Killed when destroyed.
class ChildProcess {
 public:
  // `environment`: "NAME=value", the whole of it.
  ChildProcess(std::vector<std::string> arguments, std::vector<std::string> environment, std::string output_file);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  void Signal(int number) const;
  // The exit code (128 + n for a signal), or nothing if it still runs after `patience`.
  std::optional<int> Wait(std::chrono::seconds patience);
  pid_t pid() const { return pid_; }
  std::string output() const;

 private:
  std::string output_file_;
  pid_t pid_ = -1;
  std::optional<int> exit_code_;
};

// A folder with everything that a broker and its callers need, and the GitLab that it fronts:
//   user 'root' (administrator, the issuer), user 'demo-user', project 'acme/payments' that demo-user may read.
class House {
 public:
  explicit House(const gitlab_sim::Options& options = {});
  ~House();

  gitlab_sim::GitLabSim& gitlab() { return *gitlab_; }
  std::int64_t demo_user() const { return demo_user_; }
  std::int64_t project() const { return project_; }
  const std::string& issuer_secret() const { return issuer_secret_; }
  const std::string& folder() const { return folder_; }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  // What the next start reads. `config` may be replaced line by line by the test.
  std::string& config() { return config_; }
  std::string& policy() { return policy_; }
  std::vector<std::string>& environment() { return environment_; }
  // The program that is started and its arguments before `--config`; empty: $TOKENBROKERD.
  std::vector<std::string>& command() { return command_; }
  std::vector<std::string>& arguments() { return arguments_; }  // After it.
  // Replaces the one occurrence of `from` in the configuration; the test fails if there is none.
  void EditConfig(const std::string& from, const std::string& to);

  // Writes the files and starts the broker; waits until it serves. False if it ended instead: see output().
  bool StartBroker();
  // Writes the files and starts the broker, and waits for nothing.
  void Launch();
  // SIGTERM, and waits for the end.
  std::optional<int> StopBroker();
  // SIGKILL.
  void KillBroker();
  // Writes the files, starts the broker and waits for it to end by itself.
  std::optional<int> RunBrokerToItsEnd();
  ChildProcess& broker() { return *broker_; }
  std::string output() const;

  std::string grpc_address() const;
  std::string http_address() const;  // Known before the broker serves.
  // The body of GET http://<side door><path>; empty if it did not answer.
  std::string Fetch(const std::string& path, int* status = nullptr) const;

  // A client with this identity's certificate.
  std::unique_ptr<TokenClient> Client(const std::string& spiffe = "spiffe://test/demo");
  TestAuthority& authority() { return authority_; }
  // The files of the client certificate for `spiffe`, made when first asked for: certificate, key. It lasts for weeks,
  // since the broker's clock may be ahead of ours.
  std::pair<std::string, std::string> ClientFiles(const std::string& spiffe);

  // Every file under the folder, with its content.
  std::vector<std::pair<std::string, std::string>> AllFiles() const;

 private:
  void WriteFiles();

  std::string folder_;
  std::unique_ptr<gitlab_sim::GitLabSim> gitlab_;
  std::int64_t demo_user_ = 0;
  std::int64_t project_ = 0;
  std::string issuer_secret_;
  TestAuthority authority_;
  std::string config_;
  std::string policy_;
  std::vector<std::string> environment_;
  std::vector<std::string> command_;
  std::vector<std::string> arguments_;
  int starts_ = 0;
  std::unique_ptr<ChildProcess> broker_;
};

// The spec of a user token as the tests ask for it.
v1::Token UserTokenSpec(std::int64_t user, std::chrono::seconds ttl = std::chrono::hours(1));
v1::Token ProjectTokenSpec(const std::string& path, std::chrono::seconds ttl = std::chrono::hours(1));

// GETs `url` with this secret as PRIVATE-TOKEN; the HTTP status.
int UseToken(const std::string& url, std::string_view secret);

// Waits until `condition` holds, looking every few milliseconds; false after `patience`.
template <typename Condition>
bool Eventually(Condition condition, std::chrono::seconds patience = std::chrono::seconds(30));

void NapBetweenLooks();

template <typename Condition>
bool Eventually(Condition condition, std::chrono::seconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    NapBetweenLooks();
  }
  return true;
}

}  // namespace tokenbroker
