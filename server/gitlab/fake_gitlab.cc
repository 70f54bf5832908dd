#include "server/gitlab/fake_gitlab.h"

#include <algorithm>
#include <set>
#include <utility>

#include "server/base/error.h"
#include "server/domain/marker.h"

namespace tokenbroker {
namespace {

absl::Status Unavailable() {
  return Error(absl::StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", "GitLab does not answer");
}

absl::Status NotSupported() {
  return Error(absl::StatusCode::kFailedPrecondition, "TARGET_KIND_NOT_SUPPORTED",
               "token.target: this broker does not make such tokens yet");
}
absl::Status DateTooLate(Date latest) {
  return Error(absl::StatusCode::kInvalidArgument, "UPSTREAM_INVALID",
               "GitLab answered 400: 400 Bad request - Expires at must be before " + FormatDate(latest));
}
absl::Status NotFound() { return Error(absl::StatusCode::kNotFound, "UPSTREAM_NOT_FOUND", "404 Not Found"); }

}  // namespace

std::string FakeGitLab::MarkerIn(const std::string& name) {
  const std::size_t begin = name.rfind("[tb:");
  const std::size_t end = name.find(']', std::min(begin, name.size()));
  return end == std::string::npos ? "" : name.substr(begin, end + 1 - begin);
}

void FakeGitLab::AddUser(std::int64_t id, std::string username) {
  TargetFacts facts;
  facts.target = {"main", TargetKind::kUser, id, std::move(username)};
  users_[id] = std::move(facts);
}

void FakeGitLab::AddProject(std::int64_t id, std::string path) { projects_[id] = std::move(path); }

void FakeGitLab::Use(std::int64_t token_id) { tokens_.at(token_id).last_used_at = Now(); }

std::int64_t FakeGitLab::HolderRotates(std::int64_t token_id) {
  UpstreamToken& parent = tokens_.at(token_id);
  UpstreamToken child = parent;
  parent.revoked = true;
  child.id = next_id_++;
  child.created_at = Now();
  child.expires_at = DateOf(Now()) + std::chrono::days(365);
  child.last_used_at.reset();
  const std::int64_t id = child.id;
  made_[id] = clock_.Boot();
  AddToken(std::move(child));
  return id;
}

bool FakeGitLab::IsActive(const UpstreamToken& token) const {
  return !token.revoked && (!token.expires_at.has_value() || MidnightOf(*token.expires_at) > Now());
}

void FakeGitLab::Forget(std::int64_t token_id) {
  const auto token = tokens_.find(token_id);
  if (token == tokens_.end()) return;
  bots_.erase(token->second.user_id);
  tokens_.erase(token);
}

Task<bool> FakeGitLab::TimesOut(CallContext call, ResolvedTarget target) {
  if (!hangs_ || !hangs_(target)) co_return false;
  co_await clock_.SleepUntil(std::min(call.deadline(), clock_.Boot() + seconds(60)));
  co_return true;
}

void FakeGitLab::Respond() {
  if (!unmarked_) time_ = UpstreamTime{Now(), clock_.Boot()};
}

bool FakeGitLab::IsShownByProject(const UpstreamToken& token, std::int64_t project_id) const {
  const auto bot = bots_.find(token.user_id);
  return projects_.contains(project_id) && bot != bots_.end() && bot->second.is_member &&
         bot->second.project.id == project_id;
}

bool FakeGitLab::IsBehind(Duration lag, std::int64_t token_id) const {
  const auto made = made_.find(token_id);
  return made != made_.end() && clock_.Boot() - made->second < lag;
}

UpstreamToken* FakeGitLab::FindById(const UpstreamRef& ref) {
  const auto found = tokens_.find(ref.token_id);
  if (found == tokens_.end() || IsBehind(lag_by_id_, ref.token_id)) return nullptr;
  const bool is_shown =
      issuer_is_admin_ || (ref.target.kind == TargetKind::kProject && IsShownByProject(found->second, ref.target.id));
  return is_shown ? &found->second : nullptr;
}

std::vector<UpstreamToken> FakeGitLab::live() const {
  std::vector<UpstreamToken> live;
  for (const auto& [id, token] : tokens_) {
    if (IsActive(token)) live.push_back(token);
  }
  return live;
}

FakeGitLab::End FakeGitLab::NextEnd() {
  if (planned_.empty()) return End::kWorks;
  const End end = planned_.front();
  planned_.pop_front();
  return end;
}

void FakeGitLab::CatchUp() {
  ++requests_;
  for (auto it = late_.begin(); it != late_.end();) {
    if (it->first > clock_.Boot()) {
      ++it;
      continue;
    }
    Make(it->second, Now());
    it = late_.erase(it);
  }
}

UpstreamToken FakeGitLab::Make(const MintSpec& spec, WallTime created_at) {
  UpstreamToken token;
  token.id = next_id_++;
  token.user_id = spec.target.kind == TargetKind::kUser ? spec.target.id : 10'000 + token.id;  // A bot of its own.
  if (spec.target.kind == TargetKind::kProject) {
    bots_[token.user_id] = {spec.target};
    token.resource_type = "project";
    token.resource_id = spec.target.id;
  }
  token.name = spec.name;
  token.description = spec.description;
  token.scopes = spec.scopes;
  token.access_level = spec.access_level;
  token.created_at = created_at;
  token.expires_at = spec.expires_at;
  token.active = IsActive(token);
  AddToken(token);
  made_[token.id] = clock_.Boot();
  return token;
}

Task<Ended<Minted>> FakeGitLab::Mint(CallContext call, DurableIntent intent, MintSpec spec) {
  CatchUp();
  if (clock_.Boot() - intent.begun() > seconds(5)) co_return Refused{Unavailable()};
  if (Fails(spec.target)) co_return Refused{Unavailable()};
  const bool timed_out = co_await TimesOut(call.Detached(), spec.target);
  if (timed_out) co_return Unknown{Unavailable()};
  Respond();
  ++posts_;
  specs_.push_back(spec);
  const End end = NextEnd();
  if (end == End::kRefused) {
    co_return Refused{Error(absl::StatusCode::kInvalidArgument, "UPSTREAM_INVALID", "GitLab says no")};
  }
  const Date latest = DateOf(Now()) + std::chrono::days(max_lifetime_days_);
  if (spec.expires_at > latest) co_return Refused{DateTooLate(latest), latest};
  if (end == End::kLostBefore) co_return Unknown{Unavailable()};
  if (end == End::kLate) {
    late_.emplace_back(clock_.Boot() + late_by_, std::move(spec));
    co_return Unknown{Unavailable()};
  }
  UpstreamToken made = Make(spec, Now());
  if (end == End::kLostAfter) co_return Unknown{Unavailable()};
  if (spoil_) std::exchange(spoil_, nullptr)(made);
  if (mint_takes_ > Duration(0)) co_await clock_.SleepUntil(clock_.Boot() + mint_takes_);
  Minted minted;
  minted.secret = Secret("glpat-fake-" + std::to_string(made.id));
  minted.token = std::move(made);
  co_return minted;
}

Task<Ended<GitLab::Deleted>> FakeGitLab::Revoke(CallContext call, UpstreamRef ref) {
  CatchUp();
  if (Fails(ref.target)) co_return Refused{Unavailable()};
  const bool timed_out = co_await TimesOut(call.Detached(), ref.target);
  if (timed_out) co_return Unknown{Unavailable()};
  Respond();
  ++deletes_;
  if (before_delete_) before_delete_();
  const End end = NextEnd();
  if (end == End::kRefused || refuse_deletes_) {
    co_return Refused{Error(absl::StatusCode::kFailedPrecondition, "ISSUER_NOT_ALLOWED", "GitLab says no")};
  }
  if (end == End::kLostBefore) co_return Unknown{Unavailable()};
  UpstreamToken* const found = FindById(ref);
  if (found == nullptr) co_return Refused{NotFound()};
  found->revoked = true;
  if (deleted_) deleted_(ref.token_id);
  if (delete_takes_ > Duration(0)) co_await clock_.SleepUntil(clock_.Boot() + delete_takes_);
  if (end != End::kWorks) co_return Unknown{Unavailable()};
  co_return Deleted{};
}

Task<absl::StatusOr<std::optional<UpstreamToken>>> FakeGitLab::GetToken(CallContext call, UpstreamRef ref) {
  CatchUp();
  ++reads_;
  if (Fails(ref.target)) co_return Unavailable();
  const bool timed_out = co_await TimesOut(std::move(call), ref.target);
  if (timed_out) co_return Unavailable();
  Respond();
  const UpstreamToken* const found = FindById(ref);
  if (found == nullptr) co_return std::optional<UpstreamToken>();
  UpstreamToken token = *found;
  if (after_get_) after_get_();
  token.active = IsActive(token);
  co_return std::optional<UpstreamToken>(std::move(token));
}

Task<absl::StatusOr<bool>> FakeGitLab::ConfirmNotFound(CallContext call, UpstreamRef ref) {
  CatchUp();
  ++reads_;
  if (Fails(ref.target)) co_return Unavailable();
  const bool timed_out = co_await TimesOut(std::move(call), ref.target);
  if (timed_out) co_return Unavailable();
  Respond();
  if (FindById(ref) != nullptr) co_return false;
  if (issuer_is_admin_) co_return true;
  co_return ref.target.kind == TargetKind::kProject&& projects_.contains(ref.target.id) && ref.user_id != 0 &&
      !bots_.contains(ref.user_id) && !users_.contains(ref.user_id);
}

Task<absl::StatusOr<std::vector<UpstreamToken>>> FakeGitLab::ListTokens(CallContext call, UpstreamQuery query) {
  CatchUp();
  ++reads_;
  if (Fails(query.target)) co_return Unavailable();
  const bool timed_out = co_await TimesOut(std::move(call), query.target);
  if (timed_out) co_return Unavailable();
  Respond();
  const bool is_project = query.target.kind == TargetKind::kProject && !query.whole_instance;
  if (!is_project && !issuer_is_admin_) {
    co_return Error(absl::StatusCode::kFailedPrecondition, "ISSUER_NOT_ALLOWED",
                    "the credential is no administrator's");
  }
  // An administrator's list has everybody's tokens, a project's its own alone.
  const bool by_project = is_project && !issuer_is_admin_;
  if (by_project && !projects_.contains(query.target.id)) co_return NotFound();
  std::vector<UpstreamToken> found;
  const auto take = [&](std::int64_t id, const UpstreamToken& token) {
    if (IsBehind(list_lag_, id)) return;
    if (by_project && !IsShownByProject(token, query.target.id)) return;
    if (query.user_id != 0 && token.user_id != query.user_id) return;
    if (token.name.find(query.search) == std::string::npos) return;
    if (query.created_after.has_value() && token.created_at < *query.created_after) return;
    if (query.active_only ? !IsActive(token) : token.revoked) return;
    found.push_back(token);
    found.back().active = IsActive(token);
  };
  if (!query.search.empty() && query.search == MarkerIn(query.search)) {
    std::set<std::int64_t> ids;
    for (auto [it, end] = by_marker_.equal_range(query.search); it != end; ++it) ids.insert(it->second);
    for (const std::int64_t id : ids) {
      const auto token = tokens_.find(id);
      if (token != tokens_.end()) take(id, token->second);
    }
  } else {
    for (const auto& [id, token] : tokens_) take(id, token);
  }
  if (query.limit > 0) {
    std::stable_sort(found.begin(), found.end(),
                     [](const UpstreamToken& a, const UpstreamToken& b) { return a.created_at < b.created_at; });
    if (found.size() > static_cast<std::size_t>(query.limit)) found.resize(static_cast<std::size_t>(query.limit));
  }
  if (list_takes_ > Duration(0)) co_await clock_.SleepUntil(clock_.Boot() + list_takes_);
  co_return found;
}

Task<absl::StatusOr<TargetFacts>> FakeGitLab::Resolve(CallContext call, Target target) {
  ++requests_;
  ++resolves_;
  ++reads_;
  if (down_) co_return Unavailable();
  Respond();
  if (target.kind == TargetKind::kGroup || target.kind == TargetKind::kServiceAccount) co_return NotSupported();
  if (target.kind == TargetKind::kUser) {
    for (const auto& [id, facts] : users_) {
      if (target.id() != id && facts.target.path != target.ref) continue;
      const TargetFacts found = facts;
      const bool timed_out = co_await TimesOut(call, found.target);
      if (timed_out || Fails(found.target)) co_return Unavailable();
      co_return found;
    }
    co_return NotFound();
  }
  for (const auto& [id, path] : projects_) {
    const bool same = std::equal(path.begin(), path.end(), target.ref.begin(), target.ref.end(), [](char a, char b) {
      return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
    });
    if (target.id() != id && !same) continue;
    TargetFacts facts;
    facts.target.instance = target.instance;
    facts.target.kind = TargetKind::kProject;
    facts.target.id = id;
    facts.target.path = path;
    const bool timed_out = co_await TimesOut(call, facts.target);
    if (timed_out || Fails(facts.target)) co_return Unavailable();
    co_return facts;
  }
  co_return NotFound();
}

Task<absl::StatusOr<ResolvedTarget>> FakeGitLab::TargetOf(CallContext, std::string instance, std::int64_t user_id) {
  ++reads_;
  if (down_) co_return Unavailable();
  Respond();
  const auto bot = bots_.find(user_id);
  if (bot != bots_.end()) co_return bot->second.project;
  const auto user = users_.find(user_id);
  if (user == users_.end()) co_return NotFound();
  ResolvedTarget target = user->second.target;
  target.instance = std::move(instance);
  co_return target;
}

Task<absl::StatusOr<IssuerFacts>> FakeGitLab::CheckIssuer(CallContext) {
  if (down_) co_return Unavailable();
  Respond();
  IssuerFacts facts;
  facts.user_id = 1;
  facts.username = "root";
  facts.is_admin = issuer_is_admin_;
  facts.scopes = {"api"};
  if (issuer_is_admin_) facts.max_lifetime_days = max_lifetime_days_;
  facts.gitlab_version = "18.11.5";
  co_return facts;
}

}  // namespace tokenbroker
