#include "server/gitlab/requests.h"

#include "server/base/json_writer.h"
#include "server/base/time_text.h"
#include "server/gitlab/exchange.h"

namespace tokenbroker {

std::string SegmentOf(const ResolvedTarget& target) {
  return target.id != 0 ? std::to_string(target.id) : PercentEncode(target.path);
}

std::string MintPath(const ResolvedTarget& target) {
  if (target.kind == TargetKind::kUser) return "/users/" + SegmentOf(target) + "/personal_access_tokens";
  return "/projects/" + SegmentOf(target) + "/access_tokens";
}

std::string MintBody(const MintSpec& spec) {
  JsonWriter json;
  json.Object([&] {
    json.Field("name", spec.name);
    json.Field("description", spec.description);
    json.Array("scopes", [&] {
      for (const std::string& scope : spec.scopes) json.Item(scope);
    });
    json.Field("expires_at", FormatDate(spec.expires_at));
    if (spec.target.kind == TargetKind::kProject) json.Field("access_level", spec.access_level);
  });
  return json.Take();
}

std::string TokenPath(const UpstreamRef& ref, bool by_id) {
  if (by_id) return "/personal_access_tokens/" + std::to_string(ref.token_id);
  return "/projects/" + SegmentOf(ref.target) + "/access_tokens/" + std::to_string(ref.token_id);
}

std::string TokenListPath(const UpstreamQuery& query, bool by_project) {
  std::string path =
      by_project ? "/projects/" + SegmentOf(query.target) + "/access_tokens?" : "/personal_access_tokens?";
  path += query.active_only ? "state=active" : "revoked=false";
  if (!query.search.empty()) path += "&search=" + PercentEncode(query.search);
  if (query.created_after.has_value()) path += "&created_after=" + PercentEncode(FormatRfc3339(*query.created_after));
  if (query.user_id != 0 && !by_project) path += "&user_id=" + std::to_string(query.user_id);
  if (query.limit > 0) path += "&sort=created_asc";
  path += "&per_page=100&page=";
  return path;
}

}  // namespace tokenbroker
