// The management port: small JSON over HTTP, for harnesses that are not written in C++. Beside the API port, so that
// what a test does here is never taken for a call of the product.
//
//   GET  /status                              {"url","version","now","open_connections","pending_faults"}
//   POST /users|/groups|/projects|/members|/tokens   one object each, fields as in types.h; answers {"id",...}
//   GET  /tokens?live=true&name=part          what the simulator holds; secrets only with &secrets=true
//   POST /revoke {"token_id"}                 as in the web interface
//   POST /block {"user_id","blocked"}, POST /admin {"user_id","admin"}
//   POST /move {"project_id","full_path"}
//   GET|DELETE /requests                      seen ones, in order, without headers
//   GET  /unknown-routes
//   POST|DELETE /faults                       {"preset","number"} or the fields of Fault: see management.cc
//   GET|POST /clock                           {"advance_ms"} or {"set":"2026-06-24T22:55:54Z"}
//   GET|POST /settings                        fields as in Settings
#pragma once

#include <string>

#include "tests/gitlab_sim/gitlab_sim.h"
#include "tests/gitlab_sim/types.h"

namespace tokenbroker::gitlab_sim {

HttpResponse Manage(GitLabSim& sim, const HttpRequest& request);

}  // namespace tokenbroker::gitlab_sim
