#include "tests/sim/job.h"

#include <utility>

#include "server/base/error.h"

namespace tokenbroker::sim {
namespace {

constexpr int kMostAttempts = 8;

std::string IdIn(const absl::Status& error) {
  for (const auto& [key, value] : MetaOf(error)) {
    if (key == "token") return ParseResourceName(value).value_or("");
  }
  return "";
}

}  // namespace

Job::Job(Sky& sky, Draw& draw, Server& server, int number, bool projects_only)
    : sky_(sky), draw_(draw), server_(server), number_(std::to_string(number)) {
  caller_.name = draw_.Of<std::string>({"ci", "ci", "build", "deploy"});
  caller_.identity = "spiffe://sim/" + caller_.name;
  const bool project = projects_only || draw_.Percent(40);
  const bool self_extending = draw_.Percent(25);
  request_.display_name = "job " + number_;
  request_.target.kind = project ? TargetKind::kProject : TargetKind::kUser;
  request_.target.ref = project ? draw_.Of<std::string>({"acme/payments", "8"}) : draw_.Of<std::string>({"42", "43"});
  request_.scopes = {self_extending ? "api" : "read_repository"};
  request_.access_level = project ? 20 : 0;
  request_.ttl = draw_.Of<Duration>({minutes(1), minutes(2), hours(1), hours(20), hours(72)});
  request_.labels = {{"job", number_}};
  if (draw_.Percent(75)) request_.request_id = MakeUuid4(draw_);
  if (has_request_id()) request_.labels["once"] = "yes";
}

void Job::Later(Duration in, void (Job::*act)()) {
  sky_.Later(in, [this, act] {
    if (!retired_) (this->*act)();
  });
}

void Job::Start(Duration within) { Later(draw_.Between(Duration(0), within), &Job::Ask); }

void Job::AskAgain(Duration in) {
  if (attempts_ < kMostAttempts) Later(in, &Job::Ask);
}

void Job::Ask() {
  ++attempts_;
  if (!server_.alive()) return AskAgain(seconds(3));
  Note("asks");
  asking_ = true;
  leave_ = CancelSource();
  const BootTime deadline = server_.process().Boot() + draw_.Of<Duration>({seconds(3), seconds(30), minutes(3)});
  const bool heard = !draw_.Percent(5);
  // A credential that was used before this repeat began is in use, whatever the repeat finds.
  const bool in_use = held_.has_value() && sky_.lives.at(held_->token.upstream_id).used.has_value();
  server_.broker().scope().Spawn<absl::StatusOr<Created>>(
      server_.broker().Create(CallContext(deadline, leave_), caller_, request_),
      [this, heard, in_use](absl::StatusOr<Created> created) {
        if (!server_.alive() || !std::exchange(asking_, false)) return;
        if (heard) return Heard(created, in_use);
        Note("does not hear the response");
        if (has_request_id()) AskAgain(draw_.Between(seconds(1), seconds(20)));
      });
  if (draw_.Percent(8)) Later(draw_.Between(Duration(1), milliseconds(300)), &Job::Broken);
}

// It leaves, or its connection breaks: the broker hears of it, and the response has nowhere to go.
void Job::Broken() {
  if (!std::exchange(asking_, false)) return;
  Note("is cut off");
  leave_.Cancel();
  if (has_request_id()) AskAgain(draw_.Between(milliseconds(500), minutes(2)));
}

void Job::Heard(const absl::StatusOr<Created>& created, bool in_use) {
  if (!created.ok()) return HeardError(created.status());
  answers_.insert("OK");
  Note("holds " + created->token.id + " = " + std::to_string(created->token.upstream_id));
  if (in_use) wrong_.push_back("in use: a repeat of job " + number_ + " replaced " + held_->token.id);
  held_ = Held{created->token};
  if (draw_.Percent(80)) Later(draw_.Between(milliseconds(1), minutes(2)), &Job::Live);
}

void Job::HeardError(const absl::Status& error) {
  const std::string reason = ReasonOf(error);
  Note("hears " + reason);
  answers_.insert(reason.empty() ? "no reason" : reason);
  const std::string id = IdIn(error);
  if (reason == "UPSTREAM_OUTCOME_UNKNOWN" && draw_.Percent(20)) {
    returning_ = id;
    return GiveBack(id);
  }
  // Whatever says UNAVAILABLE is sent again by anybody; what may have happened, only by whoever has a request_id.
  const bool nothing_happened = absl::IsUnavailable(error) || absl::IsResourceExhausted(error);
  if (!nothing_happened && !(absl::IsAborted(error) && has_request_id())) return;
  AskAgain(draw_.Percent(50) ? RetryAfterOf(error).value_or(seconds(1)) : draw_.Between(seconds(1), minutes(2)));
}

void Job::Live() {
  const bool lives = sky_.IsLive(held_->token.upstream_id);
  if (lives && draw_.Percent(40)) {
    Note("uses " + std::to_string(held_->token.upstream_id));
    sky_.Use(held_->token.upstream_id);
    if (has_request_id() && draw_.Percent(40)) return Ask();
  }
  if (lives && request_.scopes.front() == "api" && draw_.Percent(50)) {
    held_->extended = true;
    const std::int64_t child = sky_.Rotate(held_->token.upstream_id);
    if (draw_.Percent(30)) sky_.Rotate(child);
  }
  if (sky_.IsLive(held_->token.upstream_id) && draw_.Percent(10)) {
    held_->ended_by_hand = true;
    Note("loses " + std::to_string(held_->token.upstream_id) + " to somebody with a browser");
    sky_.RevokeByHand(held_->token.upstream_id);
  }
  if (draw_.Percent(60)) {
    returning_ = held_->token.id;
    GiveBack(returning_);
  }
}

void Job::GiveBack(const TokenId& id) {
  if (held_.has_value() && held_->token.id == id) held_->given_back = true;
  const auto again = [this] {
    if (++returns_ < kMostAttempts) sky_.Later(seconds(2), [this] { GiveBack(returning_); });
  };
  if (retired_ || id.empty()) return;
  if (!server_.alive()) return again();
  Note("gives back " + id);
  const CallContext call(server_.process().Boot() + draw_.Of<Duration>({seconds(1), seconds(20)}));
  server_.broker().scope().Spawn<absl::StatusOr<Token>>(
      server_.broker().Revoke(call, caller_, id), [this, id, again](const absl::StatusOr<Token>& token) {
        if (!server_.alive()) return;
        if (!token.ok()) return again();
        Note("has given back " + id + ": " + std::string(NameOf(token->state)));
        acknowledged_.emplace(id, sky_.world.Boot());
      });
}

}  // namespace tokenbroker::sim
