#include "client/tokenctl/show.h"

#include "client/tokenctl/failure.h"
#include "client/tokenctl/output.h"

namespace tokenbroker::tokenctl {

int Show(const std::string& output, const google::protobuf::Message& message, const std::string& text,
         const Shared& shared) {
  const absl::StatusOr<std::string> chosen = ChosenOutput(output) == "json" ? Json(message) : text;
  if (!chosen.ok()) return Report(chosen.status(), shared);
  const absl::Status written = WriteOut(*chosen);
  if (written.ok()) return kDone;
  WriteError("tokenctl: cannot write to the standard output: " + std::string(written.message()) + "\n");
  return kOther;
}

}  // namespace tokenbroker::tokenctl
