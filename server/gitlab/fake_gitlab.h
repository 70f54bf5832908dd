#pragma once
// Testonly: a GitLab in memory that keeps the truth and lies only about how a call ended.
//
//   FakeGitLab gitlab(loop);
//   gitlab.AddUser(42, "demo-user");
//   gitlab.PlanNext(FakeGitLab::End::kLostAfter);   // The next change happens, but nobody hears of it.
//   ...
//   EXPECT_EQ(gitlab.live().size(), 1u);

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "server/base/clock.h"
#include "server/base/executor.h"
#include "server/gitlab/gitlab.h"

namespace tokenbroker {

// Runs on the executor of its clock alone.
class FakeGitLab final : public GitLab {
 public:
  enum class End {
    kWorks,
    kRefused,     // GitLab says no; nothing happens.
    kLostBefore,  // Unknown to us; nothing happens.
    kLostAfter,   // Unknown to us; it happens.
    kLate,        // Unknown to us; it happens after `late_by()`.
  };

  explicit FakeGitLab(Clock& clock) : clock_(clock) {}

  // How the next change ends; more calls plan the ones after it. Then all work again.
  void PlanNext(End end) { planned_.push_back(end); }
  void set_late_by(Duration late_by) { late_by_ = late_by; }
  // While down, nothing happens and everything ends as if no connection could be made.
  void set_down(bool down) { down_ = down; }
  // What the next 201 says instead of the truth.
  void SpoilNextAnswer(std::function<void(UpstreamToken&)> spoil) { spoil_ = std::move(spoil); }
  // A POST takes this long before it is answered (it is carried out at once).
  void set_mint_takes(Duration takes) { mint_takes_ = takes; }
  // The same for a DELETE; `done` hears of each that was carried out.
  void set_delete_takes(Duration takes, std::function<void(std::int64_t token_id)> done = nullptr) {
    delete_takes_ = takes;
    deleted_ = std::move(done);
  }
  // A list takes this long before it is answered; it shows what was true when it was asked for.
  void set_list_takes(Duration takes) { list_takes_ = takes; }
  void set_skew(Duration skew) { skew_ = skew; }
  void set_issuer_is_admin(bool admin) { issuer_is_admin_ = admin; }
  // Something in front of GitLab wrote the newest Date: it is not used, as if there had been no response.
  void set_unmarked(bool unmarked) { unmarked_ = unmarked; }
  // Each DELETE is rejected, as for a credential that may not.
  void set_refuse_deletes(bool refuse) { refuse_deletes_ = refuse; }
  // The instance's longest life of a token; only an administrator reads it from the settings.
  void set_max_lifetime_days(int days) { max_lifetime_days_ = days; }
  // Lists do not show a token within this time of its making, whatever GitLab's clock says.
  void set_list_lag(Duration lag) { list_lag_ = lag; }
  // Requests about such a target have no response.
  void set_fails(std::function<bool(const ResolvedTarget& target)> fails) { fails_ = std::move(fails); }
  // Requests about such a target have no response before they time out: a read at its deadline, everything else after
  // a minute.
  void set_hangs(std::function<bool(const ResolvedTarget& target)> hangs) { hangs_ = std::move(hangs); }
  // Called after each read of a token by id.
  void set_after_get(std::function<void()> act) { after_get_ = std::move(act); }
  // A replica lags: whatever asks for a token by id within this time of its making finds nothing.
  void set_lag_by_id(Duration lag) { lag_by_id_ = lag; }

  void AddUser(std::int64_t id, std::string username);
  TargetFacts& user(std::int64_t id) { return users_.at(id); }
  void AddProject(std::int64_t id, std::string path);
  // A token that was made before the test began.
  void AddToken(UpstreamToken token) {
    by_marker_.emplace(MarkerIn(token.name), token.id);
    tokens_[token.id] = std::move(token);
  }
  void RemoveProject(std::int64_t id) { projects_.erase(id); }
  // A project token's bot loses its membership: its token is live, and the project's routes do not show it any more.
  void RemoveMember(std::int64_t token_id) { bots_.at(tokens_.at(token_id).user_id).is_member = false; }

  // A token that is made without anybody's hearing of it; its id.
  std::int64_t Plant(const MintSpec& spec) { return Make(spec, Now()).id; }
  // Somebody revokes it in a browser.
  void RevokeByHand(std::int64_t token_id) { tokens_.at(token_id).revoked = true; }
  // GitLab is taken back to an earlier state, its numbers too.
  struct Backup {
    std::map<std::int64_t, UpstreamToken> tokens;
    std::int64_t next_id = 0;
  };
  Backup TakeBackup() const { return {tokens_, next_id_}; }
  void Restore(const Backup& backup) {
    tokens_ = backup.tokens;
    next_id_ = backup.next_id;
  }

