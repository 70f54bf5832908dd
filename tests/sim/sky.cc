#include "tests/sim/sky.h"

#include <algorithm>
#include <utility>

#include "server/base/time_text.h"

namespace tokenbroker::sim {

void Sky::Later(Duration in, std::function<void()> act) {
  later_.push_back(world.CallAt(world.Boot() + in, std::move(act)));
}

void Sky::AddProject(std::int64_t id, const std::string& path) {
  gitlab.AddProject(id, path);
  projects_[path] = id;
}

std::optional<std::int64_t> Sky::ProjectId(const std::string& path) const {
  const auto found = projects_.find(path);
  return found == projects_.end() ? std::nullopt : std::optional(found->second);
}

std::int64_t Sky::Make(const MintSpec& spec, const PostOrigin& post, bool duplicate) {
  const std::int64_t id = gitlab.Plant(spec);
  UpstreamLife& life = lives[id];
  life.post = post;
  life.duplicate = duplicate;
  life.made = world.Boot();
  note("GitLab makes " + std::to_string(id) + ' ' + spec.name);
  return id;
}

std::int64_t Sky::Rotate(std::int64_t id) {
  const std::int64_t child = gitlab.HolderRotates(id);
  UpstreamLife life;
  life.post = lives.at(id).post;
  life.duplicate = lives.at(id).duplicate;
  life.parent = id;
  life.made = world.Boot();
  lives.at(id).died = world.Boot();
  lives.at(id).by_hand = true;
  lives[child] = std::move(life);
  note("its holder rotates " + std::to_string(id) + " to " + std::to_string(child));
  return child;
}

void Sky::Use(std::int64_t id) {
  gitlab.Use(id);
  if (!lives.at(id).used.has_value()) lives.at(id).used = world.Boot();
}

void Sky::RevokeByHand(std::int64_t id) {
  gitlab.RevokeByHand(id);
  if (!lives.at(id).died.has_value()) lives.at(id).died = world.Boot();
  lives.at(id).by_hand = true;
}

void Sky::RemoveMember(std::int64_t id) {
  note("the bot of " + std::to_string(id) + " is no member any more");
  gitlab.RemoveMember(id);
  removed_members.insert(id);
}

void Sky::NoteDeleted(std::int64_t id) {
  note("GitLab deletes " + std::to_string(id));
  const auto life = lives.find(id);
  if (life != lives.end() && !life->second.died.has_value()) life->second.died = world.Boot();
}

void Sky::SetAdmin(bool admin) {
  if (admin && !is_admin_) admin_since_ = world.Boot();
  is_admin_ = admin;
  gitlab.set_issuer_is_admin(admin);
}

void Sky::SetListLag(Duration lag) {
  lists_lagged_ = lists_lagged_ || lag > Duration(0);
  gitlab.set_list_lag(lag);
}

void Sky::SetSkew(Duration skew) {
  furthest_ = std::max(furthest_, GitLabNow());
  skew_ = skew;
  gitlab.set_skew(skew);
  furthest_ = std::max(furthest_, GitLabNow());
}

bool Sky::HadEnded(const UpstreamToken& token) const {
  return token.expires_at.has_value() && MidnightOf(*token.expires_at) <= std::max(furthest_, GitLabNow());
}

bool Sky::IsLive(std::int64_t id) const {
  const auto life = lives.find(id);
  if (life == lives.end() || life->second.died.has_value()) return false;
  const UpstreamToken& token = gitlab.token(id);
  return !token.expires_at.has_value() || MidnightOf(*token.expires_at) > GitLabNow();
}

bool Sky::IsLineLive(std::int64_t id) const {
  if (IsLive(id)) return true;
  return std::any_of(lives.begin(), lives.end(), [&](const auto& each) {
    return each.second.parent == id && each.first > id && IsLineLive(each.first);
  });
}

}  // namespace tokenbroker::sim
