// Answers in GitLab's words and shapes. The prefixes and their spelling differ on purpose, as GitLab's do.
#pragma once

#include <string>

#include "tests/gitlab_sim/types.h"

namespace tokenbroker::gitlab_sim {

HttpResponse Json(int status, const std::string& body);
HttpResponse NoContent();
HttpResponse Message(int status, const std::string& text);     // {"message":text}
HttpResponse GrapeError(int status, const std::string& text);  // {"error":text}

HttpResponse BadRequest(const std::string& reason = "");    // 400 Bad request[ - reason]
HttpResponse Unauthorized();                                // 401 Unauthorized, no WWW-Authenticate
HttpResponse InvalidToken(const std::string& description);  // 401 error=invalid_token, with WWW-Authenticate
HttpResponse Forbidden(const std::string& reason = "");     // 403 Forbidden[ - reason]
HttpResponse InsufficientScope(const std::string& scopes);
HttpResponse NotFound(const std::string& what = "");  // 404 [what ]Not Found
HttpResponse RecordNotFound();                        // 404 Not found
HttpResponse Unprocessable(const std::string& sentence);

}  // namespace tokenbroker::gitlab_sim
