#include <memory>
#include <utility>
#include <vector>

#include "client/tokenctl/command.h"
#include "client/tokenctl/failure.h"
#include "client/tokenctl/output.h"
#include "client/tokenctl/show.h"

namespace tokenbroker::tokenctl {
namespace {

constexpr char kUsage[] =
    "List the tokens of this caller, newest first: all of them, or one page.\n"
    "\n"
    "  tokenctl list\n"
    "  tokenctl list --show-closed --output json\n"
    "  tokenctl list --page-size 100 --page-token TOKEN";

struct Options {
  int page_size = 0;
  std::string page_token, output;
  bool show_closed = false;
};

absl::StatusOr<TokenPage> Read(TokenClient& client, const Options& options, Deadline deadline) {
  if (options.page_size != 0 || !options.page_token.empty()) {
    return client.List({options.page_size, options.page_token, options.show_closed}, deadline);
  }
  absl::StatusOr<std::vector<v1::Token>> all = client.ListAll(options.show_closed, deadline);
  if (!all.ok()) return all.status();
  return TokenPage{*std::move(all), ""};
}

int Run(const Options& options, Shared& shared) {
  const std::unique_ptr<TokenClient> client = Connect(shared);
  if (client == nullptr) return shared.exit_code;
  const absl::StatusOr<TokenPage> page = Read(*client, options, shared.deadline());
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
  command.add_flag("--show-closed", options->show_closed, "also what is revoked, expired or abandoned");
  command.add_option("--page-size", options->page_size, "one page of at most so many, 1 to 1000");
  command.add_option("--page-token", options->page_token, "the page after the one that gave this");
  AddOutput(command, options->output, {"table", "json"});
  command.callback([options, &shared] { shared.exit_code = Run(*options, shared); });
}

}  // namespace tokenbroker::tokenctl
