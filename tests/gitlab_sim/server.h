// What serves one request: it is recorded, a fault is looked for, the model (or git) acts, and the answer goes out,
// late, torn or not at all, as the fault wants. The public face of it is GitLabSim.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <regex>
#include <string>

#include "tests/gitlab_sim/faults.h"
#include "tests/gitlab_sim/gitlab_sim.h"
#include "tests/gitlab_sim/http_loop.h"
#include "tests/gitlab_sim/model.h"

namespace tokenbroker::gitlab_sim {

class Server {
 private:
  const Options options_;  // First: the model is made from it.
  std::atomic<int64_t> offset_ms_{0};
  std::atomic<int64_t> moved_forward_ms_{0};

 public:
  explicit Server(Options options);

  // The machine's wall clock plus an offset. From any thread.
  TimePoint Now() const;
  // Whatever a move forward makes due has happened on return, each at its own time.
  void MoveClock(std::chrono::milliseconds by);

  // Takes a request; the reply may come later. On the loop's thread.
  void Serve(HttpRequest request, const std::shared_ptr<Reply>& reply);

  // Whether a recorded request has this method (empty: any), a path in which `path` is found, and `marker` in its body
  // or target.
  static bool Fits(const SeenRequest& request, const std::string& method, const std::regex& path,
                   const std::string& marker);

  const Options& options() const { return options_; }

  // The members below are guarded by the mutex.
  std::mutex mutex;
  std::condition_variable arrived;  // A request was recorded.
  Model model;
  FaultPlan faults;
  std::deque<SeenRequest> requests;
  size_t first_request = 0;  // How many were cleared away or forgotten.

  // Destroyed first, as what it runs uses all of the above.
  HttpLoop loop;

 private:
  using Done = std::function<void(HttpResponse)>;

  size_t Record(const HttpRequest& request);
  void Apply(HttpRequest request, const std::shared_ptr<Reply>& reply, size_t index, const Fault& fault);
  void Act(const HttpRequest& request, size_t index, Done done);
  void End(Reply& reply, size_t index, const Fault& fault, HttpResponse response);
  void SendCanned(Reply& reply, size_t index, const Fault& fault);
  void NoteStatus(size_t index, int status);
  void Later(std::chrono::milliseconds delay, std::function<void()> action);
  std::chrono::steady_clock::time_point DelayClock() const;
  void RunDue();

  // The loop's thread's alone. Destroyed before the loop, which has been stopped by then: what waits holds replies.
  std::multimap<std::chrono::steady_clock::time_point, std::function<void()>> delayed_;
};

}  // namespace tokenbroker::gitlab_sim
