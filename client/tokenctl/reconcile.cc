#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "client/admin_client.h"
#include "client/tokenctl/command.h"
#include "client/tokenctl/failure.h"
#include "client/tokenctl/output.h"
#include "client/tokenctl/printable.h"
#include "client/tokenctl/show.h"
#include "client/tokenctl/words.h"

namespace tokenbroker::tokenctl {
namespace {

constexpr char kUsage[] =
    "List what the broker found at GitLab and cannot explain; adopt or revoke exactly that.\n"
    "\n"
    "  tokenctl reconcile\n"
    "  tokenctl reconcile --adopt --expect 3\n"
    "  tokenctl reconcile --revoke --expect 1 --id 4711\n"
    "\n"
    "Unknown tokens live, bear the broker's tag and have no row in its ledger that explains them. --adopt makes those\n"
    "that can be adopted ACTIVE again, with owner and end as GitLab's description has them; --revoke revokes all. "
    "Both\n"
    "show what they act on and do nothing unless these are exactly --expect tokens. Needs the verb reconcile.";

// Tokens that one call adopts or revokes at most.
constexpr std::size_t kMostAtOnce = 250;

struct Options {
  bool adopt = false;
  bool revoke = false;
  int expect = -1;
  std::vector<std::int64_t> ids;
  std::string output;
};

std::string ReasonWord(v1::UnknownReason reason) {
  const std::string prefix = "UNKNOWN_REASON_";
  const std::string name = v1::UnknownReason_Name(reason);
  return name.starts_with(prefix) ? name.substr(prefix.size()) : std::to_string(static_cast<int>(reason));
}

std::string OrDash(const std::string& text) { return text.empty() ? "-" : text; }

std::string Table(const v1::ListUnknownTokensResponse& found, WallTime now) {
  if (!found.has_walk_time()) return "The broker has not walked through GitLab yet.\n";
  std::string text = "As of " + Describe(found.walk_time(), true, now) + "\n";
  if (found.unknown_tokens().empty()) text += "No unknown tokens.\n";
  if (!found.unknown_tokens().empty()) {
    text += std::to_string(found.unknown_tokens_size()) + " unknown tokens.\n";
    std::vector<std::vector<std::string>> rows = {
        {"UPSTREAM ID", "WHY", "ADOPTABLE", "TARGET", "OWNER", "SCOPES", "EXPIRES", "LAST USED", "NAME"}};
    for (const v1::UnknownToken& token : found.unknown_tokens()) {
      std::string scopes;
      for (const std::string& scope : token.scopes()) scopes += (scopes.empty() ? "" : ",") + scope;
      rows.push_back(
          {std::to_string(token.upstream().id()), ReasonWord(token.reason()), token.adoptable() ? "yes" : "no",
           TargetWord(token.target()), OrDash(token.owner()), scopes,
           token.has_expire_time() ? Describe(token.expire_time(), true, now) : OrDash(token.upstream().expire_date()),
           Describe(token.last_used_time(), token.has_last_used_time(), now), token.upstream().name()});
    }
    text += Columns(rows);
  }
  if (!found.moved_targets().empty()) {
    std::vector<std::vector<std::string>> rows = {{"MOVED TARGET", "NOW"}};
    for (const v1::MovedTarget& moved : found.moved_targets()) {
      rows.push_back({TargetWord(moved.target()), OrDash(moved.path())});
    }
    text += "\n" + Columns(rows);
  }
  return text;
}

// What the command acts on, of all that was found.
v1::ListUnknownTokensResponse Chosen(const v1::ListUnknownTokensResponse& found, const Options& options) {
  v1::ListUnknownTokensResponse chosen = found;
  chosen.clear_unknown_tokens();
  for (const v1::UnknownToken& token : found.unknown_tokens()) {
    const bool named = options.ids.empty() ? (options.revoke || token.adoptable())
                                           : std::find(options.ids.begin(), options.ids.end(), token.upstream().id()) !=
                                                 options.ids.end();
    if (named) *chosen.add_unknown_tokens() = token;
  }
  return chosen;
}

int Act(AdminClient& client, const v1::ListUnknownTokensResponse& found, const Options& options, Shared& shared) {
  const v1::ListUnknownTokensResponse chosen = Chosen(found, options);
  // For people, and beside the answer: programs read only that.
  WriteError(Table(chosen, WallNow()));
  if (chosen.unknown_tokens_size() != options.expect) {
    WriteError("tokenctl: these are " + std::to_string(chosen.unknown_tokens_size()) + " tokens, not " +
               std::to_string(options.expect) + "; nothing was done\n");
    return kConflict;
  }
  std::vector<std::int64_t> ids;
  for (const v1::UnknownToken& token : chosen.unknown_tokens()) ids.push_back(token.upstream().id());
  v1::ListTokensResponse answer;
  // Each part is done or not; what a failure leaves is listed the next time.
  for (std::size_t begin = 0; begin < ids.size(); begin += kMostAtOnce) {
    const std::vector<std::int64_t> part(
        ids.begin() + static_cast<std::ptrdiff_t>(begin),
        ids.begin() + static_cast<std::ptrdiff_t>(std::min(begin + kMostAtOnce, ids.size())));
    const absl::StatusOr<std::vector<v1::Token>> tokens = options.adopt
                                                              ? client.AdoptTokens(part, shared.deadline())
                                                              : client.RevokeUnknownTokens(part, shared.deadline());
    if (!tokens.ok()) {
      if (begin > 0) {
        WriteError("tokenctl: " + std::to_string(begin) + " of " + std::to_string(ids.size()) +
                   " tokens were done before this:\n");
      }
      return Report(tokens.status(), shared);
    }
    for (const v1::Token& token : *tokens) *answer.add_tokens() = token;
  }
  const std::vector<v1::Token> tokens(answer.tokens().begin(), answer.tokens().end());
  return Show(options.output, answer, TokenTable(tokens, WallNow()), shared);
}

int Run(const Options& options, Shared& shared) {
  if (options.adopt && options.revoke) {
    WriteError("tokenctl: --adopt and --revoke exclude each other\n");
    return kBadUsage;
  }
  const bool acts = options.adopt || options.revoke;
  if (acts != (options.expect >= 0)) {
    WriteError("tokenctl: --expect N belongs to --adopt and --revoke, and they need it\n");
    return kBadUsage;
  }
  const absl::StatusOr<std::unique_ptr<AdminClient>> client = MakeAdminClient(shared.connection);
  if (!client.ok()) return Report(client.status(), shared);
  const absl::StatusOr<v1::ListUnknownTokensResponse> found = (*client)->ListUnknownTokens(shared.deadline());
  if (!found.ok()) return Report(found.status(), shared);
  if (acts) return Act(**client, *found, options, shared);
  return Show(options.output, *found, Table(*found, WallNow()), shared);
}

}  // namespace

void AddReconcile(CLI::App& app, Shared& shared) {
  CLI::App& command = AddCommand(app, "reconcile", kUsage);
  const auto options = std::make_shared<Options>();
  command.add_flag("--adopt", options->adopt, "make them ACTIVE again");
  command.add_flag("--revoke", options->revoke, "revoke them");
  command.add_option("--expect", options->expect, "how many there must be")->check(CLI::NonNegativeNumber);
  command.add_option("--id", options->ids, "only these, by their id at GitLab; may be repeated");
  AddOutput(command, options->output, {"table", "json"});
  command.callback([options, &shared] { shared.exit_code = Run(*options, shared); });
}

}  // namespace tokenbroker::tokenctl
