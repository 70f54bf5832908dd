// tokenctl: the token broker's command line.

#include <exception>
#include <string>

#include "client/tokenctl/command.h"
#include "client/tokenctl/hardening.h"
#include "client/tokenctl/output.h"
#include "client/tokenctl/printable.h"
#include "server/base/version.h"

namespace tokenbroker::tokenctl {
namespace {

constexpr char kUsage[] =
    "Asks a token broker for GitLab access tokens.\n"
    "\n"
    "  export TOKENBROKER_ADDRESS=broker.example:8443\n"
    "  export TOKENBROKER_CA=ca.pem TOKENBROKER_CERT=cert.pem TOKENBROKER_KEY=key.pem\n"
    "  tokenctl create --display-name 'nightly build' --user 42 --scopes read_user\n"
    "\n"
    "A service without a certificate names a file with a signed token: TOKENBROKER_BEARER_FILE.\n"
    "\n"
    "`tokenctl COMMAND --help` tells more of each command.";

void AddShared(CLI::App& app, Shared& shared) {
  const auto add = [&app](const char* name, std::string& value, const char* variable, const char* description) {
    app.add_option(name, value, description)->envname(variable)->group("Connection");
  };
  add("--address", shared.connection.address, "TOKENBROKER_ADDRESS", "host:port of the broker");
  add("--ca", shared.connection.ca_file, "TOKENBROKER_CA", "PEM file: who signed the broker's certificate");
  add("--cert", shared.connection.certificate_file, "TOKENBROKER_CERT", "PEM file: our certificate");
  add("--key", shared.connection.key_file, "TOKENBROKER_KEY", "PEM file: our key, without a passphrase");
  add("--bearer-file", shared.connection.bearer_file, "TOKENBROKER_BEARER_FILE",
      "file with a signed token (JWT), instead of or beside certificate and key");
  AddDuration(app, "--timeout", shared.timeout, "how long a command may take, retries included")->group("Connection");
}

int Misused(const std::string& why) {
  WriteError("tokenctl: " + Printable(why) + ". `tokenctl --help` and `tokenctl COMMAND --help` say more.\n");
  return kBadUsage;
}

int Main(int argc, char** argv) {
  HardenProcess();
  CLI::App app(kUsage, "tokenctl");
  Shared shared;
  app.fallthrough();
  app.footer(kExitCodes);
  app.set_version_flag("--version", std::string("tokenctl ") + kVersion);
  app.require_subcommand(0, 1);
  AddShared(app, shared);
  AddAudit(app, shared);
  AddCreate(app, shared);
  AddExplain(app, shared);
  AddGet(app, shared);
  AddList(app, shared);
  AddPolicy(app, shared);
  AddReconcile(app, shared);
  AddRevoke(app, shared);
  AddWhoami(app, shared);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForAllHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForVersion& version) {
    return app.exit(version);
  } catch (const CLI::Error& error) {
    return Misused(error.what());
  }
  if (app.get_subcommands().empty()) return Misused("a command is missing");
  return shared.exit_code;
}

}  // namespace
}  // namespace tokenbroker::tokenctl

int main(int argc, char** argv) {
  try {
    return tokenbroker::tokenctl::Main(argc, argv);
  } catch (const std::exception&) {  // Memory that is used up, in our libraries or in us.
    return tokenbroker::tokenctl::kOther;
  }
}
