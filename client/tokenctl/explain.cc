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
    "\n"
    "It takes what `tokenctl create` takes and makes nothing. The exit code is 3 for a denial.";

struct Options {
  TokenOptions token;
  std::string verb = "create";
  std::string output;
};

int Run(const Options& options, Shared& shared) {
  const v1::Token spec = SpecOf(options.token);
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
  AddTokenOptions(command, options->token);
  command.add_option("--verb", options->verb, "create or rotate (default create)")
      ->check(CLI::IsMember({"create", "rotate"}));
  AddOutput(command, options->output, {"table", "json"});
  command.callback([options, &shared] { shared.exit_code = Run(*options, shared); });
}

}  // namespace tokenbroker::tokenctl
