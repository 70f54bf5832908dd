#include "server/gitlab/http_gitlab.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "server/base/error.h"
#include "server/base/net_text.h"
#include "server/domain/expiry.h"
#include "server/gitlab/answer.h"
#include "server/gitlab/bot_name.h"
#include "server/gitlab/curl_loop.h"
#include "server/gitlab/exchange.h"
#include "server/gitlab/issuer.h"
#include "server/gitlab/json.h"
#include "server/gitlab/requests.h"

namespace tokenbroker {
namespace {

constexpr int kPagesMax = 100;
// Reads of the issuer watch and the like take no slot: a few connections more than there are slots.
constexpr int kSpareConnections = 8;
// A question for the credential's rights that has no response by then leaves time for what needs none of them.
constexpr Duration kRightsTimeout = seconds(10);

absl::Status NotSupported(TargetKind kind) {
  return Error(absl::StatusCode::kFailedPrecondition, "TARGET_KIND_NOT_SUPPORTED",
               "token.target: this broker does not make " + std::string(NameOf(kind)) + " tokens yet")
      .Field("token.target", "must be a user or a project")
      .Precondition("TARGET_KIND", std::string(NameOf(kind)), "only users and projects are supported");
}

bool IsSupported(TargetKind kind) { return kind == TargetKind::kUser || kind == TargetKind::kProject; }

TargetFacts FactsOf(const Target& target, const UpstreamProject& project) {
  TargetFacts facts;
  facts.target = {target.instance, TargetKind::kProject, project.id, project.full_path};
  return facts;
}

TargetFacts FactsOf(const Target& target, const UpstreamUser& user, std::int64_t issuer) {
  TargetFacts facts;
  facts.target = {target.instance, TargetKind::kUser, user.id, user.username};
  facts.active = user.active;
  facts.bot = user.bot;
  facts.is_admin = user.is_admin;
  facts.is_issuer = user.id == issuer;
  return facts;
}

class HttpGitLab final : public GitLab {
 public:
  explicit HttpGitLab(std::unique_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}

  // POST /users/:id/personal_access_tokens, POST /projects/:id/access_tokens
  Task<Ended<Minted>> Mint(CallContext call, DurableIntent intent, MintSpec spec) override {
    if (!IsSupported(spec.target.kind)) co_return Refused{NotSupported(spec.target.kind)};
    ApiRequest request;
    request.operation = "mint";
    request.method = "POST";
    request.path = MintPath(spec.target);
    request.body = MintBody(spec);
    request.once = true;
    request.send_before = std::min(intent.begun() + kSendWindow, call.deadline());
    absl::StatusOr<HttpAnswer> answer = co_await exchange_->Send(std::move(call), std::move(request));
    if (!answer.ok()) co_return Refused{answer.status()};
    if (answer->status == 201 && IsFromGitLab(*answer)) {
      std::optional<Minted> minted = ParseMinted(answer->body);
      if (minted.has_value()) co_return *std::move(minted);
      co_return Unknown{exchange_->Failure(*answer)};
    }
    const absl::Status why = exchange_->Failure(*answer);
    const std::optional<Date> latest_date = LatestDateOf(*answer);
    Wipe(answer->body);
    if (IsCertainRefusal(*answer)) co_return Refused{why, latest_date};
    co_return Unknown{why};
  }

  // DELETE /personal_access_tokens/:id, DELETE /projects/:id/access_tokens/:token_id
  Task<Ended<Deleted>> Revoke(CallContext call, UpstreamRef ref) override {
    if (!IsSupported(ref.target.kind)) co_return Refused{NotSupported(ref.target.kind)};
    Ended<Deleted> end = co_await Delete(call, ref, /*by_id=*/ref.target.kind == TargetKind::kUser);
    const auto* refused = std::get_if<Refused>(&end);
    const bool hidden = refused != nullptr && ReasonOf(refused->why) == "UPSTREAM_NOT_FOUND";
    if (!hidden || ref.target.kind == TargetKind::kUser) co_return end;
    // The project's own route does not see a bot that has lost its membership; an administrator's route does. Asked
    // now: the operator may have made the credential an administrator's for this very token.
    const absl::StatusOr<bool> admin = co_await IsAdminNow(call);
    if (!admin.ok() || !*admin) co_return end;
    co_return co_await Delete(std::move(call), std::move(ref), /*by_id=*/true);
  }

