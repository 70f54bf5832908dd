#include "client/tokenctl/policy_replay.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "server/domain/audit_record.h"

namespace tokenbroker::tokenctl {
namespace {

enum class Answer { kNo, kMaybe, kYes };

struct Opinion {
  Answer answer = Answer::kNo;
  std::string why;  // Of kNo.
};

constexpr std::string_view kSpiffe = "spiffe://";
constexpr std::string_view kDns = "dns:";

// The certificate's part of an identity; nothing if a bearer token was shown, too, or alone.
std::optional<PeerFacts> CertificateOf(const std::string& identity) {
  if (identity.find(' ') != std::string::npos) return std::nullopt;
  CertificateFacts certificate;
  certificate.not_after = WallTime::max();
  if (identity.starts_with(kSpiffe)) {
    certificate.uris.push_back(identity);
  } else if (identity.starts_with(kDns)) {
    certificate.dns_names.push_back(identity.substr(kDns.size()));
  } else {
    return std::nullopt;
  }
  PeerFacts peer;
  peer.certificate = std::move(certificate);
  return peer;
}

std::optional<Caller> CallerOf(const Policy& policy, const CallerIndex& callers, const std::string& name,
                               const v1::AuditedRequest& asked, WallTime now) {
  if (const std::optional<PeerFacts> peer = CertificateOf(asked.identity())) {
    const absl::StatusOr<Caller> found = callers.Recognise(*peer, now);
    return found.ok() ? std::optional(*found) : std::nullopt;
  }
  const std::string& rule = asked.rule().empty() ? name : asked.rule();
  const bool is_known = std::any_of(policy.callers().begin(), policy.callers().end(),
                                    [&rule](const CallerRule& each) { return each.name.text() == rule; });
  if (!is_known) return std::nullopt;
  Caller caller{name, asked.identity(), asked.rule(), {}};
  caller.captures.insert(asked.captures().begin(), asked.captures().end());
  return caller;
}

Duration ToDuration(const google::protobuf::Duration& duration) {
  return seconds(duration.seconds()) + Duration(duration.nanos() / 1000);
}

AccessRequest RequestOf(const v1::AuditedRequest& asked, Verb verb, TargetKind kind, WallTime now) {
  AccessRequest request;
  request.verb = verb;
  request.target = {asked.target().instance(), kind, asked.target().ref()};
  request.scopes.assign(asked.scopes().begin(), asked.scopes().end());
  request.access_level = asked.access_level();
  request.ttl = ToDuration(asked.ttl());
  request.display_name = asked.display_name();
  request.labels.insert(asked.labels().begin(), asked.labels().end());
  request.chain_age = ToDuration(asked.chain_age());
  request.now = now;
  return request;
}

TargetFacts FactsOf(const v1::AuditedRequest& asked, TargetKind kind) {
  TargetFacts facts;
  facts.target = {asked.target().instance(), kind, asked.facts().id(), asked.facts().path()};
  facts.active = !asked.facts().inactive();
  facts.bot = asked.facts().bot();
  facts.is_admin = asked.facts().administrator();
  facts.is_issuer = asked.facts().issuer();
  return facts;
}

std::string WordsFor(const v1::AuditedRequest& asked, Verb verb, TargetKind kind) {
  std::string words(NameOf(verb));
  if (!asked.has_target()) return words;
  words += ' ' + ToText(Target{asked.target().instance(), kind, asked.target().ref()});
  for (const std::string& scope : asked.scopes()) words += ' ' + scope;
  return words;
}

}  // namespace

PolicyReplay::PolicyReplay(const Policy& before, const Policy& after, WallTime now)
    : before_(before), after_(after), now_(now) {}

void PolicyReplay::Add(const v1::AuditRecord& record) {
  const bool is_summary = record.kind() == "refusals";
  if (!is_summary && record.kind() != "refusal" && record.kind() != "token.pending") return;
  if (is_summary) {
    // {"CreateToken NOT_GRANTED": 12, ...}
    google::protobuf::Struct counts;
    if (!google::protobuf::util::JsonStringToMessage(record.body(), &counts).ok()) return;
    for (const auto& [key, count] : counts.fields()) {
      counts_.only_counted += static_cast<std::int64_t>(count.number_value());
    }
    return;
  }
  google::protobuf::util::JsonParseOptions lenient;
  lenient.ignore_unknown_fields = true;
  v1::AuditBody body;
  const bool is_read = google::protobuf::util::JsonStringToMessage(record.body(), &body, lenient).ok();
  if (!is_read || !body.has_request()) {
    ++counts_.without_request;
    return;
  }
  Judge(record, body.request());
}

void PolicyReplay::Judge(const v1::AuditRecord& record, const v1::AuditedRequest& asked) {
  const std::optional<Verb> verb = ParseVerb(asked.verb());
  const std::optional<TargetKind> kind =
      asked.has_target() ? ParseTargetKind(asked.target().kind()) : TargetKind::kUser;
  if (!verb.has_value() || !kind.has_value()) {
    ++counts_.without_request;
    return;
  }
  ++counts_.requests;
  const AccessRequest request = RequestOf(asked, *verb, *kind, now_);

  const std::string name = ParseAuditedCaller(record.caller()).value_or("");
  const auto ask = [&](const Side& side) -> Opinion {
    const std::optional<Caller> caller = CallerOf(side.policy, side.callers, name, asked, now_);
    if (!caller.has_value()) return {Answer::kNo, "no caller is recognised by " + asked.identity()};
    const bool is_about_target = asked.has_target();
    Decision decision =
        is_about_target ? side.policy.DecideAsWritten(*caller, request) : side.policy.DecideAdmin(*caller, *verb, now_);
    if (decision.status.ok() && is_about_target) {
      if (!asked.has_facts()) return {Answer::kMaybe, ""};
      decision = side.policy.Decide(*caller, request, FactsOf(asked, *kind));
    }
    return decision.status.ok() ? Opinion{Answer::kYes, ""} : Opinion{Answer::kNo, decision.detail};
  };
  const Opinion was = ask(before_);
  const Opinion is = ask(after_);
  if (was.answer == is.answer) return;
  const bool loses = is.answer == Answer::kNo;
  const Opinion& refusing = loses ? is : was;
  const bool maybe = (loses ? was : is).answer == Answer::kMaybe;

  std::string what = WordsFor(asked, *verb, *kind);
  PolicyChange& change = changes_[{name, what, loses, maybe}];
  change.caller = name;
  change.what = std::move(what);
  change.loses = loses;
  change.maybe = maybe;
  ++change.times;
  const WallTime time(seconds(record.time().seconds()) + Duration(record.time().nanos() / 1000));
  if (change.times > 1 && time < change.last_time) return;
  change.last_time = time;
  change.why = refusing.why;
}

std::vector<PolicyChange> PolicyReplay::changes() const {
  std::vector<PolicyChange> all;
  all.reserve(changes_.size());
  for (const auto& [key, change] : changes_) all.push_back(change);
  return all;
}

}  // namespace tokenbroker::tokenctl
