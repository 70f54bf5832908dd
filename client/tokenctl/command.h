#pragma once
// What the commands share. Each command is a file of its own: it adds itself to the command line and, when it was
// chosen, does its work and leaves an exit code.

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>

#include "client/token_client.h"

namespace tokenbroker::tokenctl {

// What the process ends with; --help lists the same numbers.
enum ExitCode : int {
  kDone = 0,
  kOther = 1,
  kBadUsage = 2,         // The command line, a variable or one of our files.
  kDenied = 3,           // PERMISSION_DENIED, UNAUTHENTICATED
  kNotFound = 4,         // NOT_FOUND
  kUnavailable = 5,      // UNAVAILABLE, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED
  kInvalidArgument = 6,  // INVALID_ARGUMENT, OUT_OF_RANGE
  kConflict = 7,         // ALREADY_EXISTS, ABORTED, FAILED_PRECONDITION
};

inline constexpr char kExitCodes[] =
    "Exit codes:\n"
    "  0  done\n"
    "  1  anything else\n"
    "  2  the command line, a variable or a file of ours is wrong; nothing was sent\n"
    "  3  denied: the broker does not know us or does not grant it\n"
    "  4  not found\n"
    "  5  unavailable, too slow, or out of quota: trying again later may help\n"
    "  6  the broker refused a value\n"
    "  7  conflict: already made, still under way, or something must be true first\n";

// The options before or after the command's name, and the exit code of the command that ran.
struct Shared {
  TokenClientOptions connection;
  Duration timeout = seconds(30);
  int exit_code = kOther;
  bool creates = false;  // The call that was sent last may have made a token: errors say whether it did.

  Deadline deadline() const { return DeadlineIn(timeout); }
};

void AddAudit(CLI::App& app, Shared& shared);
void AddCreate(CLI::App& app, Shared& shared);
void AddExplain(CLI::App& app, Shared& shared);
void AddGet(CLI::App& app, Shared& shared);
void AddList(CLI::App& app, Shared& shared);
void AddPolicy(CLI::App& app, Shared& shared);
void AddPolicyDiff(CLI::App& policy, Shared& shared);
void AddPolicyViolations(CLI::App& policy, Shared& shared);
void AddReconcile(CLI::App& app, Shared& shared);
void AddRevoke(CLI::App& app, Shared& shared);
void AddWhoami(CLI::App& app, Shared& shared);

// A command; the first line of its usage text is what the list of commands shows, the rest follows its options.
CLI::App& AddCommand(CLI::App& app, const std::string& name, const std::string& usage);

// An option whose value is "90s", "15m", "1h30m" or "7d".
CLI::Option* AddDuration(CLI::App& app, const std::string& name, Duration& value, const std::string& description);

// --output; left empty it is table on a terminal, json elsewhere.
void AddOutput(CLI::App& app, std::string& value, const std::vector<std::string>& forms);
std::string ChosenOutput(const std::string& value);

// "tokens/{id}" of what was typed, which may be the id alone.
std::string TokenName(const std::string& typed);

// The client, or the exit code after the failure was reported.
std::unique_ptr<TokenClient> Connect(Shared& shared);

}  // namespace tokenbroker::tokenctl