  // GET /personal_access_tokens/:id, GET /projects/:id/access_tokens/:token_id
  Task<absl::StatusOr<std::optional<UpstreamToken>>> GetToken(CallContext call, UpstreamRef ref) override {
    if (!IsSupported(ref.target.kind)) co_return NotSupported(ref.target.kind);
    absl::StatusOr<std::optional<UpstreamToken>> token =
        co_await GetBy(call, ref, /*by_id=*/ref.target.kind == TargetKind::kUser);
    if (ref.target.kind == TargetKind::kUser || !token.ok() || token->has_value()) co_return token;
    // As for Revoke.
    const absl::StatusOr<bool> admin = co_await IsAdminNow(call);
    if (!admin.ok() || !*admin) co_return token;
    co_return co_await GetBy(std::move(call), std::move(ref), /*by_id=*/true);
  }

  // GET /application/settings, /personal_access_tokens/:id; GET /projects/:id, /projects/:id/access_tokens/:token_id,
  // /users/:id
  Task<absl::StatusOr<bool>> ConfirmNotFound(CallContext call, UpstreamRef ref) override {
    if (!IsSupported(ref.target.kind)) co_return NotSupported(ref.target.kind);
    const std::uint64_t generation = exchange_->issuer_generation();
    const absl::StatusOr<bool> admin = co_await IsAdminNow(call);
    const bool of_project = ref.target.kind == TargetKind::kProject && ref.user_id != 0;
    // A credential that is no administrator's needs no answer to that question.
    if (!admin.ok() && !of_project) co_return admin.status();
    const bool by_id = admin.ok() && *admin;
    if (!by_id && !of_project) co_return false;
    if (!by_id) {
      const absl::StatusOr<HttpAnswer> project = co_await Get(call, "resolve", "/projects/" + SegmentOf(ref.target));
      if (!project.ok()) co_return project.status();
      if (!IsOk(*project)) co_return false;
    }
    const absl::StatusOr<HttpAnswer> token = co_await Get(call, "get_token", TokenPath(ref, by_id));
    if (!token.ok()) co_return token.status();
    if (!IsNotFound(*token)) co_return false;
    if (!by_id) {
      const absl::StatusOr<HttpAnswer> bot = co_await Get(call, "resolve", "/users/" + std::to_string(ref.user_id));
      if (!bot.ok()) co_return bot.status();
      if (!IsNotFound(*bot)) co_return false;
    }
    // All of it with one credential: another one may see less.
    co_return exchange_->issuer_generation() == generation;
  }

