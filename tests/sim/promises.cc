#include "tests/sim/promises.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "server/domain/expiry.h"
#include "server/domain/marker.h"
#include "server/domain/scope.h"

namespace tokenbroker::sim {
namespace {

constexpr Duration kPrompt = seconds(2);
constexpr Duration kFamilyLists = seconds(5);
constexpr Duration kBeforeAcknowledged = seconds(11);
constexpr Duration kUnreachableInterval = seconds(15);
constexpr Duration kLongestInterval = hours(1);
constexpr Duration kClaimAndRequests = seconds(35);

struct Limits {
  std::size_t max_active;
  std::size_t creates_per_minute;  // 0: no limit.
};
// As in the policy of server.cc.
const std::map<std::string, Limits>& LimitsByRole() {
  static const auto& limits = *new std::map<std::string, Limits>{{"busy", {3, 2}}, {"few", {2, 0}}};
  return limits;
}

std::string Seconds(Duration time) { return std::to_string(time.count() / 1'000'000) + " s"; }

Duration Patience(BootTime due, BootTime fine, bool self_extending) {
  if (due >= fine) return kPrompt + (self_extending ? kFamilyLists : Duration(0));
  const Duration next = std::max<Duration>(kUnreachableInterval, fine - due + kBeforeAcknowledged);
  return std::min(next, kLongestInterval) + kClaimAndRequests;
}

class Promises {
 public:
  Promises(const Sky& sky, const Server& server, const std::vector<TokenRecord>& rows, const Jobs& jobs,
           const FineSince& fine)
      : sky_(sky), server_(server), rows_(rows), fine_(fine), now_(sky.world.Boot()) {
    for (const std::unique_ptr<Job>& job : jobs) {
      if (&job->server() != &server) continue;
      for (const auto& [id, when] : job->acknowledged()) acknowledged_.emplace(id, when);
      if (job->held().has_value() && !job->held()->given_back) held_.insert(job->held()->token.id);
      for (const std::string& each : job->wrong()) Say(each);
    }
  }

  std::vector<std::string> Run() {
    for (const TokenRecord& row : rows_) CheckTimes(row);
    CheckQuotas();
    return std::move(wrong_);
  }

 private:
  void Say(std::string what) { wrong_.push_back(std::move(what)); }

  void CheckTimes(const TokenRecord& row) {
    const Token& token = row.token;
    const auto found = sky_.lives.find(token.upstream_id);
    if (found == sky_.lives.end() || found->second.post.row != token.id || found->second.duplicate) return;
    const UpstreamLife& life = found->second;
    const BootTime end = life.post.intent + life.post.ttl;
    const std::string who = "token " + std::to_string(token.upstream_id) + " of row " + token.id;
    if (held_.contains(token.id) && life.died.has_value() && !life.by_hand &&
        token.revoke_reason == RevokeReason::kTtl && *life.died < end - server_.clock_spread() - kSendWindow) {
      Say("early: " + who + " was ended " + Seconds(end - *life.died) + " before its time");
    }
    if (!sky_.IsLive(token.upstream_id) || sky_.HadEnded(sky_.gitlab.token(token.upstream_id))) return;
    const std::optional<BootTime> fine = FineFor(token.target);
    if (!fine.has_value()) return;
    BootTime due = end;
    const auto given_back = acknowledged_.find(token.id);
    if (given_back != acknowledged_.end()) due = std::min(due, given_back->second);
    const BootTime last =
        std::max(due, *fine) + Patience(due, *fine, AnySelfExtending(token.scopes)) + server_.clock_spread();
    if (now_ <= last) return;
    Say("late: " + who + " lives " + Seconds(now_ - due) + " after it was due, " + Seconds(now_ - last) +
        " more than may be");
  }

  std::optional<BootTime> FineFor(const ResolvedTarget& target) const {
    const std::optional<TroubledTarget>& troubled = sky_.weather.troubled;
    if (fine_.troubled.has_value()) return fine_.troubled;
    if (troubled.has_value() && troubled->Is(target)) return std::nullopt;
    return fine_.all;
  }

  void CheckQuotas() {
    for (const auto& [role, limits] : LimitsByRole()) {
      std::set<std::string> open;
      std::vector<WallTime> made;
      for (const TokenRecord& row : rows_) {
        // A second token of a POST has a row of its own and takes no part in this.
        if (row.role != role || !EndsInMarker(row.token.upstream_name, MarkerOf(server_.name(), row.token.id)))
          continue;
        made.push_back(row.token.create_time);
        if (!row.pending && IsClosed(row.token.state)) continue;
        open.insert(RequestOf(row));
      }
      if (open.size() > limits.max_active) {
        Say("quota: role " + role + " has " + std::to_string(open.size()) + " tokens instead of " +
            std::to_string(limits.max_active));
      }
      CheckRate(role, limits.creates_per_minute, std::move(made));
    }
  }

  // The job of a row with a request_id; the row itself without one.
  std::string RequestOf(const TokenRecord& row) const {
    const auto job = row.token.labels.find("job");
    const auto once = row.token.labels.find("once");
    return once == row.token.labels.end() ? row.token.id : job->second;
  }

  void CheckRate(const std::string& role, std::size_t limit, std::vector<WallTime> made) {
    if (limit == 0 || server_.clock_spread() > Duration(0)) return;
    std::sort(made.begin(), made.end());
    for (std::size_t i = 0; i + limit < made.size(); ++i) {
      if (made[i + limit] - made[i] < minutes(1)) Say("quota: role " + role + " made too many tokens within a minute");
    }
  }

  const Sky& sky_;
  const Server& server_;
  const std::vector<TokenRecord>& rows_;
  const FineSince& fine_;
  const BootTime now_;
  std::map<TokenId, BootTime> acknowledged_;
  std::set<TokenId> held_;
  std::vector<std::string> wrong_;
};

}  // namespace

std::vector<std::string> BrokenPromises(const Sky& sky, const Server& server, const std::vector<TokenRecord>& rows,
                                        const Jobs& jobs, const FineSince& fine) {
  return Promises(sky, server, rows, jobs, fine).Run();
}

std::vector<std::string> NotReconciled(const Sky& sky, const Server& server, const std::vector<TokenRecord>& rows,
                                       Duration within) {
  std::vector<std::string> wrong;
  const WallTime since = sky.world.Now() - within - server.clock_spread();
  for (const TokenRecord& row : rows) {
    const Token& token = row.token;
    if (row.pending || token.state != TokenState::kActive) continue;
    if (sky.weather.troubled.has_value() && sky.weather.troubled->Is(token.target)) continue;
    // A maintainer's credential sees no users' tokens; what ended by hand is closed, and not seen.
    if (!sky.is_admin() && token.target.kind == TargetKind::kUser) continue;
    if (!sky.IsLive(token.upstream_id) || sky.removed_members.contains(token.upstream_id)) continue;
    if (token.reconcile_time.has_value() && *token.reconcile_time >= since) continue;
    wrong.push_back("reconcile: row " + token.id + " was not compared with GitLab while another target was in trouble");
  }
  return wrong;
}

std::vector<BootTime> EndsUntil(const Sky& sky, BootTime until) {
  std::vector<BootTime> ends;
  for (const auto& [id, life] : sky.lives) {
    const BootTime end = life.post.intent + life.post.ttl;
    if (end > sky.world.Boot() && end < until && sky.IsLive(id)) ends.push_back(end);
  }
  std::sort(ends.begin(), ends.end());
  return ends;
}

}  // namespace tokenbroker::sim
