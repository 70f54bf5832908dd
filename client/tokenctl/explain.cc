#include <memory>

#include "client/tokenctl/command.h"
#include "client/tokenctl/failure.h"
#include "client/tokenctl/output.h"
#include "client/tokenctl/show.h"
#include "client/tokenctl/token_options.h"

namespace tokenbroker::tokenctl {
namespace {

constexpr char kUsage[] =
    "Ask whether the policy would allow a token, by which rule, and what it would allow instead.\n"
    "\n"
    "  tokenctl explain --display-name deploy --project acme/payments --scopes api --access-level maintainer\n"
    "  tokenctl explain --verb rotate --display-name deploy --user 42 --scopes read_user\n"
    "  tokenctl explain --verb revoke --project acme/payments\n"
    "  tokenctl explain --verb reconcile\n"
    "\n"
    "create and rotate take what `tokenctl create` takes, read and revoke a target, reconcile and audit nothing.\n"
    "Nothing is made or changed. The exit code is 3 for a denial.";

struct Options {
  TokenOptions token;
  std::string verb = "create";
  std::string output;
};

void Require(bool given, const std::string& option, const Options& options) {
  if (!given) throw CLI::RequiredError(option + " (for the verb " + options.verb + ")");
}

// What the verb is about: a whole token, its target, or nothing.
v1::Token SubjectOf(const Options& options) {
  v1::Token subject;
  if (options.verb == "reconcile" || options.verb == "audit") return subject;
  *subject.mutable_target() = TargetOf(options.token);
  Require(subject.target().resource_case() != v1::Target::RESOURCE_NOT_SET,
          "one of --user, --project, --group and --service-account", options);
  if (options.verb == "read" || options.verb == "revoke") return subject;
  Require(!options.token.display_name.empty(), "--display-name", options);
  Require(!options.token.scopes.empty(), "--scopes", options);
  return SpecOf(options.token);
}

int Run(const Options& options, Shared& shared) {
  const v1::Token spec = SubjectOf(options);
  const std::unique_ptr<TokenClient> client = Connect(shared);
  if (client == nullptr) return shared.exit_code;
  const absl::StatusOr<v1::CheckAccessResponse> answer = client->CheckAccess(spec, options.verb, shared.deadline());
  if (!answer.ok()) return Report(answer.status(), shared);
  const int shown = Show(options.output, *answer, AccessText(spec, *answer), shared);
  if (shown != kDone) return shown;
  return answer->allowed() ? kDone : kDenied;
}

}  // namespace

void AddExplain(CLI::App& app, Shared& shared) {
  CLI::App& command = AddCommand(app, "explain", kUsage);
  const auto options = std::make_shared<Options>();
  AddTokenOptions(command, options->token, false);
  command.add_option("--verb", options->verb, "create, rotate, read, revoke, reconcile or audit (default create)")
      ->check(CLI::IsMember({"create", "rotate", "read", "revoke", "reconcile", "audit"}));
  AddOutput(command, options->output, {"table", "json"});
  command.callback([options, &shared] { shared.exit_code = Run(*options, shared); });
}

}  // namespace tokenbroker::tokenctl