  // GET /personal_access_tokens, GET /projects/:id/access_tokens; GET /application/settings
  Task<absl::StatusOr<std::vector<UpstreamToken>>> ListTokens(CallContext call, UpstreamQuery query) override {
    if (!IsSupported(query.target.kind)) co_return NotSupported(query.target.kind);
    const bool of_project = query.target.kind == TargetKind::kProject && !query.whole_instance;
    bool by_project = false;
    if (of_project) {
      const bool admin = co_await IsProbablyAdmin(call);
      by_project = !admin;
    }
    if (!by_project && query.user_id == 0) {
      // GitLab doc: who is no administrator any more gets a shorter list of all tokens, not an error. (For one user's
      // it is an error.)
      const absl::StatusOr<bool> admin = co_await IsAdminNow(call);
      if (query.whole_instance) {
        if (!admin.ok()) co_return admin.status();
        if (!*admin) {
          co_return Error(absl::StatusCode::kFailedPrecondition, "ISSUER_NOT_ALLOWED",
                          "the issuer is no administrator (any more): it cannot list everybody's tokens");
        }
      }
      by_project = of_project && (!admin.ok() || !*admin);
    }
    const std::string path = TokenListPath(query, by_project);
    const std::size_t most = query.limit > 0 ? static_cast<std::size_t>(query.limit) : SIZE_MAX;

    std::vector<UpstreamToken> tokens;
    std::string page = "1";
    for (int pages = 0; pages < kPagesMax && !page.empty() && tokens.size() < most; ++pages) {
      absl::StatusOr<HttpAnswer> answer = co_await Get(call, "list_tokens", path + page);
      if (!answer.ok()) co_return answer.status();
      if (of_project && !by_project && SaysMayNot(*answer)) {
        // The credential is no administrator's any more: the project's own list it may still have.
        const absl::StatusOr<bool> admin = co_await IsAdminNow(call);
        if (admin.ok() && !*admin) co_return co_await ListTokens(std::move(call), std::move(query));
      }
      if (!IsOk(*answer)) co_return exchange_->Failure(*answer);
      page = PercentEncode(answer->header("x-next-page"));
      std::optional<std::vector<UpstreamToken>> list = ParseTokens(std::move(answer->body));
      if (!list.has_value()) co_return exchange_->Failure(*answer);
      for (UpstreamToken& token : *list) {
        if (query.user_id == 0 || token.user_id == query.user_id) tokens.push_back(std::move(token));
      }
    }
    if (tokens.size() >= most) {
      tokens.resize(most);
    } else if (!page.empty()) {
      co_return Error(absl::StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE",
                      "GitLab's list has more than 10,000 rows");
    }
    co_return tokens;
  }

  // GET /users/:id, GET /users?username=, GET /projects/:id
  Task<absl::StatusOr<TargetFacts>> Resolve(CallContext call, Target target) override {
    if (!IsSupported(target.kind)) co_return NotSupported(target.kind);
    const std::optional<std::int64_t> id = target.id();
    std::string path = target.kind == TargetKind::kProject ? "/projects/" + PercentEncode(target.ref)
                       : id.has_value()                    ? "/users/" + std::to_string(*id)
                                                           : "/users?username=" + PercentEncode(target.ref);
    absl::StatusOr<HttpAnswer> answer = co_await Get(call, "resolve", std::move(path));
    if (!answer.ok()) co_return answer.status();
    if (!IsOk(*answer)) co_return exchange_->Failure(*answer);
    if (target.kind == TargetKind::kProject) {
      const std::optional<UpstreamProject> project = ParseProject(std::move(answer->body));
      if (!project.has_value()) co_return exchange_->Failure(*answer);
      co_return FactsOf(target, *project);
    }
    std::optional<UpstreamUser> user;
    if (id.has_value()) {
      user = ParseUser(std::move(answer->body));
      if (!user.has_value()) co_return exchange_->Failure(*answer);
    } else {
      const std::optional<std::vector<UpstreamUser>> users = ParseUsers(std::move(answer->body));
      if (!users.has_value()) co_return exchange_->Failure(*answer);
      if (users->size() != 1) {
        co_return Error(absl::StatusCode::kNotFound, "UPSTREAM_NOT_FOUND", "GitLab knows no user of this name");
      }
      user = users->front();
    }
    // Who cannot tell whether this is the issuer itself must not say that it is not.
    const absl::StatusOr<IssuerFacts> issuer = co_await KnownIssuer(call);
    if (!issuer.ok()) co_return issuer.status();
    co_return FactsOf(target, *user, issuer->user_id);
  }

  // GET /users/:id, GET /projects/:id
  Task<absl::StatusOr<ResolvedTarget>> TargetOf(CallContext call, std::string instance, std::int64_t user_id) override {
    absl::StatusOr<HttpAnswer> answer = co_await Get(call, "resolve", "/users/" + std::to_string(user_id));
    if (!answer.ok()) co_return answer.status();
    std::optional<UpstreamUser> user;
    if (IsOk(*answer)) user = ParseUser(std::move(answer->body));
    if (!user.has_value()) co_return exchange_->Failure(*answer);
    ResolvedTarget target;
    target.instance = std::move(instance);
    target.id = user->id;
    target.path = user->username;
    const std::optional<std::int64_t> project_id = ProjectOfBot(user->username);
    if (!project_id.has_value()) co_return target;
    answer = co_await Get(call, "resolve", "/projects/" + std::to_string(*project_id));
    if (!answer.ok()) co_return answer.status();
    std::optional<UpstreamProject> project;
    if (IsOk(*answer)) project = ParseProject(std::move(answer->body));
    if (!project.has_value()) co_return exchange_->Failure(*answer);
    target.kind = TargetKind::kProject;
    target.id = project->id;
    target.path = project->full_path;
    co_return target;
  }

