#pragma once
// A credential in a file of one line, as operators and orchestrators mount them.

#include <string>

#include "absl/status/statusor.h"
#include "server/base/secret.h"

namespace tokenbroker {

// Reads it: one line of printable ASCII without blanks, 1 to 4096 bytes. White space around it, line ends of any kind
// included, is taken off. NOT_FOUND or INVALID_ARGUMENT, reason SECRET_FILE_INVALID, naming the file and the rule,
// never the content.
absl::StatusOr<Secret> ReadSecretFile(const std::string& path);

// The same for the text of such a file, which is wiped.
absl::StatusOr<Secret> ParseSecretText(const std::string& path, std::string text);

}  // namespace tokenbroker
