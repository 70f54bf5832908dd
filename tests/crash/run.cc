#include "tests/crash/run.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "client/call_error.h"
#include "tests/crash/compare.h"
#include "tests/crash/world.h"
#include "tests/gitlab_sim/raw_client.h"

namespace tokenbroker {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr char kPostPath[] = "access_tokens$";
constexpr seconds kShortCall(20);

// A create as a caller remembers it, to be able to repeat it.
struct Attempt {
  v1::Token spec;
  std::string request_id;
};

// An UUID of version 4 that the run's number and a counter determine.
std::string RequestId(std::uint64_t seed, std::size_t number) {
  char text[64];
  std::snprintf(text, sizeof(text), "%08llx-0000-4000-8000-%012zx", static_cast<unsigned long long>(seed & 0xffffffff),
                number);
  return text;
}

// Whether nobody but GitLab can know what a POST of this act has done.
bool EndsUnknown(const Act& act) {
  switch (act.post) {
    case Trouble::kClosed:
    case Trouble::kActedClosed:
    case Trouble::kActedReset:
    case Trouble::kTwiceClosed:
    case Trouble::kTruncated:
    case Trouble::kBadGateway:
    case Trouble::kLateAct:
    case Trouble::kProxySuccess:
    case Trouble::kProxyRedirect:
    case Trouble::kProxyForbids:
      return true;
    default:
      return act.down;
  }
}

class Run {
 public:
  Run(const Scenario& scenario, const std::string& broker, const std::string& plant)
      : scenario_(scenario), world_(broker, plant, scenario) {}

  Outcome Play() {
    try {
      world_.Revive();
      for (const Act& act : scenario_.acts) {
        Do(act);
        Compare(Moment::kAny);
        if (!outcome_.differences.empty()) break;
      }
      if (outcome_.differences.empty()) ComeToQuiet();
    } catch (const Misbehaviour& misbehaviour) {
      Differ(misbehaviour.what);
    }
    outcome_.struck_at = world_.struck_at();
    return std::move(outcome_);
  }

 private:
  void Differ(std::string what) { outcome_.differences.push_back(std::move(what)); }

  void Do(const Act& act) {
    world_.Begin(act);
    switch (act.kind) {
      case Act::Kind::kCreate:
        Create(act);
        break;
      case Act::Kind::kRepeat:
        if (act.which < attempts_.size()) Send(act, attempts_.size() - 1 - act.which);
        break;
      case Act::Kind::kRevoke:
        Revoke(act);
        break;
      case Act::Kind::kWait:
        world_.Step(act.wait);
        break;
      case Act::Kind::kExtend:
        Extend();
        break;
    }
    world_.Rest();
    world_.End();
  }

  void Create(const Act& act) {
    v1::Token spec =
        act.project ? ProjectTokenSpec("acme/payments", act.ttl) : UserTokenSpec(world_.house().demo_user(), act.ttl);
    if (act.self_extending) spec.add_scopes("api");
    attempts_.push_back({std::move(spec), RequestId(scenario_.seed, attempts_.size())});
    Send(act, attempts_.size() - 1);
  }

  void Send(const Act& act, std::size_t index) {
    const Attempt& attempt = attempts_[index];
    CreateOptions options;
    options.request_id = attempt.request_id;
    const int posts = world_.gitlab().CountRequests("POST", kPostPath);
    TokenClient* client = &world_.client();
    absl::StatusOr<CreatedToken> made =
        world_.Direct<absl::StatusOr<CreatedToken>>([&attempt, options, deadline = act.deadline, client] {
          return client->Create(attempt.spec, options, DeadlineIn(deadline));
        });
    const int sent = world_.gitlab().CountRequests("POST", kPostPath) - posts;
    if (sent > 1) Differ("one call sent " + std::to_string(sent) + " POSTs");
    // A connection that breaks is UNAVAILABLE too: then it is not the broker that says so.
    if (sent > 0 && !world_.killed()) JudgeAnswer(act, made.status());
    if (absl::IsAlreadyExists(made.status())) return;
    for (Delivered& each : delivered_) {
      each.may_be_ended = each.may_be_ended || each.request_id == attempt.request_id;
    }
    if (!made.ok()) return;
    Delivered delivered;
    delivered.name = made->token.name();
    delivered.secret = std::string(made->secret.Reveal());
    delivered.request_id = attempt.request_id;
    delivered.self_extending =
        std::find(attempt.spec.scopes().begin(), attempt.spec.scopes().end(), "api") != attempt.spec.scopes().end();
    delivered_.push_back(std::move(delivered));
  }

