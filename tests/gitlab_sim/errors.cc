#include "tests/gitlab_sim/errors.h"

#include "tests/gitlab_sim/json_text.h"

namespace tokenbroker::gitlab_sim {
namespace {

std::string WithReason(const std::string& text, const std::string& reason) {
  return reason.empty() ? text : text + " - " + reason;
}

}  // namespace

HttpResponse Json(int status, const std::string& body) {
  return HttpResponse{.status = status, .headers = {{"Content-Type", "application/json"}}, .body = body};
}

HttpResponse NoContent() { return HttpResponse{.status = 204}; }

HttpResponse Message(int status, const std::string& text) {
  return Json(status, JsonObject().Text("message", text).Finish());
}

HttpResponse GrapeError(int status, const std::string& text) {
  return Json(status, JsonObject().Text("error", text).Finish());
}

HttpResponse BadRequest(const std::string& reason) { return Message(400, WithReason("400 Bad request", reason)); }

HttpResponse Unauthorized() { return Message(401, "401 Unauthorized"); }

HttpResponse InvalidToken(const std::string& description) {
  HttpResponse out =
      Json(401, JsonObject().Text("error", "invalid_token").Text("error_description", description).Finish());
  out.headers.emplace_back(
      "WWW-Authenticate",
      "Bearer realm=\"Protected by OAuth 2.0\", error=\"invalid_token\", error_description=\"" + description + "\"");
  return out;
}

HttpResponse Forbidden(const std::string& reason) { return Message(403, WithReason("403 Forbidden", reason)); }

HttpResponse InsufficientScope(const std::string& scopes) {
  return Json(
      403, JsonObject()
               .Text("error", "insufficient_scope")
               .Text("error_description", "The request requires higher privileges than provided by the access token.")
               .Text("scope", scopes)
               .Finish());
}

HttpResponse NotFound(const std::string& what) {
  return Message(404, what.empty() ? "404 Not Found" : "404 " + what + " Not Found");
}

HttpResponse RecordNotFound() { return Message(404, "404 Not found"); }

HttpResponse Unprocessable(const std::string& sentence) { return Message(422, sentence); }

}  // namespace tokenbroker::gitlab_sim
