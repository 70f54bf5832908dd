#include <memory>

#include "client/tokenctl/command.h"
#include "client/tokenctl/failure.h"
#include "client/tokenctl/output.h"
#include "client/tokenctl/printable.h"
#include "client/tokenctl/show.h"
#include "client/tokenctl/words.h"

namespace tokenbroker::tokenctl {
namespace {

constexpr char kUsage[] =
    "Revoke a token.\n"
    "\n"
    "  tokenctl revoke tokens/06f3kx...\n"
    "\n"
    "Exit code 0 means that this is durably decided; state REVOKING that GitLab has not confirmed it yet and that the\n"
    "broker goes on until it has.";

struct Options {
  std::string name, output;
};

int Run(const Options& options, Shared& shared) {
  const std::unique_ptr<TokenClient> client = Connect(shared);
  if (client == nullptr) return shared.exit_code;
  const absl::StatusOr<v1::Token> token = client->Revoke(TokenName(options.name), shared.deadline());
  if (!token.ok()) return Report(token.status(), shared);
  std::string text = Printable(token->name()) + " is " + StateWord(*token);
  if (token->state() == v1::TOKEN_STATE_REVOKING) text += ": the broker goes on until GitLab confirms that it is dead";
  return Show(options.output, *token, text + ".\n", shared);
}

}  // namespace

void AddRevoke(CLI::App& app, Shared& shared) {
  CLI::App& command = AddCommand(app, "revoke", kUsage);
  const auto options = std::make_shared<Options>();
  command.add_option("name", options->name, "tokens/ID, or the id alone")->required();
  AddOutput(command, options->output, {"table", "json"});
  command.callback([options, &shared] { shared.exit_code = Run(*options, shared); });
}

}  // namespace tokenbroker::tokenctl
