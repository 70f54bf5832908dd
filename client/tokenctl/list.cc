#include <cctype>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/tokenctl/command.h"
#include "client/tokenctl/failure.h"
#include "client/tokenctl/output.h"
#include "client/tokenctl/show.h"

namespace tokenbroker::tokenctl {
namespace {

constexpr char kUsage[] =
    "List tokens, newest first: all of them, or one page. They are those of this caller and, where a grant lets it "
    "read\n"
    "others', those as well.\n"
    "\n"
    "  tokenctl list\n"
    "  tokenctl list --state revoking\n"
    "  tokenctl list --filter 'target=\"project:acme/payments\" AND scopes:api' --order-by expire_time\n"
    "  tokenctl list --filter 'owner=callers/ci AND expire_time<2026-12-01T00:00:00Z'\n"
    "  tokenctl list --show-closed --output json\n"
    "  tokenctl list --page-size 100 --page-token TOKEN\n"
    "\n"
    "A filter has up to 10 terms, joined by AND: state=STATE or state!=STATE, target=[INSTANCE/]KIND:ID-OR-PATH as\n"
    "the table shows it, scopes:SCOPE, labels:KEY, labels.KEY=VALUE, owner=CALLER, and create_time and expire_time\n"
    "with =, <, <=, > or >= and a time of RFC 3339. Values with blanks stand in quotes.";

struct Options {
  ListOptions list;
  std::string state, output;
};

bool IsClosed(const std::string& state) { return state == "revoked" || state == "expired" || state == "abandoned"; }

// --state is a term more of the filter; who asks for a closed state wants to see it.
ListOptions Complete(const Options& options) {
  ListOptions list = options.list;
  if (options.state.empty()) return list;
  std::string term = "state=";
  for (const char each : options.state) term += static_cast<char>(std::toupper(static_cast<unsigned char>(each)));
  list.filter = list.filter.empty() ? term : term + " AND " + list.filter;
  list.show_closed = list.show_closed || IsClosed(options.state);
  return list;
}

absl::StatusOr<TokenPage> Read(TokenClient& client, const ListOptions& options, Deadline deadline) {
  if (options.page_size != 0 || !options.page_token.empty()) return client.List(options, deadline);
  absl::StatusOr<std::vector<v1::Token>> all = client.ListAll(options, deadline);
  if (!all.ok()) return all.status();
  return TokenPage{*std::move(all), ""};
}

int Run(const Options& options, Shared& shared) {
  const std::unique_ptr<TokenClient> client = Connect(shared);
  if (client == nullptr) return shared.exit_code;
  const absl::StatusOr<TokenPage> page = Read(*client, Complete(options), shared.deadline());
  if (!page.ok()) return Report(page.status(), shared);
  v1::ListTokensResponse message;
  for (const v1::Token& token : page->tokens) *message.add_tokens() = token;
  message.set_next_page_token(page->next_page_token);
  std::string text = TokenTable(page->tokens, WallNow());
  if (!page->next_page_token.empty()) text += "More: --page-token " + page->next_page_token + "\n";
  return Show(options.output, message, text, shared);
}

}  // namespace

void AddList(CLI::App& app, Shared& shared) {
  CLI::App& command = AddCommand(app, "list", kUsage);
  const auto options = std::make_shared<Options>();
  const std::vector<std::string> states = {"pending", "active", "revoking", "revoked", "expired", "abandoned"};
  command.add_option("--filter", options->list.filter, "which tokens, see below");
  command.add_option("--state", options->state, "those in this state; a closed one implies --show-closed")
      ->check(CLI::IsMember(states, CLI::ignore_case));
  command.add_option("--order-by", options->list.order_by,
                     "create_time or expire_time, with ' desc' to turn it round; newest first by default");
  command.add_flag("--show-closed", options->list.show_closed, "also what is revoked, expired or abandoned");
  command.add_option("--page-size", options->list.page_size, "one page of at most so many, 1 to 1000");
  command.add_option("--page-token", options->list.page_token, "the page after the one that gave this");
  AddOutput(command, options->output, {"table", "json"});
  command.callback([options, &shared] { shared.exit_code = Run(*options, shared); });
}

}  // namespace tokenbroker::tokenctl
