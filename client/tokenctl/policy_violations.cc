#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "client/admin_client.h"
#include "client/tokenctl/command.h"
#include "client/tokenctl/failure.h"
#include "client/tokenctl/output.h"
#include "client/tokenctl/show.h"
#include "client/tokenctl/words.h"

namespace tokenbroker::tokenctl {
namespace {

constexpr char kUsage[] =
    "List the living tokens that today's policy would not grant; revoke exactly these.\n"
    "\n"
    "  tokenctl policy violations\n"
    "  tokenctl policy violations --revoke --expect 3\n"
    "  tokenctl policy violations --revoke --expect 1 --id 06f3...\n"
    "\n"
    "Each token is judged by the policy that the broker has in force, as if its owner asked for it now. --revoke "
    "shows\n"
    "what it acts on and does nothing unless these are exactly --expect tokens. Needs the verb reconcile.";

constexpr std::size_t kMostInACall = 250;

struct Options {
  bool revoke = false;
  int expect = -1;
  std::vector<std::string> ids;
  std::string output;
};

std::string Table(const v1::ListPolicyViolationsResponse& found, WallTime now) {
  const std::string version = "Policy " + found.policy_version() + "\n";
  if (found.violations().empty()) return version + "No violations.\n";
  std::vector<std::vector<std::string>> rows = {{"ID", "OWNER", "TARGET", "SCOPES", "EXPIRES", "NAME", "WHY"}};
  for (const v1::PolicyViolation& violation : found.violations()) {
    const v1::Token& token = violation.token();
    std::string scopes;
    for (const std::string& scope : token.scopes()) scopes += (scopes.empty() ? "" : ",") + scope;
    rows.push_back({token.name(), token.owner(), TargetWord(token.target()), scopes,
                    Describe(token.expire_time(), token.has_expire_time(), now), token.display_name(),
                    violation.detail()});
  }
  return version + Columns(rows);
}

// What the command acts on, of all that was found.
v1::ListPolicyViolationsResponse Chosen(const v1::ListPolicyViolationsResponse& found, const Options& options) {
  v1::ListPolicyViolationsResponse chosen;
  chosen.set_policy_version(found.policy_version());
  for (const v1::PolicyViolation& violation : found.violations()) {
    const bool named =
        options.ids.empty() || std::any_of(options.ids.begin(), options.ids.end(), [&violation](const std::string& id) {
          return TokenName(id) == violation.token().name();
        });
    if (named) *chosen.add_violations() = violation;
  }
  return chosen;
}

int Revoke(AdminClient& client, const v1::ListPolicyViolationsResponse& found, const Options& options, Shared& shared) {
  const v1::ListPolicyViolationsResponse chosen = Chosen(found, options);
  // For people, and beside the answer: programs read only that.
  WriteError(Table(chosen, WallNow()));
  if (chosen.violations_size() != options.expect) {
    WriteError("tokenctl: these are " + std::to_string(chosen.violations_size()) + " tokens, not " +
               std::to_string(options.expect) + "; nothing was done\n");
    return kConflict;
  }
  std::vector<std::string> names;
  for (const v1::PolicyViolation& violation : chosen.violations()) names.push_back(violation.token().name());
  v1::ListTokensResponse answer;
  for (std::size_t begin = 0; begin < names.size(); begin += kMostInACall) {
    const std::vector<std::string> some(
        names.begin() + static_cast<std::ptrdiff_t>(begin),
        names.begin() + static_cast<std::ptrdiff_t>(std::min(begin + kMostInACall, names.size())));
    const absl::StatusOr<std::vector<v1::Token>> tokens = client.RevokePolicyViolations(some, shared.deadline());
    if (!tokens.ok()) {
      if (begin > 0) WriteError("tokenctl: " + std::to_string(begin) + " tokens are being revoked; then it failed\n");
      return Report(tokens.status(), shared);
    }
    for (const v1::Token& token : *tokens) *answer.add_tokens() = token;
  }
  const std::vector<v1::Token> tokens(answer.tokens().begin(), answer.tokens().end());
  return Show(options.output, answer, TokenTable(tokens, WallNow()), shared);
}

int Run(const Options& options, Shared& shared) {
  if (options.revoke != (options.expect >= 0)) {
    WriteError("tokenctl: --expect N belongs to --revoke, which needs it\n");
    return kBadUsage;
  }
  if (!options.revoke && !options.ids.empty()) {
    WriteError("tokenctl: --id belongs to --revoke\n");
    return kBadUsage;
  }
  const absl::StatusOr<std::unique_ptr<AdminClient>> client = MakeAdminClient(shared.connection);
  if (!client.ok()) return Report(client.status(), shared);
  const absl::StatusOr<v1::ListPolicyViolationsResponse> found = (*client)->ListPolicyViolations(shared.deadline());
  if (!found.ok()) return Report(found.status(), shared);
  if (options.revoke) return Revoke(**client, *found, options, shared);
  return Show(options.output, *found, Table(*found, WallNow()), shared);
}

}  // namespace

void AddPolicyViolations(CLI::App& policy, Shared& shared) {
  CLI::App& command = AddCommand(policy, "violations", kUsage);
  const auto options = std::make_shared<Options>();
  command.add_flag("--revoke", options->revoke, "revoke them");
  command.add_option("--expect", options->expect, "how many there must be")->check(CLI::NonNegativeNumber);
  command.add_option("--id", options->ids, "only these tokens; may be repeated");
  AddOutput(command, options->output, {"table", "json"});
  command.callback([options, &shared] { shared.exit_code = Run(*options, shared); });
}

}  // namespace tokenbroker::tokenctl
