#include "tests/sim/world.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>

#include "server/base/time_text.h"
#include "tests/sim/invariants.h"
#include "tests/sim/job.h"

namespace tokenbroker::sim {
namespace {

// The broker's log as part of the trace.
class TraceLog final : public Log {
 public:
  explicit TraceLog(Sky& sky) : sky_(sky) {}
  void Write(LogLevel, std::string_view event, Fields fields) override {
    std::string line = "  log: " + std::string(event);
    for (const LogField& field : fields) {
      line += ' ' + std::string(field.key) + '=';
      if (const auto* text = std::get_if<std::string_view>(&field.value)) line += *text;
      if (const auto* number = std::get_if<std::int64_t>(&field.value)) line += std::to_string(*number);
    }
    sky_.note(std::move(line));
  }

 private:
  Sky& sky_;
};

class World {
 public:
  World(Lab& lab, std::uint64_t seed, Plant plant, bool with_trace)
      : draw_(seed), sky_(loop_, draw_), trace_log_(sky_), began_(loop_.Boot()) {
    sky_.note = [this, with_trace](const std::string& what) {
      if (with_trace) result_.trace += Stamp() + what + '\n';
    };
    sky_.gitlab.AddUser(42, "demo");
    sky_.gitlab.AddProject(7, "acme/payments");
    Log& log = with_trace ? static_cast<Log&>(trace_log_) : NullLog();
    const int brokers = draw_.Percent(15) ? 2 : 1;
    for (int i = 0; i < brokers; ++i) {
      servers_.push_back(std::make_unique<Server>(lab, sky_, draw_, "tb" + std::to_string(i), plant, log));
    }
    const int jobs = 1 + draw_.Below(5);
    for (int i = 0; i < jobs; ++i) jobs_.push_back(std::make_unique<Job>(sky_, draw_, *servers_[Which(i)], i));
  }

  ~World() {
    for (const std::unique_ptr<Job>& job : jobs_) job->Retire();
    servers_.clear();  // Their coroutines end while the rest of the world still stands.
  }

  RunResult Run() {
    for (const std::unique_ptr<Server>& server : servers_) server->Start();
    Storm();
    Calm();
    for (const std::unique_ptr<Job>& job : jobs_) {
      result_.reached.insert(job->answers().begin(), job->answers().end());
    }
    return std::move(result_);
  }

 private:
  std::size_t Which(int number) const { return static_cast<std::size_t>(number) % servers_.size(); }
  std::string Stamp() const {
    char text[32];
    std::snprintf(text, sizeof text, "%10.3f ", static_cast<double>((loop_.Boot() - began_).count()) / 1e6);
    return text;
  }

  // Everything that can go wrong may, for a minute or two.
  void Storm() {
    Weather& weather = sky_.weather;
    const auto often = [this](int percent, int at_most) { return draw_.Percent(percent) ? draw_.Below(at_most) : 0; };
    weather.refused = often(30, 20);
    weather.lost = often(50, 40);
    weather.late = often(40, 60);
    weather.twice = often(20, 40);
    weather.slow = often(30, 60);
    weather.wrong = often(20, 40);
    weather.holders_rotate = draw_.Percent(30);
    const Duration length =
        draw_.Percent(75) ? draw_.Between(seconds(5), seconds(30)) : draw_.Between(seconds(30), seconds(150));
    for (const std::unique_ptr<Job>& job : jobs_) job->Start(std::min<Duration>(length, seconds(60)));
    for (const std::unique_ptr<Server>& server : servers_) {
      for (int deaths = draw_.Below(4); deaths > 0; --deaths) PlanDeath(*server, length);
      if (draw_.Percent(20)) PlanStop(*server, length);
      if (draw_.Percent(20)) PlanDiskFault(*server, length);
      if (draw_.Percent(15)) PlanClockStep(*server, length);
    }
    if (draw_.Percent(25)) PlanSwitch("GitLab is down", &Weather::down, length);
    if (draw_.Percent(30)) PlanSwitch("the project is hidden", &Weather::project_hidden, length);
    for (int i = 0; i < 3; ++i) {
      loop_.Advance(length / 3);
      CheckAll(When::kAlways);
    }
  }

  void Begin(Server& server) {
    if (server.alive()) return;
    sky_.note(server.name() + " starts");
    if (!server.Start()) sky_.Later(seconds(5), [this, &server] { Begin(server); });
  }

  void Die(Server& server, bool power) {
    sky_.note(server.name() + (power ? " loses power" : " is killed"));
    server.Kill(power);
    for (const std::unique_ptr<Job>& job : jobs_) {
      if (&job->server() == &server) job->Broken();
    }
    sky_.Later(draw_.Between(milliseconds(100), draw_.Percent(70) ? seconds(5) : minutes(3)),
               [this, &server] { Begin(server); });
  }

  // Some pieces of work after some instant.
  void PlanDeath(Server& server, Duration length) {
    const bool power = draw_.Percent(30);
    const int steps = 1 + draw_.Below(60);
    sky_.Later(draw_.Between(Duration(0), length), [this, &server, power, steps] {
      if (server.alive()) server.process().DieAfter(steps, [this, &server, power] { Die(server, power); });
    });
  }

