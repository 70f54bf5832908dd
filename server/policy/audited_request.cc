#include "server/policy/audited_request.h"

#include "server/base/json_writer.h"
#include "server/base/time_text.h"

namespace tokenbroker {
namespace {

void WriteTexts(JsonWriter& json, std::string_view key, const std::map<std::string, std::string>& texts) {
  if (texts.empty()) return;
  json.Object(key, [&] {
    for (const auto& [name, text] : texts) json.Field(name, text);
  });
}

void WriteFacts(JsonWriter& json, const TargetFacts& facts) {
  json.Object("facts", [&] {
    json.Field("id", facts.target.id);
    json.Field("path", facts.target.path);
    if (!facts.active) json.Field("inactive", true);
    if (facts.bot) json.Field("bot", true);
    if (facts.is_admin) json.Field("administrator", true);
    if (facts.is_issuer) json.Field("issuer", true);
  });
}

}  // namespace

std::string AuditedRequestJson(const Caller& caller, const AccessRequest& request, const TargetFacts* facts) {
  JsonWriter json;
  json.Object([&] {
    json.Field("verb", NameOf(request.verb));
    json.Field("identity", caller.identity);
    if (!caller.rule.empty()) json.Field("rule", caller.rule);
    WriteTexts(json, "captures", caller.captures);
    if (request.verb == Verb::kReconcile || request.verb == Verb::kAudit) return;  // They are about no target.
    json.Object("target", [&] {
      json.Field("instance", request.target.instance);
      json.Field("kind", NameOf(request.target.kind));
      json.Field("ref", request.target.ref);
    });
    if (facts != nullptr) WriteFacts(json, *facts);
    if (!MakesToken(request.verb)) return;
    json.Array("scopes", [&] {
      for (const std::string& scope : request.scopes) json.Item(scope);
    });
    json.Field("access_level", request.access_level);
    json.Field("ttl", FormatProtoDuration(request.ttl));
    json.Field("display_name", request.display_name);
    WriteTexts(json, "labels", request.labels);
    if (request.verb == Verb::kRotate) json.Field("chain_age", FormatProtoDuration(request.chain_age));
  });
  return json.Take();
}

}  // namespace tokenbroker
