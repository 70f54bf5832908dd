#pragma once
// What GitLab, the network and the truth about them are to all processes of a run. The truth is kept by upstream id:
// which POST made a token, and when it died. No marker, no row and no clock of a broker is part of it.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "server/base/manual_loop.h"
#include "server/gitlab/fake_gitlab.h"
#include "tests/sim/draw.h"
#include "tests/sim/weather.h"

namespace tokenbroker::sim {

// Which row's POST it was, and when that row's intent was durable.
struct PostOrigin {
  std::string server;
  TokenId row;
  BootTime intent{};
  Duration ttl{0};
};

// One token at GitLab.
struct UpstreamLife {
  PostOrigin post;          // Of the first of its line.
  bool duplicate = false;   // The second token of a POST that something sent twice.
  std::int64_t parent = 0;  // Its holder rotated that one to get it; 0: a POST made it.
  BootTime made{};
  std::optional<BootTime> died;  // Revoked; that its date has passed is not noted here.
  bool by_hand = false;          // Somebody revoked it in a browser, or its holder rotated it.
  std::optional<BootTime> used;  // First.
};

class Sky {
 public:
  Sky(ManualLoop& the_world, Draw& the_draw) : world(the_world), draw(the_draw), gitlab(the_world) {}

  // Does `act` in the world, whatever becomes of the process that wanted it.
  void Later(Duration in, std::function<void()> act);

  void AddProject(std::int64_t id, const std::string& path);
  std::optional<std::int64_t> ProjectId(const std::string& path) const;

  // A POST is carried out; the new token's id.
  std::int64_t Make(const MintSpec& spec, const PostOrigin& post, bool duplicate);
  // The holder of a live token rotates it; the descendant's id.
  std::int64_t Rotate(std::int64_t id);
  void Use(std::int64_t id);
  void RevokeByHand(std::int64_t id);
  // A project token's bot loses its membership, see FakeGitLab::RemoveMember.
  void RemoveMember(std::int64_t id);
  // A DELETE was carried out.
  void NoteDeleted(std::int64_t id);

  // Whether the broker's credential is an administrator's.
  void SetAdmin(bool admin);
  bool is_admin() const { return is_admin_; }
  // Whether that credential's sweep at this time would not have shown the token.
  bool WasHiddenAt(BootTime sweep, std::int64_t id) const {
    return removed_members.contains(id) && (!is_admin_ || admin_since_ > sweep);
  }

  // Lists do not show a token within this time of its making, from now on.
  void SetListLag(Duration lag);
  bool lists_lagged() const { return lists_lagged_; }  // At some time.

  // GitLab's clock from now on, beside the world's.
  void SetSkew(Duration skew);
  Duration skew() const { return skew_; }
  WallTime GitLabNow() const { return world.Now() + skew_; }
  // GitLab's clock was once past this token's date: it had ended by the only clock that counts, and lives again only
  // because that clock was set back.
  bool HadEnded(const UpstreamToken& token) const;

  bool IsLive(std::int64_t id) const;
  // It, or what its holder made of it.
  bool IsLineLive(std::int64_t id) const;

  ManualLoop& world;
  Draw& draw;
  FakeGitLab gitlab;
  Weather weather;
  std::map<std::int64_t, UpstreamLife> lives;
  std::set<std::int64_t> removed_members;  // Tokens whose bot is no member any more.
  std::function<void(std::string)> note;   // Into the trace.

 private:
  bool is_admin_ = true;
  BootTime admin_since_{};
  std::map<std::string, std::int64_t> projects_;
  bool lists_lagged_ = false;
  Duration skew_{0};
  WallTime furthest_{};  // GitLab's clock never showed a later time.
  std::vector<std::unique_ptr<Clock::Timer>> later_;
};

}  // namespace tokenbroker::sim
