#include "tests/gitlab_sim/token_json.h"

#include "tests/gitlab_sim/calendar.h"
#include "tests/gitlab_sim/json_text.h"

namespace tokenbroker::gitlab_sim {

std::string TokenJson(const State& state, const Token& token, const TokenFields& fields) {
  const Version& version = state.version();
  JsonObject out;
  out.Number("id", token.id).Text("name", token.name).Bool("revoked", token.revoked);
  out.Text("created_at", TimestampText(token.created_at)).TextOrNull("description", token.description);
  out.Raw("scopes", JsonTextArray(token.scopes)).Number("user_id", token.user_id);
  if (token.last_used_at) {
    out.Text("last_used_at", TimestampText(*token.last_used_at));
  } else {
    out.Null("last_used_at");
  }
  out.Bool("active", token.ActiveAt(state.Now()));
  if (version.AtLeast(18, 11)) out.Bool("granular", false);
  if (token.expires_at) {
    out.Text("expires_at", DateText(*token.expires_at));
  } else {
    out.Null("expires_at");
  }
  const bool ips = fields.last_used_ips ? version.AtLeast(18, 11) : version.AtLeast(19, 4);
  if (ips && !fields.resource) out.Raw("last_used_ips", JsonTextArray(token.ips));
  if (fields.impersonation) out.Bool("impersonation", true);
  if (fields.resource) {
    out.Number("access_level", fields.access_level);
    out.Text("resource_type", fields.resource->kind == ResourceKind::kProject ? "project" : "group");
    out.Number("resource_id", fields.resource->id);
  }
  if (state.settings().unknown_fields) out.Raw("future_field", R"({"nested":[1,null]})");
  if (fields.secret) out.Text("token", token.secret);
  return out.Finish();
}

}  // namespace tokenbroker::gitlab_sim
