#pragma once
// Testonly: the real adapter on a real loop, against whatever listens on a loopback port.

#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "server/base/call_context.h"
#include "server/base/event_loop.h"
#include "server/base/task_scope.h"
#include "server/gitlab/gitlab.h"
#include "server/gitlab/slots.h"
#include "server/telemetry/metrics.h"

namespace tokenbroker {

class AdapterUnderTest {
 public:
  // Ends the process if the adapter cannot be made.
  AdapterUnderTest(const std::string& url, const std::string& issuer_secret, int max_connections = 64);
  ~AdapterUnderTest();
  AdapterUnderTest(const AdapterUnderTest&) = delete;
  AdapterUnderTest& operator=(const AdapterUnderTest&) = delete;

  GitLab& gitlab() { return *gitlab_; }
  EventLoop& loop() { return loop_; }
  Slots& slots() { return *slots_; }

  // Another credential in the issuer's file.
  void WriteIssuer(const std::string& secret) const;

  // Starts `task` on the loop; what it ends with is the future's.
  template <typename T>
  std::future<T> Start(Task<T> task) {
    auto promise = std::make_shared<std::promise<T>>();
    std::future<T> future = promise->get_future();
    scope_->Spawn<T>(std::move(task), [promise](T value) { promise->set_value(std::move(value)); });
    return future;
  }
  // Runs it to its end.
  template <typename T>
  T Run(Task<T> task) {
    return Start(std::move(task)).get();
  }

  // An intent whose transaction began just now, or `ago`.
  DurableIntent Intent(Duration ago = Duration(0));
  CallContext Within(Duration time) { return CallContext(loop_.Boot() + time); }

 private:
  const std::filesystem::path folder_;
  EventLoop loop_;
  Metrics metrics_;
  std::unique_ptr<Slots> slots_;
  std::unique_ptr<GitLab> gitlab_;
  std::unique_ptr<TaskScope> scope_;
};

// "DONE"; "REFUSED" or "UNKNOWN", and the reason.
template <typename T>
std::string EndOf(const Ended<T>& end);

// What a test asks for: good for a user or a project.
MintSpec SpecFor(ResolvedTarget target, std::string name);
ResolvedTarget UserTarget(std::int64_t id);
ResolvedTarget ProjectTarget(std::int64_t id);

}  // namespace tokenbroker
