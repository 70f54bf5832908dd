#include <memory>

#include "client/tokenctl/command.h"
#include "client/tokenctl/failure.h"
#include "client/tokenctl/output.h"
#include "client/tokenctl/show.h"

namespace tokenbroker::tokenctl {
namespace {

constexpr char kUsage[] =
    "Show one token as the broker knows it. The secret is not there: it was shown once.\n"
    "\n"
    "  tokenctl get tokens/06f3kx...";

struct Options {
  std::string name, output;
};

int Run(const Options& options, Shared& shared) {
  const std::unique_ptr<TokenClient> client = Connect(shared);
  if (client == nullptr) return shared.exit_code;
  const absl::StatusOr<v1::Token> token = client->Get(TokenName(options.name), shared.deadline());
  if (!token.ok()) return Report(token.status(), shared);
  return Show(options.output, *token, TokenText(*token, WallNow()), shared);
}

}  // namespace

void AddGet(CLI::App& app, Shared& shared) {
  CLI::App& command = AddCommand(app, "get", kUsage);
  const auto options = std::make_shared<Options>();
  command.add_option("name", options->name, "tokens/ID, or the id alone")->required();
  AddOutput(command, options->output, {"table", "json"});
  command.callback([options, &shared] { shared.exit_code = Run(*options, shared); });
}

}  // namespace tokenbroker::tokenctl
