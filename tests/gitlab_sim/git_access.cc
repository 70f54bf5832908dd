#include "tests/gitlab_sim/git_access.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/gitlab_sim/auth.h"
#include "tests/gitlab_sim/params.h"

namespace tokenbroker::gitlab_sim {
namespace {

constexpr int kReporter = 20;
constexpr int kDeveloper = 30;

HttpResponse PlainText(int status, const std::string& text) {
  return HttpResponse{.status = status, .headers = {{"Content-Type", "text/plain; charset=utf-8"}}, .body = text};
}

HttpResponse AccessDenied() {
  HttpResponse out = PlainText(401,
                               "HTTP Basic: Access denied. The token is wrong, has expired or was revoked, or may not "
                               "read this repository. See the help page: "
                               "/help/topics/git/troubleshooting_git.md#error-on-git-fetch-http-basic-access-denied");
  out.headers.emplace_back("WWW-Authenticate", "Basic realm=\"GitLab\"");
  return out;
}

HttpResponse ProjectAbsent() {
  return PlainText(404, "The project you were looking for could not be found or you don't have permission to view it.");
}

std::string Base64Decode(const std::string& text) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  uint32_t buffer = 0;
  int bits = 0;
  for (const char c : text) {
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) break;
    buffer = (buffer << 6U) | static_cast<uint32_t>(digit);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += static_cast<char>((buffer >> static_cast<unsigned>(bits)) & 0xFFU);
    }
  }
  return out;
}

struct GitPath {
  std::string project;
  std::string rest;
};

std::optional<GitPath> Split(const std::string& path) {
  for (const std::string_view rest : {"/info/refs", "/git-upload-pack", "/git-receive-pack"}) {
    const std::string tail = ".git" + std::string(rest);
    if (path.size() <= tail.size() + 1 || path.compare(path.size() - tail.size(), tail.size(), tail) != 0) continue;
    return GitPath{.project = PercentDecode(path.substr(1, path.size() - tail.size() - 1), false),
                   .rest = std::string(rest)};
  }
  return std::nullopt;
}

// The live token in the password, as Basic carries it; null if there is none.
Token* TokenOf(State* state, const std::string& authorization) {
  const std::string basic = "Basic ";
  if (authorization.rfind(basic, 0) != 0) return nullptr;
  const std::string pair = Base64Decode(authorization.substr(basic.size()));
  const size_t colon = pair.find(':');
  if (colon == std::string::npos || colon == 0) return nullptr;
  Token* token = state->FindTokenBySecret(pair.substr(colon + 1));
  return token != nullptr && token->ActiveAt(state->Now()) ? token : nullptr;
}

bool HasAny(const Token& token, const std::vector<std::string>& scopes) {
  return std::any_of(scopes.begin(), scopes.end(), [&](const std::string& scope) { return token.HasScope(scope); });
}

}  // namespace

bool IsGitPath(const std::string& path) { return Split(path).has_value(); }

GitDecision DecideGit(State* state, const HttpRequest& request) {
  GitDecision out;
  const GitPath path = Split(PathOf(request.target)).value_or(GitPath{});
  out.rest = path.rest;
  const bool push = request.target.find("git-receive-pack") != std::string::npos;
  const auto refuse = [&out](HttpResponse response) {
    out.refusal = std::move(response);
    return out;
  };
  const Project* project = state->FindProject(path.project);
  if (project == nullptr) project = state->FindMoved(path.project);  // Git follows a moved project.
  if (project != nullptr) out.project_id = project->id;

  const auto authorization = FindHeader(request.headers, "Authorization");
  if (!authorization) {
    const bool open = project != nullptr && project->visibility == "public" && !push;
    return open ? out : refuse(AccessDenied());
  }
  Token* token = TokenOf(state, *authorization);
  if (token == nullptr) return refuse(AccessDenied());
  const User& user = *state->FindUser(token->user_id);
  if (user.blocked) return refuse(PlainText(403, "Your account has been blocked."));
  const bool admin = ActsAsAdmin(*state, user, *token);
  const bool bot = user.kind != UserKind::kHuman;
  const bool fresh_bot = bot && state->Now() - token->created_at < state->settings().git_bot_lag;
  const bool visible =
      project != nullptr && state->Visible({ResourceKind::kProject, project->id}, &user, admin) && !fresh_bot;
  if (!visible && bot) return refuse(AccessDenied());
  const bool scope = push ? HasAny(*token, {"api", "write_repository"})
                          : HasAny(*token, {"api", "read_api", "read_repository", "write_repository"});
  if (!scope) {
    return refuse(
        PlainText(403, push ? "You are not allowed to upload code." : "You are not allowed to download code."));
  }
  if (!visible) return refuse(ProjectAbsent());
  const int level = admin ? 50 : state->EffectiveLevel({ResourceKind::kProject, project->id}, user.id);
  if (!push && project->visibility == "private" && level < kReporter) {
    return refuse(PlainText(403, "You are not allowed to download code from this project."));
  }
  if (push && project->archived) return refuse(PlainText(403, "You can't push code to an archived project."));
  if (push && level < kDeveloper) {
    return refuse(PlainText(403, "You are not allowed to push code to this project."));
  }
  NoteUse(state, token, request.remote_ip);
  out.username = user.username;
  return out;
}

