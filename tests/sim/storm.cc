#include "tests/sim/storm.h"

#include <algorithm>
#include <string>
#include <utility>

namespace tokenbroker::sim {
namespace {

// A step of a host's clock is followed when GitLab's time agrees with it so closely, or at the next start.
constexpr Duration kClocksAgree = seconds(6);

}  // namespace

void Storm::DrawWeather() {
  Weather& weather = sky_.weather;
  const auto often = [this](int percent, int at_most) { return draw_.Percent(percent) ? draw_.Below(at_most) : 0; };
  weather.refused = often(30, 20);
  weather.lost = often(50, 40);
  weather.late = often(40, 60);
  weather.twice = often(20, 40);
  weather.slow = often(30, 60);
  weather.wrong = often(20, 40);
  weather.in_front = often(25, 40);
  weather.redirected = often(10, 20);
  weather.limited = often(15, 40);
  weather.holders_rotate = draw_.Percent(30);
  if (draw_.Percent(20)) {
    using How = TroubledTarget::How;
    TroubledTarget troubled;
    troubled.kind = draw_.Percent(50) ? TargetKind::kProject : TargetKind::kUser;
    troubled.id = troubled.kind == TargetKind::kProject ? draw_.Of<int>({7, 8}) : draw_.Of<int>({42, 43});
    troubled.how = draw_.Of<How>({How::kHangs, How::kFails, How::kRejects, How::kListFails});
    weather.troubled = troubled;
  }
  // A replica lags, up to the minute that GitLab takes for healthy.
  if (draw_.Percent(25)) sky_.gitlab.set_lag_by_id(draw_.Between(seconds(1), seconds(60)));
  if (also_.list_lag && draw_.Percent(25)) sky_.SetListLag(draw_.Between(seconds(1), seconds(60)));
}

Duration Storm::Plan() {
  DrawWeather();
  const Duration length =
      draw_.Percent(75) ? draw_.Between(seconds(5), seconds(30)) : draw_.Between(seconds(30), seconds(150));
  for (const std::unique_ptr<Job>& job : jobs_) job->Start(std::min<Duration>(length, seconds(60)));
  for (const std::unique_ptr<Server>& server : servers_) {
    for (int deaths = draw_.Below(4); deaths > 0; --deaths) PlanDeath(*server, length);
    if (draw_.Percent(20)) PlanStop(*server, length);
    if (draw_.Percent(20)) PlanDiskFault(*server, length);
    if (draw_.Percent(20)) PlanClockStep(*server, length);
  }
  if (draw_.Percent(25)) PlanSwitch("GitLab is down", &Weather::down, length);
  if (draw_.Percent(30)) PlanSwitch("the project is hidden", &Weather::project_hidden, length);
  if (draw_.Percent(10)) PlanGitLabClockStep(length);
  if (draw_.Percent(sky_.is_admin() ? 10 : 60)) PlanRights(length);
  if (draw_.Percent(sky_.is_admin() ? 15 : 50)) PlanRemovedMember(length);
  return length;
}

void Storm::Clear() {
  const std::optional<TroubledTarget> troubled = sky_.weather.troubled;
  sky_.weather = Weather();
  sky_.weather.troubled = troubled;
  sky_.gitlab.set_lag_by_id(Duration(0));
  sky_.SetListLag(Duration(0));
  sky_.SetSkew(Duration(0));
  if (draw_.Percent(50)) SetClocksRight();
}

void Storm::SetClocksRight() {
  for (const std::unique_ptr<Server>& server : servers_) {
    Duration& offset = server->host().clock_offset;
    if (offset > minutes(3) || offset < -minutes(3)) offset = Duration(0);
  }
  NoteClocks();
}

void Storm::Begin(Server& server) {
  if (server.alive()) return;
  sky_.note(server.name() + " starts");
  if (!server.Start()) sky_.Later(seconds(5), [this, &server] { Begin(server); });
}

void Storm::Die(Server& server, bool power) {
  sky_.note(server.name() + (power ? " loses power" : " is killed"));
  server.Kill(power);
  for (const std::unique_ptr<Job>& job : jobs_) {
    if (&job->server() == &server) job->Broken();
  }
  sky_.Later(draw_.Between(milliseconds(100), draw_.Percent(70) ? seconds(5) : minutes(3)),
             [this, &server] { Begin(server); });
}

// Some pieces of work after some instant.
void Storm::PlanDeath(Server& server, Duration length) {
  const bool power = draw_.Percent(30);
  const int steps = 1 + draw_.Below(60);
  sky_.Later(draw_.Between(Duration(0), length), [this, &server, power, steps] {
    if (server.alive()) server.process().DieAfter(steps, [this, &server, power] { Die(server, power); });
  });
}

void Storm::PlanStop(Server& server, Duration length) {
  const Duration how_long = draw_.Between(seconds(1), draw_.Percent(50) ? seconds(10) : seconds(200));
  sky_.Later(draw_.Between(Duration(0), length), [this, &server, how_long] {
    if (!server.alive()) return;
    sky_.note(server.name() + " is stopped");
    server.process().Stop(how_long);
  });
}

void Storm::PlanDiskFault(Server& server, Duration length) {
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

// By minutes, or by hours; either way.
void Storm::PlanClockStep(Server& server, Duration length) {
  const Duration most = draw_.Percent(50) ? Duration(minutes(3)) : Duration(hours(12));
  const Duration step = draw_.Between(-most, most);
  sky_.Later(draw_.Between(Duration(0), length), [this, &server, step] {
    sky_.note(server.name() + "'s clock steps by " + std::to_string(step.count() / 1'000'000) + " s");
    server.host().clock_offset += step;
    NoteClocks();
  });
}

void Storm::NoteClocks() {
  for (const std::unique_ptr<Server>& server : servers_) {
    const Duration apart = server->host().clock_offset - sky_.skew();
    if (apart <= kClocksAgree && apart >= -kClocksAgree) server->NoteClock();
  }
}

// By hours, either way, and back when the weather clears.
void Storm::PlanGitLabClockStep(Duration length) {
  const Duration step = draw_.Between(-hours(12), hours(12));
  sky_.Later(draw_.Between(Duration(0), length), [this, step] {
    sky_.note("GitLab's clock steps by " + std::to_string(step.count() / 1'000'000) + " s");
    sky_.SetSkew(step);
    NoteClocks();
  });
}

// The credential loses or gets an administrator's rights.
void Storm::PlanRights(Duration length) {
  const bool admin = !sky_.is_admin();
  sky_.Later(draw_.Between(Duration(0), length), [this, admin] {
    sky_.note(admin ? "the credential becomes an administrator's" : "the credential is no administrator's any more");
    sky_.SetAdmin(admin);
  });
}

void Storm::PlanRemovedMember(Duration length) {
  sky_.Later(draw_.Between(Duration(0), length), [this] {
    for (const UpstreamToken& token : sky_.gitlab.live()) {
      if (token.resource_type != "project") continue;
      if (draw_.Percent(50)) sky_.RemoveMember(token.id);
    }
  });
}

void Storm::PlanSwitch(const char* what, bool Weather::*which, Duration length) {
  const Duration from = draw_.Between(Duration(0), length);
  sky_.Later(from, [this, what, which] {
    sky_.note(what);
    sky_.weather.*which = true;
  });
  sky_.Later(from + draw_.Between(seconds(1), minutes(1)), [this, which] { sky_.weather.*which = false; });
}

}  // namespace tokenbroker::sim