  // The answer of a broker that lives, once a POST has left.
  void JudgeAnswer(const Act& act, const absl::Status& status) {
    if (absl::IsUnavailable(status)) Differ("UNAVAILABLE, though a POST had left: " + status.ToString());
    if (!EndsUnknown(act) || absl::IsDeadlineExceeded(status)) return;
    if (!absl::IsAborted(status) || CallErrorOf(status).reason != "UPSTREAM_OUTCOME_UNKNOWN") {
      Differ("an unknown end was told as " + status.ToString());
    }
  }

  void Revoke(const Act& act) {
    const std::vector<v1::Token> rows = Rows(false);
    if (rows.empty()) return;
    const std::string name = rows[std::min(act.which, rows.size() - 1)].name();
    auto known =
        std::find_if(delivered_.begin(), delivered_.end(), [&](const auto& each) { return each.name == name; });
    if (known == delivered_.end()) {  // Its secret was never delivered; the caller has its name from the list.
      known = delivered_.insert(delivered_.end(), Delivered());
      known->name = name;
    }
    known->may_be_ended = true;
    TokenClient* client = &world_.client();
    const absl::StatusOr<v1::Token> revoked = world_.Direct<absl::StatusOr<v1::Token>>(
        [client, name] { return client->Revoke(name, DeadlineIn(kShortCall)); });
    if (!revoked.ok()) return;
    known->revoke_acknowledged = true;
    if (revoked->state() == v1::TOKEN_STATE_ACTIVE) Differ("I3: revoked, but answered as ACTIVE: " + name);
  }

  // The holder of the newest token that was delivered and can extend itself does so.
  void Extend() {
    for (auto held = delivered_.rbegin(); held != delivered_.rend(); ++held) {
      if (held->secret.empty() || !held->self_extending) continue;
      held->may_be_ended = true;
      gitlab_sim::RawClient client(gitlab_sim::PortOf(world_.gitlab().url()));
      client.Send("POST", "/api/v4/personal_access_tokens/self/rotate",
                  {{"PRIVATE-TOKEN", held->secret}, {"Content-Type", "application/json"}}, "{}");
      return;
    }
  }

  std::vector<v1::Token> Rows(bool show_closed) {
    world_.Revive();
    absl::StatusOr<std::vector<v1::Token>> rows = world_.client().ListAll(show_closed, DeadlineIn(kShortCall));
    if (!rows.ok()) {
      if (world_.killed()) return {};
      throw Misbehaviour{"no list: " + rows.status().ToString()};
    }
    return *std::move(rows);
  }

  void Compare(Moment moment) {
    Picture picture;
    picture.now = world_.gitlab().Now();
    // GitLab before and after the rows: what is made or ended in between is no difference.
    const std::size_t before = world_.gitlab().TokensNamed("[tb:").size();
    picture.rows = Rows(true);
    picture.upstream = world_.gitlab().TokensNamed("[tb:");
    picture.upstream.resize(before);  // By id, that is by time.
    picture.delivered = delivered_;
    picture.clock_difference = scenario_.clock_difference;
    for (std::string& each : Differences(picture, moment)) Differ(std::move(each));
  }

  // GitLab is well; time passes over every look.
  void ComeToQuiet() {
    static constexpr std::pair<seconds, Moment> kSteps[] = {
        {seconds(95), Moment::kAny},     {minutes(10), Moment::kSettled}, {hours(1), Moment::kSettled},
        {minutes(65), Moment::kSettled}, {hours(24), Moment::kQuiet},
    };
    for (const auto& [step, moment] : kSteps) {
      world_.Step(step);
      world_.Rest();
      Compare(moment);
    }
    for (const std::string& route : world_.gitlab().UnknownRoutes()) Differ("the simulator does not know " + route);
    if (scenario_.seed % 8 == 0 && world_.house().StopBroker() != 0) Differ("the broker did not end well in quiet");
  }

  const Scenario& scenario_;
  World world_;
  std::vector<Attempt> attempts_;
  std::vector<Delivered> delivered_;
  Outcome outcome_;
};

}  // namespace

Outcome Play(const Scenario& scenario, const std::string& broker, const std::string& plant) {
  return Run(scenario, broker, plant).Play();
}

}  // namespace tokenbroker