Command BackendCommand(const std::string& git_root, const GitDecision& decision, const HttpRequest& request) {
  const size_t query = request.target.find('?');
  const char* path = std::getenv("PATH");
  Command out;
  out.argv = {"git", "http-backend"};
  out.environment = {
      std::string("PATH=") + (path == nullptr ? "/usr/bin:/bin" : path),
      "HOME=" + git_root,
      "GIT_CONFIG_NOSYSTEM=1",
      "GIT_PROJECT_ROOT=" + git_root,
      "GIT_HTTP_EXPORT_ALL=1",
      "PATH_INFO=/" + std::to_string(decision.project_id) + ".git" + decision.rest,
      "REQUEST_METHOD=" + request.method,
      "QUERY_STRING=" + (query == std::string::npos ? "" : request.target.substr(query + 1)),
      "CONTENT_TYPE=" + FindHeader(request.headers, "Content-Type").value_or(""),
      "CONTENT_LENGTH=" + std::to_string(request.body.size()),
      "HTTP_CONTENT_ENCODING=" + FindHeader(request.headers, "Content-Encoding").value_or(""),
      "GIT_PROTOCOL=" + FindHeader(request.headers, "Git-Protocol").value_or(""),
      "REMOTE_ADDR=" + request.remote_ip,
  };
  // git lets a push in only where somebody is logged in.
  if (!decision.username.empty()) out.environment.push_back("REMOTE_USER=" + decision.username);
  out.input = request.body;
  return out;
}

HttpResponse ParseBackend(const CommandResult& result) {
  const size_t end = result.output.find("\r\n\r\n");
  if (result.exit_code != 0 || end == std::string::npos) return PlainText(500, "git http-backend failed");
  HttpResponse out;
  for (size_t at = 0; at < end;) {
    const size_t line_end = std::min(result.output.find("\r\n", at), end);
    const std::string line = result.output.substr(at, line_end - at);
    at = line_end + 2;
    const size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    const std::string name = line.substr(0, colon);
    const std::string value = line.substr(colon + 2);
    if (name == "Status") {
      out.status = std::atoi(value.c_str());
    } else {
      out.headers.emplace_back(name, value);
    }
  }
  out.body = result.output.substr(end + 4);
  return out;
}

bool MakeRepository(const std::string& git_root, int64_t project_id, const std::string& full_path) {
  const std::string directory = git_root + "/" + std::to_string(project_id) + ".git";
  const char* path = std::getenv("PATH");
  Command init;
  init.environment = {std::string("PATH=") + (path == nullptr ? "/usr/bin:/bin" : path), "HOME=" + git_root,
                      "GIT_CONFIG_NOSYSTEM=1"};
  init.argv = {"git", "init", "--quiet", "--bare", "--initial-branch=main", directory};
  if (RunAndWait(init).exit_code != 0) return false;
  const std::string readme = "# " + full_path + "\n\nA private project of the simulated GitLab.\n";
  const std::string message = "Add a README";
  Command import = init;
  import.argv = {"git", "-C", directory, "fast-import", "--quiet"};
  import.input = "blob\nmark :1\ndata " + std::to_string(readme.size()) + "\n" + readme +
                 "\ncommit refs/heads/main\ncommitter Demo <demo@example.test> 1750000000 +0000\ndata " +
                 std::to_string(message.size()) + "\n" + message + "\nM 100644 :1 README.md\n\n";
  return RunAndWait(import).exit_code == 0;
}

}  // namespace tokenbroker::gitlab_sim
