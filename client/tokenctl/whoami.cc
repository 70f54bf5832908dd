#include <memory>

#include "client/tokenctl/command.h"
#include "client/tokenctl/failure.h"
#include "client/tokenctl/output.h"
#include "client/tokenctl/show.h"

namespace tokenbroker::tokenctl {
namespace {

constexpr char kUsage[] =
    "Show who the broker takes us for, and what we may ask for.\n"
    "\n"
    "  tokenctl whoami";

int Run(const std::string& output, Shared& shared) {
  const std::unique_ptr<TokenClient> client = Connect(shared);
  if (client == nullptr) return shared.exit_code;
  const absl::StatusOr<v1::Caller> caller = client->GetCaller(shared.deadline());
  if (!caller.ok()) return Report(caller.status(), shared);
  return Show(output, *caller, CallerText(*caller, WallNow()), shared);
}

}  // namespace

void AddWhoami(CLI::App& app, Shared& shared) {
  CLI::App& command = AddCommand(app, "whoami", kUsage);
  const auto output = std::make_shared<std::string>();
  AddOutput(command, *output, {"table", "json"});
  command.callback([output, &shared] { shared.exit_code = Run(*output, shared); });
}

}  // namespace tokenbroker::tokenctl