  // A token is used, as GitLab notes it.
  void Use(std::int64_t token_id);
  // A holder rotates its own token: the old one is revoked, a child with the same name and a new id lives.
  std::int64_t HolderRotates(std::int64_t token_id);
  // Called before each DELETE is carried out: a holder may be faster.
  void set_before_delete(std::function<void()> act) { before_delete_ = std::move(act); }
  // The row vanishes, as with a deleted user; a project token's bot goes with it.
  void Forget(std::int64_t token_id);

  std::vector<UpstreamToken> live() const;
  const UpstreamToken& token(std::int64_t id) const { return tokens_.at(id); }
  int requests() const { return requests_; }  // Of every kind, with or without a response; not CheckIssuer's.
  int posts() const { return posts_; }
  int deletes() const { return deletes_; }
  int resolves() const { return resolves_; }
  int reads() const { return reads_; }  // Of tokens and targets, resolves among them.
  const std::vector<MintSpec>& specs() const { return specs_; }

  Task<Ended<Minted>> Mint(CallContext call, DurableIntent intent, MintSpec spec) override;
  Task<Ended<Deleted>> Revoke(CallContext call, UpstreamRef ref) override;
  Task<absl::StatusOr<std::optional<UpstreamToken>>> GetToken(CallContext call, UpstreamRef ref) override;
  Task<absl::StatusOr<bool>> ConfirmNotFound(CallContext call, UpstreamRef ref) override;
  Task<absl::StatusOr<std::vector<UpstreamToken>>> ListTokens(CallContext call, UpstreamQuery query) override;
  Task<absl::StatusOr<TargetFacts>> Resolve(CallContext call, Target target) override;
  Task<absl::StatusOr<ResolvedTarget>> TargetOf(CallContext call, std::string instance, std::int64_t user_id) override;
  Task<absl::StatusOr<IssuerFacts>> CheckIssuer(CallContext call) override;
  std::optional<UpstreamTime> Time() const override { return time_; }

 private:
  // "[tb:...]", where a name has it; else empty.
  static std::string MarkerIn(const std::string& name);
  End NextEnd();
  WallTime Now() const { return clock_.Now() + skew_; }
  bool IsActive(const UpstreamToken& token) const;
  bool Fails(const ResolvedTarget& target) const { return down_ || (fails_ && fails_(target)); }
  // Returns when the request has timed out; at once if its target does not hang.
  Task<bool> TimesOut(CallContext call, ResolvedTarget target);
  // GitLab responds: its clock is known from now on.
  void Respond();
  // The token, if the routes that the credential may use for `ref` show it.
  UpstreamToken* FindById(const UpstreamRef& ref);
  bool IsShownByProject(const UpstreamToken& token, std::int64_t project_id) const;
  UpstreamToken Make(const MintSpec& spec, WallTime created_at);
  // Whether a replica that is so far behind has the token.
  bool IsBehind(Duration lag, std::int64_t token_id) const;
  // A request arrives: counts it, and carries out what was to happen late and is due.
  void CatchUp();

  Clock& clock_;
  std::deque<End> planned_;
  std::function<void(UpstreamToken&)> spoil_;
  std::function<void()> before_delete_;
  Duration late_by_{0};
  std::function<void(std::int64_t)> deleted_;
  Duration mint_takes_{0};
  Duration delete_takes_{0};
  Duration list_takes_{0};
  Duration skew_{0};
  bool down_ = false;
  bool issuer_is_admin_ = true;
  bool unmarked_ = false;
  bool refuse_deletes_ = false;
  std::function<void()> after_get_;
  std::function<bool(const ResolvedTarget&)> fails_;
  std::function<bool(const ResolvedTarget&)> hangs_;
  int max_lifetime_days_ = 365;
  Duration lag_by_id_{0};
  Duration list_lag_{0};
  std::optional<UpstreamTime> time_;
  std::int64_t next_id_ = 100;
  std::map<std::int64_t, TargetFacts> users_;
  std::map<std::int64_t, std::string> projects_;
  struct Bot {
    ResolvedTarget project;
    bool is_member = true;
  };
  std::map<std::int64_t, Bot> bots_;
  std::map<std::int64_t, UpstreamToken> tokens_;
  std::multimap<std::string, std::int64_t> by_marker_;  // Of every token there ever was: a search reads no other.
  std::map<std::int64_t, BootTime> made_;               // Of those that were made since the test began.
  std::vector<std::pair<BootTime, MintSpec>> late_;
  std::vector<MintSpec> specs_;
  int requests_ = 0;
  int posts_ = 0;
  int deletes_ = 0;
  int resolves_ = 0;
  int reads_ = 0;
};

}  // namespace tokenbroker
