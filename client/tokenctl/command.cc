#include "client/tokenctl/command.h"

#include <unistd.h>

#include "client/tokenctl/failure.h"
#include "server/base/time_text.h"

namespace tokenbroker::tokenctl {

CLI::App& AddCommand(CLI::App& app, const std::string& name, const std::string& usage) {
  const std::size_t first_line = usage.find('\n');
  CLI::App& command = *app.add_subcommand(name, usage.substr(0, first_line));
  command.footer(usage.substr(first_line + 1) + "\n\n`tokenctl --help` shows the connection's options.\n\n" +
                 kExitCodes);
  return command;
}

CLI::Option* AddDuration(CLI::App& app, const std::string& name, Duration& value, const std::string& description) {
  return app
      .add_option_function<std::string>(
          name,
          [name, &value](const std::string& text) {
            const std::optional<Duration> parsed = ParseDuration(text);
            if (!parsed.has_value()) {
              throw CLI::ValidationError(name, "'" + text + "' is no duration; write 90s, 15m, 1h30m or 7d");
            }
            value = *parsed;
          },
          description + " (default " + FormatDuration(value) + ")")
      ->type_name("DURATION");
}

void AddOutput(CLI::App& app, std::string& value, const std::vector<std::string>& forms) {
  app.add_option("-o,--output", value, "table on a terminal, json elsewhere, unless given")
      ->check(CLI::IsMember(forms));
}

std::string ChosenOutput(const std::string& value) {
  if (!value.empty()) return value;
  return isatty(STDOUT_FILENO) == 1 ? "table" : "json";
}

std::string TokenName(const std::string& typed) {
  return typed.find('/') == std::string::npos ? "tokens/" + typed : typed;
}

std::unique_ptr<TokenClient> Connect(Shared& shared) {
  absl::StatusOr<std::unique_ptr<TokenClient>> client = MakeTokenClient(shared.connection);
  if (client.ok()) return *std::move(client);
  shared.exit_code = Report(client.status(), shared);
  return nullptr;
}

}  // namespace tokenbroker::tokenctl
