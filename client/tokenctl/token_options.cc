#include "client/tokenctl/token_options.h"

#include <optional>

#include "client/tokenctl/output.h"
#include "client/tokenctl/words.h"
#include "server/base/time_text.h"

namespace tokenbroker::tokenctl {
namespace {

// A variable that a script left empty must not become another kind of target.
std::string NotEmpty(const std::string& text) { return text.empty() ? "is empty" : ""; }

void SetExpiration(const TokenOptions& options, v1::Token& spec) {
  if (options.expire_time.empty()) {
    spec.mutable_ttl()->set_seconds(duration_cast<seconds>(options.ttl).count());
    return;
  }
  const std::optional<WallTime> time = ParseRfc3339(options.expire_time);
  if (!time.has_value()) {
    throw CLI::ValidationError("--expire-time",
                               "'" + options.expire_time + "' is no time of RFC 3339; write 2026-11-25T18:00:00Z");
  }
  *spec.mutable_expire_time() = ToTimestamp(*time);
}

void SetLabels(const TokenOptions& options, v1::Token& spec) {
  for (const std::string& label : options.labels) {
    const std::size_t equals = label.find('=');
    if (equals == std::string::npos) throw CLI::ValidationError("--label", "'" + label + "' is not KEY=VALUE");
    const bool is_new = spec.mutable_labels()->insert({label.substr(0, equals), label.substr(equals + 1)}).second;
    if (!is_new) throw CLI::ValidationError("--label", "'" + label.substr(0, equals) + "' is given twice");
  }
}

}  // namespace

v1::Target TargetOf(const TokenOptions& options) {
  v1::Target target;
  target.set_instance(options.instance);
  if (!options.user.empty()) target.set_user(options.user);
  if (!options.project.empty()) target.set_project(options.project);
  if (!options.group.empty()) target.set_group(options.group);
  if (!options.service_account.empty()) target.set_service_account(options.service_account);
  return target;
}

v1::Token SpecOf(const TokenOptions& options) {
  v1::Token spec;
  spec.set_display_name(options.display_name);
  spec.set_purpose(options.purpose);
  *spec.mutable_target() = TargetOf(options);
  for (const std::string& scope : options.scopes) spec.add_scopes(scope);
  if (!options.access_level.empty()) {
    const std::optional<std::int32_t> level = ParseAccessLevel(options.access_level);
    if (!level.has_value()) {
      throw CLI::ValidationError("--access-level", "'" + options.access_level +
                                                       "' is no role; write guest, planner, reporter, "
                                                       "security-manager, developer, maintainer, owner or its number");
    }
    spec.set_access_level(*level);
  }
  SetExpiration(options, spec);
  SetLabels(options, spec);
  return spec;
}

void AddTokenOptions(CLI::App& command, TokenOptions& options, bool required) {
  command.add_option("--display-name", options.display_name, "1 to 80 characters; GitLab shows it")->required(required);
  CLI::Option_group& target = *command.add_option_group("Target", "exactly one of");
  target.add_option("--user", options.user, "numeric id or username: a personal access token")->check(NotEmpty);
  target.add_option("--project", options.project, "numeric id or full path: a project access token")->check(NotEmpty);
  target.add_option("--group", options.group, "numeric id or full path: a group access token")->check(NotEmpty);
  target.add_option("--service-account", options.service_account, "numeric id or group/path:username")->check(NotEmpty);
  target.require_option(required ? 1 : 0, 1);
  command.add_option("--instance", options.instance, "the GitLab instance, if the broker has several");
  command.add_option("--scopes", options.scopes, "GitLab's scopes, separated by commas")
      ->required(required)
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_option("--access-level", options.access_level, "role of a project or group token: reporter, 30, ...");
  CLI::Option* const ttl = AddDuration(command, "--ttl", options.ttl, "how long it lives");
  command.add_option("--expire-time", options.expire_time, "when it ends, as 2026-11-25T18:00:00Z")->excludes(ttl);
  command.add_option("--purpose", options.purpose, "what it is for, at most 120 characters");
  command.add_option("--label", options.labels, "KEY=VALUE, may be repeated")->allow_extra_args(false);
}

}  // namespace tokenbroker::tokenctl
