#pragma once
// Failures as one paragraph for people, and as exit codes.

#include "absl/status/status.h"
#include "client/tokenctl/command.h"

namespace tokenbroker::tokenctl {

// What went wrong, which fields and rules are concerned, the stable reason and what to do next. Printable.
std::string Paragraph(const absl::Status& failure, const Shared& shared);

ExitCode ExitCodeOf(const absl::Status& failure);

// Writes the paragraph to the standard error; the exit code.
int Report(const absl::Status& failure, const Shared& shared);

}  // namespace tokenbroker::tokenctl
