#include "tests/gitlab_sim/server.h"

#include <algorithm>
#include <future>
#include <optional>
#include <utility>

#include "tests/gitlab_sim/calendar.h"
#include "tests/gitlab_sim/git_access.h"
#include "tests/gitlab_sim/params.h"
#include "tests/gitlab_sim/process.h"

namespace tokenbroker::gitlab_sim {
namespace {

using Action = Fault::Action;
using std::chrono::milliseconds;

}  // namespace

Server::Server(Options options)
    : options_(std::move(options)), model([this] { return Now(); }, options_.version, options_.seed) {}

TimePoint Server::Now() const {
  return std::chrono::floor<milliseconds>(std::chrono::system_clock::now()) + milliseconds(offset_ms_);
}

bool Server::Fits(const SeenRequest& request, const std::string& method, const std::regex& path,
                  const std::string& marker) {
  return (method.empty() || request.method == method) && std::regex_search(request.path, path) &&
         (request.body.find(marker) != std::string::npos || request.target.find(marker) != std::string::npos);
}

size_t Server::Record(const HttpRequest& request) {
  SeenRequest seen;
  seen.method = request.method;
  seen.target = request.target;
  seen.path = PathOf(request.target);
  seen.body = request.body;
  seen.headers = request.headers;
  const size_t index = first_request + requests.size();
  requests.push_back(std::move(seen));
  if (requests.size() > options_.requests_kept) {
    requests.pop_front();
    ++first_request;
  }
  return index;
}

void Server::Serve(HttpRequest request, const std::shared_ptr<Reply>& reply) {
  std::optional<Fault> fault = FaultInHeaders(request.headers);
  size_t index = 0;
  {
    const std::lock_guard lock(mutex);
    if (!fault) fault = faults.Take(request);
    index = Record(request);
  }
  arrived.notify_all();
  if (!fault) {
    Act(request, index, [this, reply, index](HttpResponse response) {
      NoteStatus(index, response.status);
      reply->Send(std::move(response));
    });
    return;
  }
  const milliseconds delay = fault->delay_before;
  Later(delay, [this, request = std::move(request), reply, index, fault = *std::move(fault)] {
    Apply(request, reply, index, fault);
  });
}

void Server::Apply(HttpRequest request, const std::shared_ptr<Reply>& reply, size_t index, const Fault& fault) {
  switch (fault.action) {
    case Action::kClose:
      reply->Close();
      return;
    case Action::kReset:
      reply->Reset();
      return;
    case Action::kAnswer:
      Later(fault.delay_after, [this, reply, index, fault] { SendCanned(*reply, index, fault); });
      return;
    case Action::kAnswerThenAct:
      SendCanned(*reply, index, fault);
      Later(fault.act_later,
            [this, request = std::move(request), index] { Act(request, index, [](const HttpResponse&) {}); });
      return;
    case Action::kAct:
    case Action::kActThenClose:
    case Action::kActThenReset:
    case Action::kActThenAnswer:
    case Action::kTruncate:
    case Action::kAnswerTwice:
      for (int early = 1; early < fault.acts; ++early) Act(request, index, [](const HttpResponse&) {});
      Act(request, index, [this, reply, index, fault](const HttpResponse& response) {
        Later(fault.delay_after, [this, reply, index, fault, response] { End(*reply, index, fault, response); });
      });
  }
}

// After acting: the answer, or what is left of it.
void Server::End(Reply& reply, size_t index, const Fault& fault, HttpResponse response) {
  switch (fault.action) {
    case Action::kActThenClose:
      reply.Close();
      return;
    case Action::kActThenReset:
      reply.Reset();
      return;
    case Action::kActThenAnswer:
      SendCanned(reply, index, fault);
      return;
    case Action::kTruncate:
      NoteStatus(index, response.status);
      reply.SendTorn(std::move(response));
      return;
    default:
      NoteStatus(index, response.status);
      if (const size_t at = response.body.find(fault.replace); !fault.replace.empty() && at != std::string::npos) {
        response.body.replace(at, fault.replace.size(), fault.replace_with);
      }
      for (const auto& header : fault.headers) response.headers.push_back(header);
      if (fault.action == Action::kAnswerTwice) {
        reply.SendTwice(std::move(response));
      } else {
        reply.Send(std::move(response), fault.body_time);
      }
  }
}

void Server::SendCanned(Reply& reply, size_t index, const Fault& fault) {
  HttpResponse response{.status = fault.status, .headers = fault.headers, .body = fault.body};
  CompleteRateLimit(Now(), &response.headers);
  response.headers.emplace_back("Date", HttpDateText(Now() + fault.clock_ahead));
  NoteStatus(index, response.status);
  reply.Send(std::move(response), fault.body_time);
}

void Server::Later(milliseconds delay, std::function<void()> action) {
  if (delay.count() == 0) {
    action();
    return;
  }
  delayed_.emplace(DelayClock() + delay, std::move(action));
  loop.After(delay, [this] { RunDue(); });
}

// Never goes back, as delays do not.
std::chrono::steady_clock::time_point Server::DelayClock() const {
  return std::chrono::steady_clock::now() + milliseconds(moved_forward_ms_);
}

void Server::RunDue() {
  while (!delayed_.empty() && delayed_.begin()->first <= DelayClock()) {
    const std::function<void()> action = std::move(delayed_.extract(delayed_.begin()).mapped());
    action();
  }
}

void Server::MoveClock(milliseconds by) {
  std::promise<void> moved;
  // On the loop's thread, so that a request that was seen has its delay already.
  loop.Dispatch([this, by, &moved] {
    if (by.count() <= 0) offset_ms_ += by.count();
    for (milliseconds left = by; left.count() > 0;) {
      milliseconds piece = left;
      if (!delayed_.empty()) {
        const auto due = std::chrono::ceil<milliseconds>(delayed_.begin()->first - DelayClock());
        piece = std::clamp(due, milliseconds(0), left);
      }
      offset_ms_ += piece.count();
      moved_forward_ms_ += piece.count();
      left -= piece;
      RunDue();
    }
    moved.set_value();
  });
  moved.get_future().wait();
}

void Server::Act(const HttpRequest& request, size_t index, Done done) {
  std::optional<HttpResponse> response;
  Command backend;
  {
    const std::lock_guard lock(mutex);
    if (index >= first_request) requests[index - first_request].acted = true;
    if (!options_.git_root.empty() && IsGitPath(PathOf(request.target))) {
      const GitDecision decision = DecideGit(&model.state(), request);
      response = decision.refusal;
      if (!response) backend = BackendCommand(options_.git_root, decision, request);
    } else {
      response = model.Handle(request);
    }
  }
  if (response) {
    done(*std::move(response));
    return;
  }
  RunAsync(loop.io(), std::move(backend),
           [done = std::move(done)](const CommandResult& result) { done(ParseBackend(result)); });
}

void Server::NoteStatus(size_t index, int status) {
  const std::lock_guard lock(mutex);
  if (index >= first_request) requests[index - first_request].status = status;
}

}  // namespace tokenbroker::gitlab_sim
