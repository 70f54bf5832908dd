// /metadata, /version and /application/settings.
#include <string>
#include <vector>

#include "tests/gitlab_sim/errors.h"
#include "tests/gitlab_sim/json_text.h"
#include "tests/gitlab_sim/routes.h"

namespace tokenbroker::gitlab_sim {
namespace {

constexpr const char* kRevision = "51a51a51a51";

HttpResponse ShowMetadata(Call& call) {
  const std::string host = call.base_url.substr(call.base_url.find("//") + 2);
  const std::string& version = call.state->version().text;
  const std::string kas = JsonObject()
                              .Bool("enabled", true)
                              .Text("externalUrl", "ws://" + host + "/-/kubernetes-agent/")
                              .Text("externalK8sProxyUrl", "http://" + host + "/-/kubernetes-agent/k8s-proxy/")
                              .Text("version", version)
                              .Finish();
  return Json(200, JsonObject()
                       .Text("version", version + "-ee")
                       .Text("revision", kRevision)
                       .Raw("kas", kas)
                       .Bool("enterprise", true)
                       .Finish());
}

HttpResponse ShowSettings(Call& call) {
  const Settings& settings = call.state->settings();
  JsonObject out;
  out.Number("id", 1).Bool("admin_mode", settings.admin_mode);
  out.Bool("require_personal_access_token_expiry", settings.require_expiry);
  if (settings.max_lifetime_days == 365) {
    out.Null("max_personal_access_token_lifetime");
  } else {
    out.Number("max_personal_access_token_lifetime", settings.max_lifetime_days);
  }
  out.Bool("service_access_tokens_expiration_enforced", settings.service_account_expiry_enforced);
  out.Text("personal_access_token_prefix", settings.token_prefix).Text("instance_token_prefix", "");
  out.Number("inactive_resource_access_tokens_delete_after_days", 30).Bool("disable_personal_access_tokens", false);
  out.Bool("allow_top_level_group_owners_to_create_service_accounts", false);
  out.Bool("throttle_authenticated_api_enabled", settings.rate_limit_headers);
  out.Number("throttle_authenticated_api_requests_per_period", settings.rate_limit_per_minute);
  out.Number("throttle_authenticated_api_period_in_seconds", 60);
  out.Bool("throttle_unauthenticated_api_enabled", false);
  out.Number("throttle_unauthenticated_api_requests_per_period", 3600);
  out.Number("throttle_unauthenticated_api_period_in_seconds", 3600).Null("rate_limiting_response_text");
  out.Number("project_api_limit", 400).Number("group_api_limit", 400).Number("users_get_by_id_limit", 300);
  return Json(200, out.Finish());
}

}  // namespace

std::vector<Route> InstanceRoutes() {
  return {
      {"GET", "/metadata", ShowMetadata},
      {"GET", "/version", ShowMetadata},
      {"GET", "/application/settings", ShowSettings, ScopeRule::kApi, /*admin_only=*/true},
  };
}

}  // namespace tokenbroker::gitlab_sim
