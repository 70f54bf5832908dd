#include "tests/crash/scenario.h"

#include <array>
#include <random>
#include <string_view>
#include <utility>

#include "tests/crash/control.h"

namespace tokenbroker {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr seconds kLong = hours(72);  // Outlives the run.

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed * 0x9E3779B97F4A7C15ULL + 1) {}

  // 0 to n - 1. (std::uniform_int_distribution differs between libraries.)
  std::size_t Below(std::size_t n) { return static_cast<std::size_t>(engine_() % n); }
  bool OneIn(std::size_t n) { return Below(n) == 0; }
  template <typename T, std::size_t N>
  T Of(const T (&choices)[N]) {
    return choices[Below(N)];
  }

 private:
  std::mt19937_64 engine_;
};

Act Create(Dice& dice, seconds ttl = kLong) {
  Act act;
  act.kind = Act::Kind::kCreate;
  act.project = dice.OneIn(2);
  act.ttl = ttl;
  act.deadline = dice.OneIn(2) ? seconds(20) : minutes(10);
  return act;
}

Act Repeat(std::size_t which = 0) {
  Act act;
  act.kind = Act::Kind::kRepeat;
  act.which = which;
  return act;
}

Act Revoke(std::size_t which = 0) {
  Act act;
  act.kind = Act::Kind::kRevoke;
  act.which = which;
  return act;
}

Act Wait(seconds wait) {
  Act act;
  act.wait = wait;
  return act;
}

Crash Drawn(Dice& dice, std::size_t point) {
  Crash crash;
  crash.point = point;
  crash.kill = !dice.OneIn(3);
  crash.stopped_for = seconds(91 + dice.Below(200));
  return crash;
}

// Acts that lead to the point; the last one passes it.
std::vector<Act> PathTo(Dice& dice, std::string_view point) {
  const std::string_view use = point.substr(0, point.find('.'));
  const std::string_view step = point.substr(use.size() + 1, point.find(':') - use.size() - 1);
  const bool looks_without_proof = step == "seen" || step == "attempt" || step == "claim";
  const auto end = [&](Act act) {
    if (step == "absence") act.blind = true;
    if (looks_without_proof) act.del = Trouble::kBadGateway;  // libcurl repeats a DELETE whose connection dies.
    return act;
  };
  if (use == "repeat") return {Create(dice), Repeat()};
  if (point == "revoke.claim:after") return {Create(dice), end(Revoke()), Wait(seconds(60))};
  // A 404 confirms nothing before the token has settled (10 minutes).
  const bool asks_what_a_404_means = step == "absence";
  if (use == "revoke" && asks_what_a_404_means) return {Create(dice, hours(1)), Wait(minutes(11)), end(Revoke())};
  if (use == "revoke") return {Create(dice), end(Revoke())};
  if (use == "expiry") {
    const seconds ttl((asks_what_a_404_means ? 660 : 60) + dice.Below(60));
    return {Create(dice, ttl), end(Wait(ttl + seconds(1)))};
  }
  if (use == "look") {
    Act lost = Create(dice);
    lost.post = dice.Of({Trouble::kActedClosed, Trouble::kActedReset, Trouble::kTruncated, Trouble::kTwiceClosed});
    return {lost, Wait(seconds(95))};
  }
  Act create = Create(dice);
  if (step == "abandon") create.post = Trouble::kRefused;
  if (step == "take_back" || step == "delete" || step == "death") create.post = Trouble::kInactive;
  return {create};
}

