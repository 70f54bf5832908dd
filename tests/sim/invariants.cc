#include "tests/sim/invariants.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "server/base/time_text.h"
#include "server/domain/expiry.h"
#include "server/domain/marker.h"
#include "server/domain/scope.h"

namespace tokenbroker::sim {
namespace {

// The checks of one moment.
class Check {
 public:
  Check(When when, const Sky& sky, const Server& server, const std::vector<TokenRecord>& rows)
      : when_(when), now_(sky.world.Now()), sky_(sky), server_(server), rows_(rows) {
    for (const TokenRecord& row : rows) {
      by_id_[row.token.id] = &row;
      if (row.token.upstream_id != 0) by_upstream_id_[row.token.upstream_id] = &row;
    }
    for (UpstreamToken& each : sky.gitlab.live()) {
      if (sky.lives.at(each.id).post.server == server.name() && !sky.HadEnded(each)) live_.push_back(std::move(each));
    }
  }

  std::vector<std::string> Run(const std::vector<std::unique_ptr<Job>>& jobs) {
    for (const UpstreamToken& token : live_) CheckLive(token);
    for (const TokenRecord& row : rows_) CheckRow(row);
    for (const std::unique_ptr<Job>& job : jobs) {
      if (&job->server() != &server_) continue;
      CheckAcknowledged(*job);
      CheckOnce(*job);
      if (server_.clock_spread() == Duration(0)) CheckHeld(*job);
    }
    return std::move(wrong_);
  }

 private:
  void Say(std::string what) { wrong_.push_back(std::move(what)); }

  // The row that answers for a live token: its own, or that of the POST that made it or what it comes from.
  const TokenRecord* RowFor(const UpstreamToken& token, const UpstreamLife& life) const {
    const auto known = by_upstream_id_.find(token.id);
    if (known != by_upstream_id_.end()) return known->second;
    const auto made_by = by_id_.find(life.post.row);
    return made_by == by_id_.end() ? nullptr : made_by->second;
  }

  void CheckLive(const UpstreamToken& token) {
    const UpstreamLife& life = sky_.lives.at(token.id);
    const TokenRecord* row = RowFor(token, life);
    const std::string who = "token " + std::to_string(token.id) + " (" + token.name + ')';
    if (row == nullptr) return Say("I1: " + who + " lives, and no row knows of it");
    const Token& kept = row->token;
    const bool same = kept.upstream_id == token.id;
    // GitLab's clock was so wrong when it was made that no list can find it by created_after.
    if (!same && token.created_at < kept.create_time - kSearchBack + server_.clock_spread()) return;
    const bool closed = kept.state == TokenState::kRevoked || kept.state == TokenState::kExpired;
    // No descendant of a self-extending one may live. But while sweeps are to come, a token may be from a POST that was
    // sent twice, and what a list did not show (one that lagged, or a project's, of a bot that is no member) may be
    // found by the second list.
    const bool descends = kept.upstream_id != 0 && Descends(token.id, kept.upstream_id);
    const bool may_be_unseen = sky_.lists_lagged() || sky_.removed_members.contains(token.id);
    const bool sweeps_come = row->next_attempt_time.has_value() && (!descends || may_be_unseen);
    const bool duplicate = life.duplicate || sweeps_come;
    if (closed && (same || (AnySelfExtending(kept.scopes) && !duplicate))) {
      Say("I2: " + who + " lives, and its row " + kept.id + " is " + std::string(NameOf(kept.state)));
    }
    if (when_ == When::kAlways) return;
    if (!same && life.duplicate) return CheckDuplicate(token, kept);
    if (kept.state == TokenState::kActive && (same || Descends(token.id, kept.upstream_id))) return;
    if (when_ == When::kSettled) {
      // One that came later than `settle`, or that the credential could not see then, is for a later sweep; one that is
      // being revoked has its own pace; and a sweep of a target in trouble waits.
      const bool troubled = sky_.weather.troubled.has_value() && sky_.weather.troubled->Is(kept.target);
      const BootTime settled = life.post.intent + minutes(10);
      const bool later_sweep = life.made > settled || sky_.WasHiddenAt(settled + kSendWindow, token.id);
      if (troubled || later_sweep || (kept.state == TokenState::kRevoking && !row->pending)) return;
      if (server_.clock_spread() > minutes(5)) return;
      return Say("settle: " + who + " outlived the sweep, its row is " + std::string(NameOf(kept.state)));
    }
    Say("I4: " + who + " lives in quiet, and its row is " + std::string(NameOf(kept.state)) + " with " +
        std::to_string(kept.upstream_id));
  }

  // Whether holders made `token` of `origin`, in however many steps.
  bool Descends(std::int64_t token, std::int64_t origin) const {
    while (token != 0 && token != origin) token = sky_.lives.at(token).parent;
    return token == origin;
  }

