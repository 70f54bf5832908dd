#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "client/tokenctl/command.h"
#include "client/tokenctl/failure.h"
#include "client/tokenctl/new_secret_file.h"
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
    "  tokenctl create ... --secret-file secret.txt --output json | jq -r .token.name\n"
    "\n"
    "On a terminal the table shows the secret. Elsewhere, and for JSON, say where it is to go, or nothing is sent:\n"
    "--output secret writes the secret alone, without a line's end unless to a terminal; --secret-file writes it to\n"
    "a new file that only its owner may read, and the output has no secret. JSON never has it.";

struct Options {
  TokenOptions token;
  std::string request_id, output, secret_file;
  bool validate_only = false;
};

// Where the secret goes. A secret that nobody sees is lost: an error before anything is sent.
void CheckSecretHasAWay(const Options& options) {
  const bool alone = options.output == "secret";
  if (options.validate_only) {
    if (alone) throw CLI::ValidationError("--output secret", "--validate-only makes no secret");
    if (!options.secret_file.empty()) throw CLI::ValidationError("--secret-file", "--validate-only makes no secret");
    return;
  }
  if (alone && !options.secret_file.empty()) {
    throw CLI::ValidationError("--secret-file", "excludes --output secret");
  }
  const bool on_terminal = ChosenOutput(options.output) == "table" && isatty(STDOUT_FILENO) == 1;
  if (alone || on_terminal || !options.secret_file.empty()) return;
  throw CLI::ValidationError(
      "create",
      "the secret is shown once and this output would not have it (it is on a terminal's table alone): give "
      "--output secret to write the secret and nothing else, or --secret-file PATH for a new file of mode "
      "0600; nothing was sent");
}

// What is printed, the secret included if there is no file for it; wiped by the caller. Room is made beforehand, so
// that no buffer with the secret is left behind.
absl::StatusOr<std::string> Text(const CreatedToken& made, const Options& options) {
  std::string text;
  if (options.output == "secret") {
    text.reserve(made.secret.Reveal().size() + 1);
    text += made.secret.Reveal();
    if (isatty(STDOUT_FILENO) == 1) text += '\n';
    return text;
  }
  if (ChosenOutput(options.output) == "json") return JsonUnder("token", made.token);
  const std::string token = TokenText(made.token, WallNow());
  if (options.validate_only) return "Valid: this token would be made.\n\n" + token;
  if (!options.secret_file.empty()) return "secret: in " + Printable(options.secret_file) + "\n\n" + token;
  std::string secret = Printable(made.secret.Reveal());
  text.reserve(token.size() + secret.size() + 100);
  text.append("secret: ").append(secret).append("\n(It is shown this once and kept nowhere.)\n\n").append(token);
  Wipe(secret);
  return text;
}

int SecretIsLost(const CreatedToken& made, const absl::Status& why) {
  WriteError("tokenctl: " + Printable(made.token.name()) + " was made, but its secret could not be written (" +
             Printable(std::string(why.message())) + "): revoke it with `tokenctl revoke " +
             Printable(made.token.name()) + "` and create another.\n");
  return kOther;
}

// The file is complete before anything is printed: who reads the output finds it.
int Deliver(const CreatedToken& made, const Options& options, std::optional<NewSecretFile> file) {
  if (file.has_value()) {
    const absl::Status written = file->Write(made.secret.Reveal());
    if (!written.ok()) return SecretIsLost(made, written);
  }
  absl::StatusOr<std::string> text = Text(made, options);
  const absl::Status written = text.ok() ? WriteOut(*text) : text.status();
  if (text.ok()) Wipe(*text);
  if (written.ok()) return kDone;
  if (!file.has_value() && !options.validate_only) return SecretIsLost(made, written);
  WriteError("tokenctl: cannot write to the standard output: " + Printable(std::string(written.message())) +
             (file.has_value()
                  ? "; the secret of " + Printable(made.token.name()) + " is in " + Printable(options.secret_file)
                  : "") +
             "\n");
  return kOther;
}

int Run(const Options& options, Shared& shared) {
  CheckSecretHasAWay(options);
  const v1::Token spec = SpecOf(options.token);
  const std::unique_ptr<TokenClient> client = Connect(shared);
  if (client == nullptr) return shared.exit_code;
  std::optional<NewSecretFile> file;
  if (!options.secret_file.empty()) {
    absl::StatusOr<NewSecretFile> opened = NewSecretFile::Make(options.secret_file);
    if (!opened.ok()) return Report(opened.status(), shared);
    file.emplace(*std::move(opened));
  }
  shared.creates = true;
  const absl::StatusOr<CreatedToken> made =
      client->Create(spec, {options.request_id, options.validate_only}, shared.deadline());
  if (!made.ok()) return Report(made.status(), shared);
  return Deliver(*made, options, std::move(file));
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
  command
      .add_option("--secret-file", options->secret_file,
                  "a file for the secret, made anew with mode 0600; one that exists is never overwritten")
      ->check([](const std::string& path) { return path.empty() ? std::string("is empty") : std::string(); });
  command.callback([options, &shared] { shared.exit_code = Run(*options, shared); });
}

}  // namespace tokenbroker::tokenctl
