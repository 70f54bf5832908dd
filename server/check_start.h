#pragma once
// What would keep a broker from starting, or from serving once it has started, found without starting it.

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace tokenbroker {

// Reads the configuration and every file that it names, as a start does, and returns every error in the order of the
// configuration; each names its field or file and the rule, and never a file's content. Empty: a start finds nothing
// wrong. Changes nothing on the disk, listens on nothing and asks nothing of GitLab; a broker that serves with the same
// configuration meanwhile is no error.
std::vector<absl::Status> FindStartErrors(const std::string& config_file);

}  // namespace tokenbroker
