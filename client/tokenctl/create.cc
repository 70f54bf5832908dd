#include <unistd.h>

#include <memory>
#include <vector>

#include "client/tokenctl/command.h"
#include "client/tokenctl/failure.h"
#include "client/tokenctl/output.h"
#include "client/tokenctl/printable.h"
#include "client/tokenctl/words.h"
#include "server/base/time_text.h"

namespace tokenbroker::tokenctl {
namespace {

constexpr char kUsage[] =
    "Mint a token. Its secret is shown this once and kept nowhere.\n"
    "\n"
    "  tokenctl create --display-name 'nightly build' --user 42 --scopes read_user,read_repository\n"
    "  tokenctl create --display-name deploy --project acme/payments --scopes read_registry \\\n"
    "      --access-level reporter --ttl 15m --label team=payments\n"
    "  SECRET=\"$(tokenctl create ... --output secret)\"\n"
    "\n"
    "--output secret writes the secret and nothing else, without a line's end unless to a terminal.";

struct Options {
  std::string display_name, user, project, instance, purpose, access_level, expire_time, request_id, output;
  std::vector<std::string> scopes, labels;
  Duration ttl = hours(1);
  bool validate_only = false;
};

void SetTarget(const Options& options, v1::Target& target) {
  target.set_instance(options.instance);
  if (options.user.empty()) {
    target.set_project(options.project);
  } else {
    target.set_user(options.user);
  }
}

void SetExpiration(const Options& options, v1::Token& spec) {
  if (options.expire_time.empty()) {
    spec.mutable_ttl()->set_seconds(duration_cast<seconds>(options.ttl).count());
    return;
  }
  const std::optional<WallTime> time = ParseRfc3339(options.expire_time);
  if (!time.has_value()) {
    throw CLI::ValidationError("--expire-time",
                               "'" + options.expire_time + "' is no time of RFC 3339; write 2026-11-25T18:00:00Z");
  }
  // The part below a second is counted forward from the second, also before 1970.
  const auto whole = std::chrono::floor<seconds>(time->time_since_epoch());
  spec.mutable_expire_time()->set_seconds(whole.count());
  spec.mutable_expire_time()->set_nanos(static_cast<std::int32_t>((time->time_since_epoch() - whole).count() * 1000));
}

void SetLabels(const Options& options, v1::Token& spec) {
  for (const std::string& label : options.labels) {
    const std::size_t equals = label.find('=');
    if (equals == std::string::npos) throw CLI::ValidationError("--label", "'" + label + "' is not KEY=VALUE");
    const bool is_new = spec.mutable_labels()->insert({label.substr(0, equals), label.substr(equals + 1)}).second;
    if (!is_new) throw CLI::ValidationError("--label", "'" + label.substr(0, equals) + "' is given twice");
  }
}

// Throws CLI::ValidationError for what cannot even be sent; what is sent, the broker judges.
v1::Token SpecOf(const Options& options) {
  v1::Token spec;
  spec.set_display_name(options.display_name);
  spec.set_purpose(options.purpose);
  SetTarget(options, *spec.mutable_target());
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

// What is printed; wiped by the caller. Room is made beforehand, so that no buffer with the secret is left behind.
absl::StatusOr<std::string> Text(const CreatedToken& made, const std::string& output) {
  std::string text;
  if (output == "secret") {
    text.reserve(made.secret.Reveal().size() + 1);
    text += made.secret.Reveal();
    if (isatty(STDOUT_FILENO) == 1) text += '\n';
    return text;
  }
  if (output == "json") {
    v1::CreateTokenResponse message;
    *message.mutable_token() = made.token;
    message.mutable_secret()->assign(made.secret.Reveal());
    absl::StatusOr<std::string> json = Json(message);
    Wipe(*message.mutable_secret());
    return json;
  }
  const std::string token = TokenText(made.token, WallNow());
  if (made.secret.empty()) return "Valid: this token would be made.\n\n" + token;
  std::string secret = Printable(made.secret.Reveal());
  text.reserve(token.size() + secret.size() + 100);
  text.append("secret: ").append(secret).append("\n(It is shown this once and kept nowhere.)\n\n").append(token);
  Wipe(secret);
  return text;
}

int Run(const Options& options, Shared& shared) {
  if (options.validate_only && options.output == "secret") {
    throw CLI::ValidationError("--output secret", "--validate-only makes no secret");
  }
  const v1::Token spec = SpecOf(options);
  const std::unique_ptr<TokenClient> client = Connect(shared);
  if (client == nullptr) return shared.exit_code;
  absl::StatusOr<CreatedToken> made =
      client->Create(spec, {options.request_id, options.validate_only}, shared.deadline());
  if (!made.ok()) return Report(made.status(), shared);

  absl::StatusOr<std::string> text = Text(*made, ChosenOutput(options.output));
  const absl::Status written = text.ok() ? WriteOut(*text) : text.status();
  if (text.ok()) Wipe(*text);
  if (written.ok()) return kDone;
  WriteError("tokenctl: " + Printable(made->token.name()) + " was made, but its secret could not be written (" +
             Printable(std::string(written.message())) + "): revoke it with `tokenctl revoke " +
             Printable(made->token.name()) + "` and create another.\n");
  return kOther;
}

// A variable that a script left empty must not become another kind of target.
std::string NotEmpty(const std::string& text) { return text.empty() ? "is empty" : ""; }

}  // namespace

void AddCreate(CLI::App& app, Shared& shared) {
  CLI::App& command = AddCommand(app, "create", kUsage);
  const auto options = std::make_shared<Options>();
  command.add_option("--display-name", options->display_name, "1 to 80 characters; GitLab shows it")->required();
  CLI::Option_group& target = *command.add_option_group("Target", "exactly one of");
  target.add_option("--user", options->user, "numeric id or username: a personal access token")->check(NotEmpty);
  target.add_option("--project", options->project, "numeric id or full path: a project access token")->check(NotEmpty);
  target.require_option(1);
  command.add_option("--instance", options->instance, "the GitLab instance, if the broker has several");
  command.add_option("--scopes", options->scopes, "GitLab's scopes, separated by commas")
      ->required()
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_option("--access-level", options->access_level, "role of a project token: reporter, 30, ...");
  CLI::Option* const ttl = AddDuration(command, "--ttl", options->ttl, "how long it lives");
  command.add_option("--expire-time", options->expire_time, "when it ends, as 2026-11-25T18:00:00Z")->excludes(ttl);
  command.add_option("--purpose", options->purpose, "what it is for, at most 120 characters");
  command.add_option("--label", options->labels, "KEY=VALUE, may be repeated")->allow_extra_args(false);
  command.add_option("--request-id", options->request_id,
                     "a version 4 UUID, to repeat an earlier create without making a second token");
  command.add_flag("--validate-only", options->validate_only, "check everything, make nothing");
  AddOutput(command, options->output, {"table", "json", "secret"});
  command.callback([options, &shared] { shared.exit_code = Run(*options, shared); });
}

}  // namespace tokenbroker::tokenctl
