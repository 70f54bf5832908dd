// One API call on its way through the pipeline: what the handlers of the routes get.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tests/gitlab_sim/params.h"
#include "tests/gitlab_sim/state.h"
#include "tests/gitlab_sim/types.h"

namespace tokenbroker::gitlab_sim {

struct Call {
  State* state = nullptr;
  const HttpRequest* request = nullptr;
  std::string base_url;  // The external URL, without a final slash.
  Params params;         // Those of the path included.
  Token* token = nullptr;
  User* user = nullptr;  // Null: no credential (routes that allow it).
  bool admin = false;    // Has an administrator's rights in this request (Admin Mode satisfied).

  std::string PathParam(const std::string& name) const;
  // A path parameter that must be a number; nothing if it is none.
  std::optional<int64_t> PathId(const std::string& name) const;
  bool IsWrite() const { return request->method != "GET" && request->method != "HEAD"; }
};

}  // namespace tokenbroker::gitlab_sim