  // A POST was sent twice on the way, and both were carried out. Beside an ACTIVE token the second one is revoked by
  // the reconciler; once the first has ended, it is reported.
  void CheckDuplicate(const UpstreamToken& token, const Token& first) {
    // By a clock of GitLab's that was wrong it was made long after the first one: it is reported.
    if (token.created_at > first.create_time + minutes(10) - server_.clock_spread()) return;
    if (when_ == When::kQuiet && first.state == TokenState::kActive && !AnySelfExtending(first.scopes)) {
      Say("duplicate: token " + std::to_string(token.id) + " lives beside " + std::to_string(first.upstream_id));
    }
  }

  void CheckRow(const TokenRecord& row) {
    const Token& token = row.token;
    // A clock that was set back after the end was decided dates the proof before it; EndedTooEarly knows better.
    if (server_.clock_spread() == Duration(0) && token.state == TokenState::kExpired &&
        token.revoke_time < token.expire_time) {
      Say("expiry: " + token.id + " was ended before its time");
    }
    if (when_ != When::kQuiet) return;
    if (row.pending) Say("quiet: " + token.id + " is still PENDING");
    if (!row.pending && token.state == TokenState::kRevoking) Say("quiet: " + token.id + " is still REVOKING");
    if (token.state != TokenState::kActive) return;
    if (token.expire_time + server_.clock_spread() <= now_) Say("quiet: " + token.id + " is ACTIVE after its end");
    if (!sky_.IsLineLive(token.upstream_id)) {
      Say("I4: row " + token.id + " is ACTIVE, and GitLab's token " + std::to_string(token.upstream_id) + " is dead");
    }
  }

  void CheckAcknowledged(const Job& job) {
    for (const auto& [id, when] : job.acknowledged()) {
      const auto row = by_id_.find(id);
      if (row == by_id_.end()) {
        Say("I3: " + id + " was given back, and its row is gone");
      } else if (row->second->token.state == TokenState::kActive) {
        Say("I3: " + id + " was given back, and is ACTIVE");
      } else if (row->second->pending && !row->second->revoke_requested) {
        Say("I3: " + id + " was given back while it was PENDING, and that is forgotten");
      }
    }
  }

  // At most one of a request's tokens is ACTIVE.
  void CheckOnce(const Job& job) {
    if (!job.has_request_id()) return;
    const auto active = std::count_if(rows_.begin(), rows_.end(), [&](const TokenRecord& row) {
      const auto label = row.token.labels.find("job");
      return row.token.state == TokenState::kActive && label != row.token.labels.end() && label->second == job.number();
    });
    if (active > 1) Say("request_id: job " + job.number() + " has more than one ACTIVE token");
  }

  // What a caller was given works until it is given back or ends.
  void CheckHeld(const Job& job) {
    if (!job.held().has_value() || job.held()->given_back || job.held()->extended || job.held()->ended_by_hand) {
      return;
    }
    const Token& token = job.held()->token;
    if (token.expire_time <= now_) return;
    if (sky_.HadEnded(sky_.gitlab.token(token.upstream_id))) return;
    if (!sky_.IsLive(token.upstream_id))
      Say("held: job " + job.number() + " holds " + token.id + ", which died before its end");
  }

  const When when_;
  const WallTime now_;
  const Sky& sky_;
  const Server& server_;
  const std::vector<TokenRecord>& rows_;
  std::map<TokenId, const TokenRecord*> by_id_;
  std::map<std::int64_t, const TokenRecord*> by_upstream_id_;
  std::vector<UpstreamToken> live_;
  std::vector<std::string> wrong_;
};

}  // namespace

std::vector<std::string> WhatIsWrong(When when, const Sky& sky, const Server& server,
                                     const std::vector<TokenRecord>& rows,
                                     const std::vector<std::unique_ptr<Job>>& jobs) {
  return Check(when, sky, server, rows).Run(jobs);
}

std::vector<std::string> EndedTooEarly(const std::vector<AuditEvent>& events) {
  constexpr std::string_view kExpireTime = "\"expire_time\":\"";
  std::vector<std::string> wrong;
  for (const AuditEvent& event : events) {
    if (event.kind != "token.revoking" || event.body.find("\"reason\":\"TTL\"") == std::string::npos) continue;
    const std::size_t at = event.body.find(kExpireTime);
    const std::size_t begin = at + kExpireTime.size();
    const std::optional<WallTime> end =
        at == std::string::npos ? std::nullopt
                                : ParseRfc3339(event.body.substr(begin, event.body.find('"', begin) - begin));
    if (!end.has_value() || event.time < *end)
      wrong.push_back("expiry: " + event.token_id + " was ended before its time");
  }
  return wrong;
}

}  // namespace tokenbroker::sim