void AddTrouble(Dice& dice, Act& act) {
  if (dice.OneIn(2)) {
    act.post = dice.Of({Trouble::kClosed, Trouble::kActedClosed, Trouble::kActedReset, Trouble::kTwiceClosed,
                        Trouble::kTruncated, Trouble::kAnswerTwice, Trouble::kBadGateway, Trouble::kLateAct,
                        Trouble::kLateAct, Trouble::kLateAct, Trouble::kLateAct, Trouble::kSlow, Trouble::kTooSlow,
                        Trouble::kRefused, Trouble::kThrottled, Trouble::kInactive});
    act.apply_delay = dice.Of<seconds>({seconds(0), seconds(30), minutes(5), hours(2)});
  }
  if (dice.OneIn(3)) {
    act.del = dice.Of({Trouble::kClosed, Trouble::kActedClosed, Trouble::kActedReset, Trouble::kTwiceClosed,
                       Trouble::kTruncated, Trouble::kAnswerTwice, Trouble::kBadGateway, Trouble::kThrottled});
  }
  if (dice.OneIn(4)) {
    act.get = dice.Of({Trouble::kClosed, Trouble::kTruncated, Trouble::kAnswerTwice, Trouble::kBadGateway});
  }
  act.blind = dice.OneIn(8);
  act.down = dice.OneIn(12);
}

// Whether an act of this kind, or what it leaves behind, may come to the point. While GitLab holds a request, the
// harness cannot tell whose it is: only a path knows.
bool Fits(std::string_view point, Act::Kind kind) {
  if (point.ends_with(":sent")) return false;
  switch (kind) {
    case Act::Kind::kCreate:
      return point.starts_with("create") || point.starts_with("call");
    case Act::Kind::kRepeat:
      return point.starts_with("repeat") || point.starts_with("call");
    case Act::Kind::kRevoke:
      return point.starts_with("revoke");
    default:
      return !point.starts_with("repeat") && !point.starts_with("call");
  }
}

