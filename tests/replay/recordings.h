// Recorded traffic of real GitLab instances, read from the folder that RECORDINGS_DIR names: every *.jsonl there, one
// flow a line:
//   {"flow": name, "gitlab_version": v, "steps": [{"request": {"method", "path", "body", "authenticated"},
//                                                  "response": {"status", "headers", "body"}}, ...]}
#pragma once

#include <vector>

#include "nlohmann/json.hpp"

namespace tokenbroker {

// The flows in the order of the files' names; none if there is no folder or nothing in it: a test then skips itself.
std::vector<nlohmann::json> ReadRecordedFlows();

}  // namespace tokenbroker
