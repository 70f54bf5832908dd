#include "tests/sim/world.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>

#include "server/base/time_text.h"
#include "tests/sim/gale.h"
#include "tests/sim/invariants.h"
#include "tests/sim/promises.h"
#include "tests/sim/storm.h"

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
      if (const auto* yes = std::get_if<bool>(&field.value)) line += *yes ? "true" : "false";
    }
    sky_.note(std::move(line));
  }

 private:
  Sky& sky_;
};

class World {
 public:
  World(Lab& lab, std::uint64_t seed, Plant plant, bool with_trace, Also also)
      : also_(also), draw_(seed), sky_(loop_, draw_), trace_log_(sky_), began_(loop_.Boot()) {
    sky_.note = [this, with_trace](const std::string& what) {
      if (with_trace) result_.trace += Stamp() + what + '\n';
    };
    sky_.gitlab.AddUser(42, "demo");
    sky_.gitlab.AddUser(43, "robot");
    sky_.AddProject(7, "acme/payments");
    sky_.AddProject(8, "acme/web");
    // A maintainer's credential mints for projects alone.
    maintainer_ = draw_.Percent(20);
    sky_.SetAdmin(!maintainer_);
    Log& log = with_trace ? static_cast<Log&>(trace_log_) : NullLog();
    const int brokers = draw_.Percent(15) ? 2 : 1;
    for (int i = 0; i < brokers; ++i) {
      servers_.push_back(std::make_unique<Server>(lab, sky_, draw_, "tb" + std::to_string(i), plant, log));
    }
    const int jobs = 1 + draw_.Below(5);
    for (int i = 0; i < jobs; ++i)
      jobs_.push_back(std::make_unique<Job>(sky_, draw_, *servers_[Which(i)], i, maintainer_));
  }

  ~World() {
    for (const std::unique_ptr<Job>& job : jobs_) job->Retire();
    servers_.clear();  // Their coroutines end while the rest of the world still stands.
  }

  RunResult Run() {
    for (const std::unique_ptr<Server>& server : servers_) server->Start();
    const Duration length = storm_.Plan();
    for (int i = 0; i < 3; ++i) {
      loop_.Advance(length / 3);
      CheckAll(When::kAlways);
    }
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

  // The weather is fine from now on but for one target, and time passes until the last sweep is done.
  void Calm() {
    sky_.note("calm");
    for (const std::unique_ptr<Job>& job : jobs_) job->Retire();
    Leap(seconds(61));  // The longest that a switch or a disk's fault was planned for.
    storm_.Clear();
    // A maintainer's credential cannot end what its routes do not show. It asks for it all the same, until a 404 by id
    // is old enough to confirm something.
    const bool lost_sight = !sky_.removed_members.empty();
    const bool asks_on = lost_sight && !sky_.is_admin() && draw_.Percent(50);
    if (!asks_on && (!maintainer_ || lost_sight)) sky_.SetAdmin(true);
    for (const std::unique_ptr<Server>& server : servers_) {
      if (server->alive()) server->process().DieAfter(-1, nullptr);
      storm_.Begin(*server);
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
    if (asks_on) {
      Leap(minutes(12));
      CheckAll(When::kAlways);
      sky_.SetAdmin(true);
    }
    fine_.all = loop_.Boot();
    CheckAll(When::kAlways);
    if (!sky_.weather.troubled.has_value() && draw_.Percent(25)) BlowGale();
    Leap(minutes(10));
    CheckAll(When::kSettled);
    Leap(hours(1));
    CheckAll(When::kSettled);
    Leap(hours(2));  // By now the last POST was carried out.
    storm_.SetClocksRight();
    if (sky_.weather.troubled.has_value()) {
      CheckAll(When::kAlways);
      sky_.weather.troubled.reset();
      fine_.troubled = loop_.Boot();
    }
    Leap(hours(24));
    Leap(hours(1));  // What was parked is tried again.
    Leap(hours(1));
    loop_.Advance(seconds(10));  // The reconciler's walk.
    CheckAll(When::kQuiet);
  }

  void BlowGale() {
    gale_ = std::make_unique<Gale>(sky_, draw_, *servers_.front(), also_.load);
    const BootTime began = loop_.Boot();
    gale_->Blow();
    CheckAll(When::kAlways);
    for (int walks = 0; walks < 2; ++walks) {
      loop_.Jump(minutes(10));
      loop_.Advance(minutes(2));  // A walk of the reconciler, with reads that hang.
    }
    CheckAll(When::kAlways);
    const absl::StatusOr<std::vector<TokenRecord>> rows = servers_.front()->Rows();
    for (const std::string& each :
         NotReconciled(sky_, *servers_.front(), rows.value_or(std::vector<TokenRecord>()), loop_.Boot() - began)) {
      result_.wrong.push_back(Stamp() + each);
    }
    gale_->Calm();
    for (const std::string& each : gale_->wrong()) result_.wrong.push_back(Stamp() + each);
    fine_.all = loop_.Boot();
  }

  // Nothing happens meanwhile but at the end, and where a token is due; then the broker has some seconds for it.
  void Leap(Duration by) {
    const BootTime until = loop_.Boot() + by;
    if (fine_.all.has_value()) {
      for (const BootTime end : EndsUntil(sky_, until)) {
        if (end - seconds(1) <= loop_.Boot()) continue;
        loop_.Jump(end - seconds(1) - loop_.Boot());
        loop_.Advance(seconds(4));
        CheckAll(When::kAlways);
      }
    }
    loop_.Jump(std::max<Duration>(until - loop_.Boot(), Duration(0)));
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
      for (const std::string& each : WhatIsWrong(when, sky_, *server, *rows, jobs_)) {
        result_.wrong.push_back(Stamp() + each);
      }
      for (const std::string& each : BrokenPromises(sky_, *server, *rows, jobs_, fine_)) {
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

  const Also also_;
  ManualLoop loop_;
  Draw draw_;
  Sky sky_;
  TraceLog trace_log_;
  const BootTime began_;
  RunResult result_;
  bool maintainer_ = false;
  FineSince fine_;
  std::unique_ptr<Gale> gale_;
  Jobs jobs_;
  Servers servers_;
  Storm storm_{sky_, draw_, servers_, jobs_, also_};
};

}  // namespace

RunResult RunOnce(Lab& lab, std::uint64_t seed, Plant plant, bool with_trace, Also also) {
  World world(lab, seed, plant, with_trace, also);
  return world.Run();
}

}  // namespace tokenbroker::sim