Act Any(Dice& dice) {
  Act act;
  switch (dice.Below(8)) {
    case 0:
    case 1:
    case 2:
      act = Create(dice, dice.OneIn(2) ? kLong : seconds(60 + dice.Below(600)));
      break;
    case 3:
      act = Repeat(dice.Below(2));
      break;
    case 4:
    case 5:
      act = Revoke(dice.Below(3));
      break;
    default:
      act = Wait(dice.OneIn(2) ? seconds(1 + dice.Below(120)) : seconds(dice.Below(4000)));
      break;
  }
  AddTrouble(dice, act);
  if (dice.OneIn(2)) return act;
  std::size_t point = dice.Below(kPointCount);
  while (!Fits(kPoints[point], act.kind)) point = dice.Below(kPointCount);
  act.crash = Drawn(dice, point);
  act.crash->pass = static_cast<std::uint32_t>(1 + dice.Below(2));
  if (dice.OneIn(2)) {
    act.crash->where = Crash::Where::kTime;
    act.crash->after = microseconds(dice.Below(30'000));
  }
  return act;
}

std::string_view NameOf(Trouble trouble) {
  static constexpr std::array<std::string_view, 17> kNames = {
      "none",         "closed",      "acted-closed",  "acted-reset",    "twice-closed", "truncated",
      "answer-twice", "bad-gateway", "late-act",      "slow",           "too-slow",     "refused",
      "throttled",    "inactive",    "proxy-success", "proxy-redirect", "proxy-forbids"};
  return kNames[static_cast<std::size_t>(trouble)];
}

std::string Seconds(std::string_view name, seconds value) {
  return " " + std::string(name) + "=" + std::to_string(value.count()) + "s";
}

std::string Describe(const Act& act) {
  std::string out;
  switch (act.kind) {
    case Act::Kind::kCreate:
      out = std::string("create ") + (act.project ? "project" : "user") + Seconds("ttl", act.ttl);
      if (act.self_extending) out += " self-extending";
      break;
    case Act::Kind::kRepeat:
      out = "repeat " + std::to_string(act.which);
      break;
    case Act::Kind::kRevoke:
      out = "revoke " + std::to_string(act.which);
      break;
    case Act::Kind::kWait:
      out = "wait" + Seconds("for", act.wait);
      break;
    case Act::Kind::kExtend:
      out = "extend";
      break;
  }
  for (const auto& [name, trouble] :
       {std::pair("post", act.post), std::pair("delete", act.del), std::pair("get", act.get)}) {
    if (trouble == Trouble::kNone) continue;
    out.append(" ").append(name).append("=").append(NameOf(trouble));
    if (trouble == Trouble::kLateAct) out += Seconds("after", act.apply_delay);
  }
  if (act.blind) out += " blind";
  if (act.down) out += " down";
  if (!act.crash.has_value()) return out;
  const Crash& crash = *act.crash;
  out += crash.kill ? ", kill" : ", stop" + Seconds("for", crash.stopped_for);
  if (crash.where == Crash::Where::kTime) return out + " after " + std::to_string(crash.after.count()) + "us";
  return out + " at " + std::string(kPoints[crash.point]) + " (pass " + std::to_string(crash.pass) + ")";
}

}  // namespace

// What a proxy says instead of GitLab, and what holders do with tokens that extend themselves. By dice of its own, so
// that the rest of a scenario does not depend on it.
void AddProxiesAndHolders(Dice& dice, Scenario& scenario) {
  std::vector<Act> acts;
  for (Act& act : scenario.acts) {
    // An act with a crash leads to a point, which these would miss.
    if (!act.crash.has_value()) {
      const Trouble proxy = dice.Of({Trouble::kProxySuccess, Trouble::kProxyRedirect, Trouble::kProxyForbids});
      if (act.post == Trouble::kNone && dice.OneIn(8)) act.post = proxy;
      if (act.del == Trouble::kNone && dice.OneIn(4)) act.del = proxy;
      if (act.get == Trouble::kNone && dice.OneIn(8)) act.get = proxy;
    }
    const bool create = act.kind == Act::Kind::kCreate;
    if (create) act.self_extending = dice.OneIn(4);
    const bool extend = create && act.self_extending && dice.OneIn(2);
    acts.push_back(std::move(act));
    if (!extend) continue;
    Act holder;
    holder.kind = Act::Kind::kExtend;
    acts.push_back(std::move(holder));
  }
  scenario.acts = std::move(acts);
}

// Clocks that differ within what a create tolerates, and a replica that lags where that keeps no request from the
// point.
void AddClocksAndLag(Dice& dice, std::string_view point, Scenario& scenario) {
  if (dice.OneIn(3)) scenario.clock_difference = dice.Of({seconds(-600), seconds(-4), seconds(4), seconds(600)});
  const bool by_id = point.starts_with("repeat") || point.starts_with("revoke") || point.starts_with("expiry") ||
                     point.find(".delete:") != std::string_view::npos ||
                     point.find(".death:") != std::string_view::npos;
  if (!by_id && dice.OneIn(4)) scenario.by_id_lag = seconds(1 + dice.Below(60));
}

Scenario Draw(std::uint64_t seed) {
  Dice dice(seed);
  Scenario scenario;
  scenario.seed = seed;
  const std::size_t point = seed % kPointCount;
  // What an administrator does not find is gone: only others must ask what a 404 means.
  scenario.administrator = !dice.OneIn(3) && kPoints[point].find(".absence:") == std::string_view::npos;
  if (dice.OneIn(2)) {
    scenario.acts.push_back(Any(dice));
    scenario.acts.push_back(Wait(seconds(61)));  // What the broker has cached of that trouble is forgotten.
  }
  for (const Act& act : PathTo(dice, kPoints[point])) scenario.acts.push_back(act);
  scenario.acts.back().crash = Drawn(dice, point);
  const std::size_t more = 1 + dice.Below(4);
  for (std::size_t i = 0; i < more; ++i) scenario.acts.push_back(Any(dice));
  for (Act& act : scenario.acts) act.project = act.project || !scenario.administrator;
  Dice others(~seed);
  AddClocksAndLag(others, kPoints[point], scenario);
  AddProxiesAndHolders(others, scenario);
  return scenario;
}

std::string Describe(const Scenario& scenario) {
  std::string out = scenario.administrator ? "" : "maintainer";
  if (scenario.clock_difference != seconds(0)) out += Seconds("gitlab_ahead_by", scenario.clock_difference);
  if (scenario.by_id_lag != seconds(0)) out += Seconds("by_id_lag", scenario.by_id_lag);
  for (const Act& act : scenario.acts) out += (out.empty() ? "" : " | ") + Describe(act);
  return out;
}

}  // namespace tokenbroker