  void PlanStop(Server& server, Duration length) {
    const Duration how_long = draw_.Between(seconds(1), draw_.Percent(50) ? seconds(10) : seconds(200));
    sky_.Later(draw_.Between(Duration(0), length), [this, &server, how_long] {
      if (!server.alive()) return;
      sky_.note(server.name() + " is stopped");
      server.process().Stop(how_long);
    });
  }

  void PlanDiskFault(Server& server, Duration length) {
    using Fault = MemoryDisk::Fault;
    const Fault fault = draw_.Of<Fault>({Fault::kFull, Fault::kReadOnly, Fault::kBroken, Fault::kAnswersLost});
    const Duration from = draw_.Between(Duration(0), length);
    sky_.Later(from, [this, &server, fault] {
      sky_.note(server.name() + "'s disk fails in way " + std::to_string(static_cast<int>(fault)));
      server.disk().set_fault(fault);
    });
    sky_.Later(from + draw_.Between(milliseconds(10), seconds(30)),
               [&server] { server.disk().set_fault(MemoryDisk::Fault::kNone); });
  }

  void PlanClockStep(Server& server, Duration length) {
    const Duration step = draw_.Between(-minutes(3), minutes(3));
    clock_stepped_ = true;
    sky_.Later(draw_.Between(Duration(0), length), [this, &server, step] {
      sky_.note(server.name() + "'s clock steps");
      server.host().clock_offset += step;
    });
  }

  void PlanSwitch(const char* what, bool Weather::*which, Duration length) {
    const Duration from = draw_.Between(Duration(0), length);
    sky_.Later(from, [this, what, which] {
      sky_.note(what);
      sky_.weather.*which = true;
    });
    sky_.Later(from + draw_.Between(seconds(1), minutes(1)), [this, which] { sky_.weather.*which = false; });
  }

  // The weather is fine from now on, and time passes until the last look is done.
  void Calm() {
    sky_.note("calm");
    for (const std::unique_ptr<Job>& job : jobs_) job->Retire();
    Leap(seconds(61));  // The longest that a switch or a disk's fault was planned for.
    sky_.weather = Weather();
    for (const std::unique_ptr<Server>& server : servers_) {
      if (server->alive()) server->process().DieAfter(-1, nullptr);
      Begin(*server);
    }
    if (draw_.Percent(20)) {
      // For longer than a 404 by id confirms nothing.
      sky_.note("the project stays hidden");
      sky_.weather.project_hidden = true;
      Leap(seconds(100));  // What is sent twice arrives the second time.
      Leap(minutes(12));
      Leap(minutes(1));  // What was to be tried again is.
      CheckAll(When::kAlways);
      sky_.weather.project_hidden = false;
    }
    Leap(seconds(200));  // The longest stop, and the longest that a start waits for.
    CheckAll(When::kAlways);
    Leap(minutes(10));
    CheckAll(When::kSettled);
    Leap(hours(1));
    CheckAll(When::kSettled);
    Leap(hours(2));  // By now the last POST was carried out.
    Leap(hours(24));
    Leap(hours(1));  // What was parked is tried again.
    Leap(hours(1));
    loop_.Advance(seconds(10));  // The reconciler's walk.
    CheckAll(When::kQuiet);
  }

  // Nothing happens meanwhile but at the end; then the broker has some seconds for what is due.
  void Leap(Duration by) {
    loop_.Jump(by);
    loop_.Advance(seconds(3));
  }

  void CheckAll(When when) {
    for (const std::unique_ptr<Server>& server : servers_) {
      if (!server->alive()) {
        if (when != When::kAlways) result_.wrong.push_back(Stamp() + server->name() + " does not come up");
        continue;
      }
      const absl::StatusOr<std::vector<TokenRecord>> rows = server->Rows();
      if (!rows.ok()) {
        result_.wrong.push_back(Stamp() + std::string(rows.status().message()));
        continue;
      }
      for (const std::string& each : WhatIsWrong(when, sky_, *server, *rows, jobs_, clock_stepped_)) {
        result_.wrong.push_back(Stamp() + each);
      }
      if (when == When::kQuiet) {
        const absl::Status audit = server->VerifyAudit();
        if (!audit.ok()) result_.wrong.push_back(Stamp() + "audit: " + std::string(audit.message()));
        const absl::StatusOr<std::vector<AuditEvent>> events = server->Events();
        if (!events.ok()) result_.wrong.push_back(Stamp() + std::string(events.status().message()));
        for (const std::string& each : EndedTooEarly(events.value_or(std::vector<AuditEvent>()))) {
          result_.wrong.push_back(Stamp() + each);
        }
      }
      for (const TokenRecord& row : *rows) {
        result_.reached.insert(std::string(row.pending ? "PENDING " : "") + std::string(NameOf(row.token.state)) + ' ' +
                               std::string(NameOf(row.token.revoke_reason)) + (row.parked ? " parked" : ""));
      }
    }
  }

  ManualLoop loop_;
  Draw draw_;
  Sky sky_;
  TraceLog trace_log_;
  const BootTime began_;
  RunResult result_;
  bool clock_stepped_ = false;
  std::vector<std::unique_ptr<Job>> jobs_;
  std::vector<std::unique_ptr<Server>> servers_;
};

}  // namespace

RunResult RunOnce(Lab& lab, std::uint64_t seed, Plant plant, bool with_trace) {
  World world(lab, seed, plant, with_trace);
  return world.Run();
}

}  // namespace tokenbroker::sim
