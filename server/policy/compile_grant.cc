#include "server/policy/compile_grant.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "server/base/time_text.h"
#include "server/domain/expiry.h"
#include "server/domain/scope.h"
#include "server/policy/known_names.h"
#include "server/policy/policy_fault.h"

namespace tokenbroker {
namespace {

namespace pb = config::v1;

constexpr int kMostCounted = 1'000'000;

// Numeric ids are all digits; 0 is nobody's, and what does not fit counts as 0.
std::optional<std::int64_t> ParseId(std::string_view text) {
  if (text.empty() || !std::all_of(text.begin(), text.end(), [](char each) { return each >= '0' && each <= '9'; })) {
    return std::nullopt;
  }
  std::int64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  return error == std::errc() ? id : 0;
}

bool IsSegment(std::string_view text) { return text.find('/') == text.npos && IsFullPath(text, false); }

bool IsInstance(std::string_view name) {
  return name.size() <= 32 && std::all_of(name.begin(), name.end(), [](char each) {
           return (each >= 'a' && each <= 'z') || (each >= '0' && each <= '9') || each == '-';
         });
}

bool IsLabelKey(std::string_view key) {
  return !key.empty() && key.size() <= 63 && std::all_of(key.begin(), key.end(), [](char each) {
    return (each >= 'a' && each <= 'z') || (each >= '0' && each <= '9') || each == '.' || each == '_' || each == '/' ||
           each == '-';
  });
}

// What is wrong with a pattern over names or values; empty if nothing is.
std::string GlobProblem(std::string_view pattern, std::size_t longest) {
  if (pattern.size() > longest) return "is longer than " + std::to_string(longest) + " bytes";
  for (const char each : pattern) {
    if (static_cast<unsigned char>(each) < 0x20 || each == 0x7f) return "contains a control character";
    // Whoever writes them means a capture.
    if (each == '{' || each == '}') return "contains '" + std::string(1, each) + "'; captures stand in targets alone";
  }
  return "";
}

absl::StatusOr<CompiledPattern> CompileUser(const pb::TargetPattern& pattern, const std::string& at) {
  if (pattern.user() < 0) return PolicyFault(at + ".user", "must be a positive number");
  if (!pattern.username().empty() && !IsSegment(pattern.username())) {
    return PolicyFault(at + ".username", "is not a username; patterns have no place here");
  }
  CompiledPattern out;
  out.id = pattern.user();
  out.name = LowerCase(pattern.username());
  out.text = "user:" + std::to_string(pattern.user());
  return out;
}

absl::StatusOr<CompiledPattern> CompileAccount(const std::string& text, const std::string& at) {
  CompiledPattern out;
  out.kind = TargetKind::kServiceAccount;
  out.text = "service_account:" + text;
  out.id = ParseId(text);
  if (out.id.has_value()) {
    if (*out.id > 0) return out;
    return PolicyFault(at, "must be 'group/path:username' or a numeric id");
  }
  absl::StatusOr<PathPattern> path = PathPattern::ParseAccount(text);
  if (!path.ok()) return PolicyFault(at, std::string(path.status().message()));
  out.path = *std::move(path);
  return out;
}

absl::StatusOr<CompiledPattern> CompilePattern(const pb::TargetPattern& pattern, const std::string& at) {
  const int set = (pattern.user() != 0 ? 1 : 0) + (pattern.project().empty() ? 0 : 1) +
                  (pattern.group().empty() ? 0 : 1) + (pattern.service_account().empty() ? 0 : 1);
  if (!pattern.username().empty() && pattern.user() == 0) {
    return PolicyFault(at + ".username", "stands beside user alone; a user is granted by numeric id");
  }
  if (set != 1) return PolicyFault(at, "exactly one of user, project, group and service_account is required");
  if (pattern.user() != 0) return CompileUser(pattern, at);
  if (!pattern.service_account().empty()) return CompileAccount(pattern.service_account(), at + ".service_account");
  const bool project = !pattern.project().empty();
  const std::string& text = project ? pattern.project() : pattern.group();
  absl::StatusOr<PathPattern> path = PathPattern::Parse(text, project ? 2 : 1);
  if (!path.ok()) return PolicyFault(at + (project ? ".project" : ".group"), std::string(path.status().message()));
  CompiledPattern out;
  out.kind = project ? TargetKind::kProject : TargetKind::kGroup;
  out.path = *std::move(path);
  out.text = (project ? "project:" : "group:") + text;
  return out;
}

class Compiler {
 public:
  Compiler(const pb::Grant& source, const std::string& at, const PolicyOptions& options)
      : source_(source), at_(at), options_(options) {
    out_.rule.place = at;
  }