  // GET /personal_access_tokens/self, /user, /application/settings, /metadata
  Task<absl::StatusOr<IssuerFacts>> CheckIssuer(CallContext call) override {
    const std::uint64_t generation = exchange_->issuer_generation();
    absl::StatusOr<HttpAnswer> self = co_await Get(call, "issuer", "/personal_access_tokens/self");
    if (!self.ok()) co_return self.status();
    std::optional<UpstreamToken> token;
    if (IsOk(*self)) token = ParseToken(std::move(self->body));
    if (!token.has_value()) co_return exchange_->Failure(*self);
    IssuerFacts facts;
    facts.token_id = token->id;
    facts.user_id = token->user_id;
    facts.scopes = token->scopes;
    facts.expires_at = token->expires_at;

    absl::StatusOr<HttpAnswer> me = co_await Get(call, "issuer", "/user");
    if (!me.ok()) co_return me.status();
    if (IsOk(*me)) {
      const std::optional<UpstreamUser> user = ParseUser(std::move(me->body));
      if (user.has_value()) facts.username = user->username;
    } else if (!SaysMayNot(*me)) {
      co_return exchange_->Failure(*me);
    }
    if (IsResourceBot(facts.username)) {
      co_return Error(absl::StatusCode::kFailedPrecondition, "ISSUER_NOT_ALLOWED",
                      "the issuer file holds a project or group access token (of " + facts.username +
                          "), which GitLab does not let make tokens; use one of an administrator or a service account");
    }
    absl::StatusOr<HttpAnswer> settings = co_await GetSoon(call, "/application/settings");
    std::optional<UpstreamSettings> known;
    const bool is_from_gitlab = settings.ok() && IsFromGitLab(*settings);
    if (is_from_gitlab && settings->status == 200) known = ParseSettings(std::move(settings->body));
    facts.is_admin = known.has_value();
    if (facts.is_admin) facts.max_lifetime_days = known->max_lifetime_days;
    // Anything else (a firewall's page, no response) leaves the rights unknown; a maintainer's credential needs no
    // more.
    facts.is_admin_known = facts.is_admin || (is_from_gitlab && SaysMayNot(*settings));
    if (!facts.is_admin_known && issuer_.has_value() && issuer_generation_ == generation) {
      facts.is_admin = issuer_->is_admin;
      facts.max_lifetime_days = issuer_->max_lifetime_days;
    }
    absl::StatusOr<HttpAnswer> metadata = co_await GetSoon(call, "/metadata");
    if (metadata.ok() && IsOk(*metadata)) {
      facts.gitlab_version = Presentable(ParseVersion(std::move(metadata->body)).value_or(""), "");
    }
    issuer_ = facts;
    issuer_generation_ = generation;
    co_return facts;
  }

  std::optional<UpstreamTime> Time() const override { return exchange_->time(); }

 private:
  Task<absl::StatusOr<HttpAnswer>> Get(CallContext call, std::string operation, std::string path) {
    ApiRequest request;
    request.operation = std::move(operation);
    request.method = "GET";
    request.path = std::move(path);
    return exchange_->Send(std::move(call), std::move(request));
  }

  // What a firewall may close, and what most calls can do without.
  Task<absl::StatusOr<HttpAnswer>> GetSoon(CallContext call, std::string path) {
    return Get(call.Until(exchange_->Boot() + kRightsTimeout), "issuer", std::move(path));
  }

