#include "server/config/policy_cases.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "server/base/error.h"
#include "server/base/file_text.h"
#include "server/base/time_text.h"
#include "server/config/not_served.h"
#include "server/config/strict_yaml.h"
#include "server/identity/authenticator.h"
#include "tokenbroker/config/v1/policy_cases.pb.h"

namespace tokenbroker {
namespace {

namespace pb = config::v1;

absl::Status Bad(const std::string& field, const std::string& what) {
  return Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID", field + ": " + what).Field(field, what);
}

absl::StatusOr<PeerFacts> ReadPeer(const pb::CasePeer& peer, const std::string& at) {
  PeerFacts facts;
  if (!peer.spiffe().empty() || !peer.dns().empty()) {
    facts.certificate.emplace();
    facts.certificate->not_after = WallTime::max();
    if (!peer.spiffe().empty()) facts.certificate->uris.push_back(peer.spiffe());
    if (!peer.dns().empty()) facts.certificate->dns_names.push_back(peer.dns());
  }
  if (peer.has_jwt()) {
    if (peer.jwt().issuer().empty()) return Bad(at + ".jwt.issuer", "is required");
    if (peer.jwt().sub().empty()) return Bad(at + ".jwt.sub", "is required");
    facts.bearer = BearerFacts{peer.jwt().issuer(), peer.jwt().sub(), {}};
    facts.bearer->claims.insert(peer.jwt().claims().begin(), peer.jwt().claims().end());
  }
  if (!facts.certificate.has_value() && !facts.bearer.has_value()) {
    return Bad(at, "spiffe, dns or jwt is required");
  }
  return facts;
}

absl::StatusOr<TargetFacts> ReadTarget(const pb::CaseTarget& target, const std::string& at) {
  const int set = (target.user() != 0 ? 1 : 0) + (target.project().empty() ? 0 : 1) + (target.group().empty() ? 0 : 1) +
                  (target.service_account().empty() ? 0 : 1);
  if (set != 1) return Bad(at, "exactly one of user, project, group and service_account is required");
  const bool is_user = target.user() != 0;
  if (!is_user && (!target.username().empty() || target.administrator() || target.blocked())) {
    return Bad(at, "username, administrator and blocked stand beside user alone");
  }
  if (target.user() < 0) return Bad(at + ".user", "must be a positive number");
  TargetFacts facts;
  // What has no number here gets one that no grant can name.
  facts.target.id = is_user ? target.user() : std::numeric_limits<std::int64_t>::max();
  if (is_user) {
    facts.target.path = target.username();
    facts.is_admin = target.administrator();
    facts.active = !target.blocked();
  } else if (!target.project().empty()) {
    facts.target.kind = TargetKind::kProject;
    facts.target.path = target.project();
  } else if (!target.group().empty()) {
    facts.target.kind = TargetKind::kGroup;
    facts.target.path = target.group();
  } else {
    facts.target.kind = TargetKind::kServiceAccount;
    facts.target.path = target.service_account();
  }
  return facts;
}

// A case that was read.
struct Question {
  PeerFacts peer;
  AccessRequest request;
  TargetFacts facts;
  bool about_target = true;
  bool allow = false;
};

// The instance of a case's target.
absl::StatusOr<std::string> ReadInstance(const std::string& given, const std::string& at,
                                         const CaseInstances& instances) {
  const auto& names = instances.names;
  if (given.empty() && names.size() > 1) return Bad(at, "is required: there are several");
  if (given.empty()) return names.empty() ? std::string() : names.front();
  if (instances.are_all && std::find(names.begin(), names.end(), given) == names.end()) {
    return Bad(at, "the configuration has no instance '" + given + "'");
  }
  return given;
}

absl::StatusOr<Question> Read(const pb::PolicyCase& source, const std::string& at, WallTime now,
                              const CaseInstances& instances) {
  Question question;
  if (source.name().empty()) return Bad(at + ".name", "is required");
  absl::StatusOr<PeerFacts> peer = ReadPeer(source.peer(), at + ".peer");
  if (!peer.ok()) return peer.status();
  question.peer = *std::move(peer);
  AccessRequest& request = question.request;
  const std::optional<Verb> verb = source.verb().empty() ? Verb::kCreate : ParseVerb(source.verb());
  if (!verb.has_value()) {
    return Bad(at + ".verb", "must be create, rotate, read, revoke, reconcile or audit, not '" + source.verb() + "'");
  }
  request.verb = *verb;
  question.about_target = *verb != Verb::kReconcile && *verb != Verb::kAudit;
  if (question.about_target) {
    absl::StatusOr<TargetFacts> facts = ReadTarget(source.target(), at + ".target");
    if (!facts.ok()) return facts.status();
    question.facts = *std::move(facts);
    const absl::StatusOr<std::string> instance =
        ReadInstance(source.target().instance(), at + ".target.instance", instances);
    if (!instance.ok()) return instance.status();
    question.facts.target.instance = *instance;
    request.target.instance = *instance;
    const ResolvedTarget& target = question.facts.target;
    request.target.kind = target.kind;
    request.target.ref = target.kind == TargetKind::kUser ? std::to_string(target.id) : target.path;
  } else if (source.has_target()) {
    return Bad(at + ".target", "has no place here: " + source.verb() + " is about all tokens");
  }
  request.scopes.assign(source.scopes().begin(), source.scopes().end());
  request.access_level = source.access_level();
  request.display_name = source.display_name();
  request.labels.insert(source.labels().begin(), source.labels().end());
  if (MakesToken(*verb)) {
    const std::optional<Duration> ttl = ParseDuration(source.ttl());
    if (!ttl.has_value()) return Bad(at + ".ttl", "must be a duration, as in '90s', '15m', '8h' or '30d'");
    request.ttl = *ttl;
  }
  request.now = now;
  if (!source.time().empty()) {
    const std::optional<WallTime> time = ParseRfc3339(source.time());
    if (!time.has_value()) return Bad(at + ".time", "must be an instant with a zone, as in '2026-12-31T18:00:00Z'");
    request.now = *time;
  }
  if (source.expect() != "allow" && source.expect() != "deny") return Bad(at + ".expect", "must be allow or deny");
  question.allow = source.expect() == "allow";
  if (!question.allow && !source.role().empty()) return Bad(at + ".role", "has no place beside 'expect: deny'");
  return question;
}

// As the broker decides: on the request as it is written, then on GitLab's facts.
Decision Decide(const Policy& policy, const Caller& caller, const Question& question) {
  const AccessRequest& request = question.request;
  if (!question.about_target) return policy.DecideAdmin(caller, request.verb, request.now);
  Decision written = policy.DecideAsWritten(caller, request);
  return written.status.ok() ? policy.Decide(caller, request, question.facts) : written;
}

std::string Judge(const pb::PolicyCase& source, const Question& question, const CallerIndex& callers,
                  const Policy& policy) {
  const absl::StatusOr<Caller> caller = callers.Recognise(question.peer, question.request.now);
  if (!caller.ok()) {
    const bool may_be_nobody = !question.allow && source.caller().empty();
    return may_be_nobody ? "" : "the peer is no caller: " + std::string(caller.status().message());
  }
  if (!source.caller().empty() && source.caller() != caller->name) return "the peer is the caller " + caller->name;
  const Decision decision = Decide(policy, *caller, question);
  const std::string where = decision.rule.position.empty() ? "" : " (" + decision.rule.position + ")";
  if (decision.status.ok() != question.allow) {
    return std::string(question.allow ? "denied: " : "allowed: ") + decision.detail + where;
  }
  if (!source.role().empty() && decision.rule.role != source.role()) {
    return "allowed by the role " + decision.rule.role + where;
  }
  return "";
}

// A case that the policy allows and the broker cannot serve.
std::string WarningOf(const Question& question) {
  if (!question.allow) return "";
  std::string warning = VerbNotServed(question.request.verb);
  if (warning.empty() && question.about_target && MakesToken(question.request.verb)) {
    warning = TargetNotServed(question.facts.target.kind);
  }
  return warning;
}

}  // namespace

absl::StatusOr<CaseInstances> InstancesOf(const PolicyText& policy) {
  config::v1::Policy source;
  const absl::StatusOr<SourceMap> map = ParsePolicyText(policy, &source);
  if (!map.ok()) return map.status();
  std::set<std::string> names;
  for (const auto& [name, role] : source.roles()) {
    for (const config::v1::Grant& grant : role.grants()) names.insert(grant.instance());
  }
  for (const config::v1::Grant& deny : source.denies()) names.insert(deny.instance());
  names.erase("");
  return CaseInstances{{names.begin(), names.end()}, false};
}

absl::StatusOr<std::vector<CaseResult>> RunPolicyCases(const std::string& file, const Policy& policy, WallTime now,
                                                       const CaseInstances& instances) {
  const absl::StatusOr<FileText> text = ReadFileText(file);
  if (!text.ok()) return text.status();
  pb::PolicyCases source;
  const absl::StatusOr<SourceMap> map = ParseStrictYaml(file, text->text, &source);
  if (!map.ok()) return map.status();
  const CallerIndex callers(policy.callers(), {});
  std::vector<CaseResult> results;
  for (int i = 0; i < source.cases_size(); ++i) {
    const std::string at = "cases[" + std::to_string(i) + "]";
    const absl::StatusOr<Question> question = Read(source.cases(i), at, now, instances);
    if (!question.ok()) return Located(question.status(), *map);
    results.push_back({source.cases(i).name(), map->Locate(at), Judge(source.cases(i), *question, callers, policy),
                       WarningOf(*question)});
  }
  return results;
}

}  // namespace tokenbroker
