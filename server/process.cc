#include "server/process.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace tokenbroker {
namespace {

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

}  // namespace

Environment ReadEnvironment() {
  Environment environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) environment.emplace_back(*entry);
  return environment;
}

absl::Status CheckEnvironment(const Environment& environment) {
  for (const std::string& entry : environment) {
    const std::size_t equals = entry.find('=');
    const std::string name = entry.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : entry.substr(equals + 1);
    const bool prints = (name == "GRPC_TRACE" && !value.empty()) || (name == "SSLKEYLOGFILE" && !value.empty()) ||
                        (name == "GRPC_VERBOSITY" && Lower(value) == "debug");
    if (prints) {
      return absl::FailedPreconditionError(
          absl::StrCat(name, " is set in the environment: with it, secrets would be printed. Unset it"));
    }
  }
  return absl::OkStatus();
}

std::vector<std::string> ProxyVariables(const Environment& environment) {
  constexpr std::array<std::string_view, 5> kNames = {"http_proxy", "https_proxy", "all_proxy", "no_proxy",
                                                      "grpc_proxy"};
  std::vector<std::string> found;
  for (const std::string& entry : environment) {
    const std::string name = entry.substr(0, entry.find('='));
    if (std::find(kNames.begin(), kNames.end(), Lower(name)) != kNames.end()) found.push_back(name);
  }
  return found;
}

absl::Status HardenProcess() {
  const rlimit none{0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0) {
    return absl::InternalError(absl::StrCat("cannot forbid core files: ", std::strerror(errno)));
  }
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return absl::InternalError(absl::StrCat("cannot make the process undumpable: ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

void PrepareForLoad() {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);  // What it cannot have, a connection will say when it is missing.
  }
  // Debian's Abseil, on which gRPC stands, looks for deadlocks at every lock.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

}  // namespace tokenbroker