  Task<Ended<Deleted>> Delete(CallContext call, UpstreamRef ref, bool by_id) {
    ApiRequest request;
    request.operation = "revoke";
    request.method = "DELETE";
    request.path = TokenPath(ref, by_id);
    const absl::StatusOr<HttpAnswer> answer = co_await exchange_->Send(call.Detached(), std::move(request));
    if (!answer.ok()) co_return Refused{answer.status()};
    if (answer->status == 204 && IsFromGitLab(*answer)) co_return Deleted{};
    const absl::Status why = exchange_->Failure(*answer);
    if (IsCertainRefusal(*answer)) co_return Refused{why};
    co_return Unknown{why};
  }

  Task<absl::StatusOr<std::optional<UpstreamToken>>> GetBy(CallContext call, UpstreamRef ref, bool by_id) {
    absl::StatusOr<HttpAnswer> answer = co_await Get(call, "get_token", TokenPath(ref, by_id));
    if (!answer.ok()) co_return answer.status();
    if (IsOk(*answer)) {
      std::optional<UpstreamToken> token = ParseToken(std::move(answer->body));
      if (token.has_value()) co_return std::optional<UpstreamToken>(std::move(token));
    }
    if (IsNotFound(*answer)) co_return std::optional<UpstreamToken>();
    if (by_id && answer->status == 401 && IsFromGitLab(*answer)) {
      // To anybody but an administrator this means "not yours, or not there".
      const bool admin = co_await IsProbablyAdmin(call);
      if (!admin) co_return std::optional<UpstreamToken>();
    }
    co_return exchange_->Failure(*answer);
  }

  // Chooses a route, and confirms nothing: rights may have changed since they were asked for.
  Task<bool> IsProbablyAdmin(CallContext call) {
    const absl::StatusOr<IssuerFacts> issuer = co_await KnownIssuer(std::move(call));
    co_return issuer.ok() && issuer->is_admin;
  }

  // What was learned of the issuer; asked now if nothing was yet, or if its file holds another credential since.
  Task<absl::StatusOr<IssuerFacts>> KnownIssuer(CallContext call) {
    if (issuer_.has_value() && issuer_generation_ == exchange_->issuer_generation()) co_return *issuer_;
    absl::StatusOr<IssuerFacts> facts = co_await CheckIssuer(std::move(call));
    co_return facts;
  }

  // By a GET that is an administrator's alone. What it says is remembered for IsProbablyAdmin.
  Task<absl::StatusOr<bool>> IsAdminNow(CallContext call) {
    const std::uint64_t generation = exchange_->issuer_generation();
    const absl::StatusOr<HttpAnswer> settings = co_await GetSoon(std::move(call), "/application/settings");
    if (!settings.ok()) co_return settings.status();
    const bool admin = IsOk(*settings);
    if (!admin && !SaysMayNot(*settings)) co_return exchange_->Failure(*settings);
    if (issuer_.has_value() && issuer_generation_ == generation) issuer_->is_admin = admin;
    co_return admin;
  }

  const std::unique_ptr<Exchange> exchange_;
  std::optional<IssuerFacts> issuer_;
  std::uint64_t issuer_generation_ = 0;  // Whose facts these are.
};

}  // namespace

absl::StatusOr<std::unique_ptr<GitLab>> MakeHttpGitLab(const HttpGitLabOptions& options, Executor& executor,
                                                       Clock& clock, Slots& slots, Metrics& metrics, Log& log) {
  absl::StatusOr<std::unique_ptr<Issuer>> issuer = Issuer::Open(options.issuer_file, clock, metrics, log);
  if (!issuer.ok()) return issuer.status();
  CurlLoopOptions curl;
  curl.ca_file = options.ca_file;
  curl.proxy = options.proxy;
  curl.plain_http = options.url.starts_with("http://");
  curl.max_connections = options.max_connections + kSpareConnections;
  if (curl.plain_http && !UrlProblem(options.url).empty()) {
    return absl::InvalidArgumentError("gitlab.url: must be https, except on loopback");
  }
  std::string url = options.url;
  while (url.ends_with('/')) url.pop_back();
  auto exchange =
      std::make_unique<Exchange>(std::move(url), std::make_unique<CurlLoop>(std::move(curl), executor, clock),
                                 *std::move(issuer), clock, slots, metrics, log);
  return std::make_unique<HttpGitLab>(std::move(exchange));
}

}  // namespace tokenbroker
