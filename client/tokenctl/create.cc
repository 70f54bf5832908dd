#include <unistd.h>

#include <memory>
#include <vector>

#include "client/tokenctl/command.h"
#include "client/tokenctl/failure.h"
#include "client/tokenctl/output.h"
#include "client/tokenctl/printable.h"
#include "client/tokenctl/token_options.h"

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
  TokenOptions token;
  std::string request_id, output;
  bool validate_only = false;
};

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
  const v1::Token spec = SpecOf(options.token);
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

}  // namespace

void AddCreate(CLI::App& app, Shared& shared) {
  CLI::App& command = AddCommand(app, "create", kUsage);
  const auto options = std::make_shared<Options>();
  AddTokenOptions(command, options->token);
  command.add_option("--request-id", options->request_id,
                     "a version 4 UUID, to repeat an earlier create without making a second token");
  command.add_flag("--validate-only", options->validate_only, "check everything, make nothing");
  AddOutput(command, options->output, {"table", "json", "secret"});
  command.callback([options, &shared] { shared.exit_code = Run(*options, shared); });
}

}  // namespace tokenbroker::tokenctl
