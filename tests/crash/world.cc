#include "tests/crash/world.h"

#include <signal.h>
#include <sys/wait.h>

#include <filesystem>
#include <string_view>

namespace tokenbroker {
namespace {

using gitlab_sim::Fault;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr char kPostPath[] = "access_tokens$";
constexpr char kDeletePath[] = "access_tokens/[0-9]+$";
constexpr char kListPath[] = "access_tokens$";
constexpr char kGetTarget[] = "access_tokens([?]|/[0-9])";

// What stands in front of GitLab has a clock of its own.
constexpr std::chrono::hours kProxyAhead(24 * 10);
constexpr int kMaintainer = 40;
constexpr int kNoMember = 0;

// Of a proxy that says that all is well: an empty list, a token without an id, nothing.
Fault ProxySuccess(std::string_view method) {
  if (method == "DELETE") return Fault::Proxy(204, "", kProxyAhead);
  return method == "POST" ? Fault::Proxy(201, "{}", kProxyAhead) : Fault::Proxy(200, "[]", kProxyAhead);
}

Fault FaultFor(std::string_view method, Trouble trouble, seconds apply_delay) {
  Fault fault;
  switch (trouble) {
    case Trouble::kNone:
      break;
    case Trouble::kClosed:
      fault.action = Fault::Action::kClose;
      break;
    case Trouble::kActedClosed:
      fault.action = Fault::Action::kActThenClose;
      break;
    case Trouble::kActedReset:
      fault.action = Fault::Action::kActThenReset;
      break;
    case Trouble::kTwiceClosed:
      fault.action = Fault::Action::kActThenClose;
      fault.acts = 2;
      break;
    case Trouble::kTruncated:
      fault.action = Fault::Action::kTruncate;
      break;
    case Trouble::kAnswerTwice:
      fault.action = Fault::Action::kAnswerTwice;
      break;
    case Trouble::kBadGateway:
      return Fault::HtmlError(502);
    case Trouble::kLateAct:
      return Fault::TimeoutThenAct(apply_delay);
    case Trouble::kSlow:
      fault.delay_after = seconds(30);
      break;
    case Trouble::kTooSlow:
      fault.delay_after = seconds(100);
      break;
    case Trouble::kRefused:
      fault.action = Fault::Action::kAnswer;
      fault.status = 400;
      fault.headers = {{"Content-Type", "application/json"}, {"X-Gitlab-Meta", R"({"version":"1"})"}};
      fault.body = R"({"message":"Name is taken"})";
      break;
    case Trouble::kThrottled:
      return Fault::TooManyRequests(1);
    case Trouble::kInactive:
      fault.replace = R"("active":true)";
      fault.replace_with = R"("active":false)";
      break;
    case Trouble::kProxySuccess:
      return ProxySuccess(method);
    case Trouble::kProxyRedirect:
      return Fault::Proxy(302, "", kProxyAhead);
    case Trouble::kProxyForbids:
      return Fault::Proxy(403, "<html>Forbidden</html>", kProxyAhead);
  }
  return fault;
}

std::string ReplaceOnce(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

}  // namespace

World::World(const std::string& broker, const std::string& plant, const Scenario& scenario)
    : control_(MapControl(house_.path("control"))), administrator_(scenario.administrator) {
  gitlab().AdvanceClock(scenario.clock_difference);
  gitlab_sim::Settings settings = gitlab().settings();
  settings.by_id_lag = scenario.by_id_lag;
  gitlab().set_settings(settings);
  issuer_user_ = gitlab().TokensNamed("broker").front().user_id;
  gitlab().SetAdmin(issuer_user_, administrator_);
  SetSight(true);
  control_.point = kPointCount;
  house_.command() = {broker, "--control", house_.path("control"), "--plant", plant};
  house_.policy() = ReplaceOnce(house_.policy(), "max_ttl: 8h", "max_ttl: 720h");
  house_.policy() =
      ReplaceOnce(house_.policy(), "scopes: [read_user,", "self_extending: true\n      scopes: [api, read_user,");
}

World::~World() {
  const std::string folder = house_.folder();
  house_.KillBroker();
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
}

bool World::Runs() { return client_ != nullptr && !house_.broker().Wait(seconds(0)).has_value(); }

std::string World::Ended() {
  const std::string output = house_.output();
  return "the broker ended by itself: " + output.substr(output.size() > 2000 ? output.size() - 2000 : 0);
}

void World::Revive() {
  if (Runs()) return;
  if (client_ != nullptr && !may_be_dead_) throw Misbehaviour{Ended()};
  control_.under_way = 0;
  client_.reset();
  if (!house_.StartBroker()) throw Misbehaviour{Ended()};
  may_be_dead_ = false;
  client_ = house_.Client();
}

void World::Step(microseconds by) {
  gitlab().AdvanceClock(std::chrono::ceil<milliseconds>(by));
  StepTime(control_, microseconds(std::chrono::ceil<milliseconds>(by)).count());
}

void World::Rest() {
  const auto end = steady_clock::now() + seconds(60);
  for (int calm = 0; calm < 2;) {
    if (steady_clock::now() > end) throw Misbehaviour{"the broker does not come to rest"};
    Attend();
    Revive();
    Step(milliseconds(1100));  // Longer than any nap of the lifecycle.
    const std::uint32_t step = control_.steps;
    const auto glance = steady_clock::now() + milliseconds(100);
    while (Runs() && control_.idle_at < step && steady_clock::now() < glance) {
      NapBetweenLooks();
      Attend();
    }
    calm = Runs() && control_.idle_at >= step ? calm + 1 : 0;
  }
}

void World::Plan(const char* method, const char* path, Trouble trouble, seconds apply_delay) {
  if (trouble == Trouble::kNone) return;
  gitlab().Plan(FaultFor(method, trouble, apply_delay).On(method, path));
  if (trouble == Trouble::kSlow) Await(method, path, seconds(31));
  if (trouble == Trouble::kTooSlow) Await(method, path, seconds(101));
}

void World::Await(const char* method, const char* path, seconds then_pass) {
  awaited_.push_back({method, path, gitlab().CountRequests(method, path), then_pass});
}

void World::Begin(const Act& act) {
  began_ = steady_clock::now();
  struck_ = killed_ = false;
  control_.fired = 0;
  if (act.crash.has_value()) Arm(*act.crash);
  if (act.down) gitlab().Plan(FaultFor("", Trouble::kClosed, seconds(0)).On("", "", -1));
  Plan("POST", kPostPath, act.post, act.apply_delay);
  Plan("DELETE", kDeletePath, act.del, act.apply_delay);
  Plan("GET", kGetTarget, act.get, act.apply_delay);
  SetSight(!act.blind);
}

void World::SetSight(bool sees) {
  if (!administrator_) {
    gitlab().AddProjectMember(house_.project(), issuer_user_, sees ? kMaintainer : kNoMember);
    return;
  }
  gitlab_sim::Settings settings = gitlab().settings();
  settings.admin_flag_lost = !sees;
  gitlab().set_settings(settings);
}

void World::Arm(const Crash& crash) {
  crash_ = crash;
  if (crash.where == Crash::Where::kTime) return;
  const std::string_view name = kPoints[crash.point];
  if (name.ends_with(":sent")) {
    const bool post = name.find(".mint:") != std::string_view::npos;
    const bool list = name.find(".list:") != std::string_view::npos;
    const char* method = post ? "POST" : list ? "GET" : "DELETE";
    const char* path = post ? kPostPath : list ? kListPath : kDeletePath;
    Fault held;
    held.delay_before = seconds(1);
    gitlab().Plan(std::move(held).On(method, list ? kGetTarget : path));
    Await(method, path, seconds(0));
    return;
  }
  control_.signal = crash.kill ? SIGKILL : SIGSTOP;
  control_.passes_left = crash.pass;
  control_.point = static_cast<std::uint32_t>(crash.point);
}

// What the harness has a hand in, looked for again and again while a call or a rest is under way.
void World::Attend() {
  for (std::size_t i = 0; i < awaited_.size(); ++i) {
    const Awaited each = awaited_[i];
    if (gitlab().CountRequests(each.method, each.path) <= each.seen) continue;
    awaited_.erase(awaited_.begin() + static_cast<std::ptrdiff_t>(i));
    if (each.then_pass > seconds(0)) {
      Step(each.then_pass);
    } else if (!struck_) {
      struck_at_.push_back(crash_->point);
      Strike(/*raised=*/false);
    }
    break;
  }
  if (struck_ || !crash_.has_value()) return;
  if (crash_->where == Crash::Where::kTime) {
    if (client_ != nullptr && steady_clock::now() - began_ >= crash_->after) Strike(/*raised=*/false);
  } else if (control_.fired != 0) {
    struck_at_.push_back(crash_->point);
    Strike(/*raised=*/true);
  }
}

void World::Strike(bool raised) {
  struck_ = true;
  if (!crash_->kill) {
    // A second SIGSTOP might overtake the one that the broker is about to raise, and stop it once more afterwards.
    if (!raised) house_.broker().Signal(SIGSTOP);
    StepAndGoOn();
    return;
  }
  killed_ = may_be_dead_ = true;
  house_.KillBroker();
}

void World::StepAndGoOn() {
  const bool stopped = Eventually([this] {
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(house_.broker().pid()), &info, WSTOPPED | WNOHANG) == 0 && info.si_pid != 0;
  });
  if (!stopped) throw Misbehaviour{"the broker did not stop"};
  Step(crash_->stopped_for);
  house_.broker().Signal(SIGCONT);
}

void World::End() {
  control_.point = kPointCount;
  Attend();
  crash_.reset();
  awaited_.clear();
  gitlab().ClearFaults();
  SetSight(true);
  Revive();
}

}  // namespace tokenbroker