  absl::StatusOr<CompiledGrant> Grant() &&;
  absl::StatusOr<CompiledGrant> Deny() &&;

 private:
  absl::Status Fault(const std::string& field, const std::string& what) const {
    return PolicyFault(at_ + "." + field, what);
  }
  // The first of these fields that is set must not be.
  absl::Status RefuseBounds(const std::string& why) const;

  absl::Status VerbsAndTargets();
  absl::Status Scopes(bool is_deny);
  absl::Status AdminVerbs();
  absl::Status Level(bool makes_tokens);
  absl::Status Ttl(bool makes_tokens);
  absl::Status Labels();
  absl::Status Quotas();
  absl::Status Times();
  absl::StatusOr<Duration> ParseTtl(const std::string& field, const std::string& text) const;
  bool Any(bool (*test)(Verb)) const { return std::any_of(out_.verbs.begin(), out_.verbs.end(), test); }

  const pb::Grant& source_;
  const std::string& at_;
  const PolicyOptions& options_;
  CompiledGrant out_;
};

absl::Status Compiler::RefuseBounds(const std::string& why) const {
  const std::vector<std::pair<bool, const char*>> bounds = {
      {!source_.min_ttl().empty(), "min_ttl"},
      {!source_.display_name().empty(), "display_name"},
      {!source_.required_labels().empty(), "required_labels"},
      {source_.has_max_active(), "max_active"},
      {source_.has_creates_per_minute(), "creates_per_minute"},
      {!source_.max_chain_age().empty(), "max_chain_age"},
  };
  for (const auto& [set, field] : bounds) {
    if (set) return Fault(field, why);
  }
  return absl::OkStatus();
}

absl::Status Compiler::VerbsAndTargets() {
  for (int i = 0; i < source_.verbs_size(); ++i) {
    const std::optional<Verb> verb = ParseVerb(source_.verbs(i));
    if (!verb.has_value()) {
      return Fault(ItemOf("verbs", i), "unknown verb " + InQuotes(source_.verbs(i)) +
                                           "; there are create, rotate, read, revoke, reconcile, audit");
    }
    out_.verbs.push_back(*verb);
  }
  if (!IsInstance(source_.instance())) return Fault("instance", "must be 1 to 32 characters of [a-z0-9-]");
  out_.instance = source_.instance();
  if (!out_.instance.empty() && options_.known.has_value()) {
    const std::string unknown = UnknownName("instance", out_.instance, options_.known->instances);
    if (!unknown.empty()) return Fault("instance", unknown + " (gitlab)");
  }
  for (int i = 0; i < source_.targets_size(); ++i) {
    absl::StatusOr<CompiledPattern> pattern = CompilePattern(source_.targets(i), at_ + "." + ItemOf("targets", i));
    if (!pattern.ok()) return pattern.status();
    out_.targets.push_back(*std::move(pattern));
  }
  return absl::OkStatus();
}

absl::Status Compiler::Scopes(bool is_deny) {
  for (int i = 0; i < source_.scopes_size(); ++i) {
    const std::string& scope = source_.scopes(i);
    const std::string here = ItemOf("scopes", i);
    if (!IsKnownScope(scope)) {
      const std::string_view near = NearestScope(scope);
      return Fault(here,
                   "unknown scope " + InQuotes(scope) + (near.empty() ? "" : "; did you mean " + InQuotes(near) + "?"));
    }
    if (is_deny) continue;
    if (IsAdminScope(scope) && !options_.allow_admin_targets) {
      return Fault(here, "the scope " + InQuotes(scope) +
                             " cannot be granted unless the server allows it (danger.allow_admin_targets)");
    }
    if (IsSelfExtending(scope) && !source_.self_extending()) {
      return Fault(here, "with the scope " + InQuotes(scope) +
                             " a token can extend itself; write 'self_extending: true' beside it if that is meant");
    }
  }
  out_.scopes.assign(source_.scopes().begin(), source_.scopes().end());
  return absl::OkStatus();
}

// A target beside them would look as if they ended there.
absl::Status Compiler::AdminVerbs() {
  const auto is_admin = [](Verb verb) { return verb == Verb::kReconcile || verb == Verb::kAudit; };
  if (!std::all_of(out_.verbs.begin(), out_.verbs.end(), is_admin)) {
    return Fault("verbs", "reconcile and audit need a grant of their own, without targets");
  }
  if (!out_.targets.empty()) return Fault("targets", "has no place beside reconcile and audit: they are about all");
  if (!out_.scopes.empty()) return Fault("scopes", "has no place beside reconcile and audit: they are about all");
  return absl::OkStatus();
}

absl::Status Compiler::Level(bool makes_tokens) {
  out_.max_access_level = source_.max_access_level();
  if (out_.max_access_level != 0 && !IsAccessLevel(out_.max_access_level)) {
    return Fault("max_access_level", "must be one of 10, 15, 20, 25, 30, 40 and 50");
  }
  const bool needed = std::any_of(out_.targets.begin(), out_.targets.end(), [](const CompiledPattern& each) {
    return each.kind == TargetKind::kProject || each.kind == TargetKind::kGroup;
  });
  if (makes_tokens && needed && out_.max_access_level == 0) {
    return Fault("max_access_level", "is required for projects and groups: 10, 15, 20, 25, 30, 40 or 50");
  }
  return absl::OkStatus();
}

absl::StatusOr<Duration> Compiler::ParseTtl(const std::string& field, const std::string& text) const {
  const std::optional<Duration> ttl = ParseDuration(text);
  if (!ttl.has_value()) return Fault(field, "must be a duration, as in '90s', '15m', '8h' or '30d'");
  if (*ttl < kMinTtl || *ttl > kMaxTtl) {
    return Fault(field, "must be from " + FormatDuration(kMinTtl) + " to " + FormatDuration(kMaxTtl));
  }
  return *ttl;
}

absl::Status Compiler::Ttl(bool makes_tokens) {
  if (makes_tokens && source_.max_ttl().empty()) return Fault("max_ttl", "is required, as in '8h'");
  if (!source_.max_ttl().empty()) {
    const absl::StatusOr<Duration> most = ParseTtl("max_ttl", source_.max_ttl());
    if (!most.ok()) return most.status();
    out_.max_ttl = *most;
  }
  if (!source_.min_ttl().empty()) {
    const absl::StatusOr<Duration> least = ParseTtl("min_ttl", source_.min_ttl());
    if (!least.ok()) return least.status();
    if (*least > *out_.max_ttl) return Fault("min_ttl", "is longer than max_ttl");
    out_.min_ttl = *least;
  }
  return absl::OkStatus();
}

absl::Status Compiler::Labels() {
  const std::string problem = GlobProblem(source_.display_name(), 80);
  if (!problem.empty()) return Fault("display_name", problem);
  out_.display_name = source_.display_name();
  out_.required_labels = {source_.required_labels().begin(), source_.required_labels().end()};
  if (out_.required_labels.size() > 16) return Fault("required_labels", "a token has at most 16 labels");
  for (const auto& [key, pattern] : out_.required_labels) {
    if (!IsLabelKey(key)) {
      return Fault("required_labels", "the key " + InQuotes(key) + " must be 1 to 63 characters of [a-z0-9._/-]");
    }
    const std::string wrong = GlobProblem(pattern, 128);
    if (!wrong.empty()) return Fault("required_labels." + key, wrong);
  }
  return absl::OkStatus();
}

// 0 could be read as none at all, and as no bound.
absl::Status Compiler::Quotas() {
  const auto bad = [](bool set, int limit) { return set && (limit < 1 || limit > kMostCounted); };
  const std::string range = "must be from 1 to " + std::to_string(kMostCounted);
  if (bad(source_.has_max_active(), source_.max_active())) return Fault("max_active", range);
  if (bad(source_.has_creates_per_minute(), source_.creates_per_minute())) return Fault("creates_per_minute", range);
  out_.max_active = source_.max_active();
  out_.creates_per_minute = source_.creates_per_minute();
  return absl::OkStatus();
}

absl::Status Compiler::Times() {
  if (!source_.not_after().empty()) {
    out_.not_after = ParseRfc3339(source_.not_after());
    if (!out_.not_after.has_value()) {
      return Fault("not_after", "must be an instant with a zone, as in '2026-12-31T18:00:00Z' or '...+01:00'");
    }
  }
  if (!source_.max_chain_age().empty()) {
    if (std::find(out_.verbs.begin(), out_.verbs.end(), Verb::kRotate) == out_.verbs.end()) {
      return Fault("max_chain_age", "has no place without the verb rotate");
    }
    out_.max_chain_age = ParseDuration(source_.max_chain_age());
    if (!out_.max_chain_age.has_value() || *out_.max_chain_age < kMinTtl) {
      return Fault("max_chain_age", "must be a duration of at least 1m, as in '8h' or '365d'");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<CompiledGrant> Compiler::Grant() && {
  if (absl::Status bad = VerbsAndTargets(); !bad.ok()) return bad;
  if (absl::Status bad = Scopes(/*is_deny=*/false); !bad.ok()) return bad;
  if (!source_.mode().empty()) return Fault("mode", "has no place in a grant; it stands in a binding or a deny");
  if (out_.verbs.empty()) return Fault("verbs", "at least one verb is required");
  if (absl::Status bad = Times(); !bad.ok()) return bad;
  const bool makes_tokens = Any(MakesToken);
  if (!makes_tokens) {
    if (absl::Status bad = RefuseBounds("has no place without the verbs create and rotate"); !bad.ok()) return bad;
  }
  if (Any([](Verb verb) { return verb == Verb::kReconcile || verb == Verb::kAudit; })) {
    if (absl::Status bad = AdminVerbs(); !bad.ok()) return bad;
    return std::move(out_);
  }
  if (out_.targets.empty()) return Fault("targets", "at least one target is required");
  if (makes_tokens && out_.scopes.empty()) return Fault("scopes", "at least one scope is required");
  if (absl::Status bad = Level(makes_tokens); !bad.ok()) return bad;
  if (absl::Status bad = Ttl(makes_tokens); !bad.ok()) return bad;
  if (absl::Status bad = Labels(); !bad.ok()) return bad;
  if (absl::Status bad = Quotas(); !bad.ok()) return bad;
  out_.self_extending = source_.self_extending();
  return std::move(out_);
}

absl::StatusOr<CompiledGrant> Compiler::Deny() && {
  if (absl::Status bad = VerbsAndTargets(); !bad.ok()) return bad;
  if (absl::Status bad = Scopes(/*is_deny=*/true); !bad.ok()) return bad;
  // A bound in a deny could be read both ways (up to it, or above it), so it is none.
  const std::string no_place = "has no place in a deny";
  if (source_.max_access_level() != 0) return Fault("max_access_level", no_place);
  if (!source_.max_ttl().empty()) return Fault("max_ttl", no_place);
  if (source_.self_extending()) return Fault("self_extending", no_place);
  if (!source_.not_after().empty()) return Fault("not_after", no_place);
  if (absl::Status bad = RefuseBounds(no_place); !bad.ok()) return bad;
  for (std::size_t i = 0; i < out_.targets.size(); ++i) {
    const std::optional<PathPattern>& path = out_.targets[i].path;
    if (!path.has_value() || path->CaptureNames().empty()) continue;
    return Fault(ItemOf("targets", static_cast<int>(i)),
                 "a deny is about every caller, so captures have no place in it");
  }
  return std::move(out_);
}

}  // namespace

absl::StatusOr<CompiledGrant> CompileGrant(const pb::Grant& source, const std::string& at,
                                           const PolicyOptions& options) {
  return Compiler(source, at, options).Grant();
}

absl::StatusOr<CompiledGrant> CompileDeny(const pb::Grant& source, const std::string& at,
                                          const PolicyOptions& options) {
  return Compiler(source, at, options).Deny();
}

}  // namespace tokenbroker
