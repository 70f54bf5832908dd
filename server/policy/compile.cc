// From the text's message to what decides. Every rule that a policy can break is checked here.

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <set>

#include "server/base/error.h"
#include "server/base/time_text.h"
#include "server/domain/expiry.h"
#include "server/domain/scope.h"
#include "server/policy/compile_callers.h"
#include "server/policy/engine.h"

namespace tokenbroker {
namespace {

namespace pb = config::v1;

constexpr std::array<Verb, 6> kVerbs = {Verb::kCreate, Verb::kRotate,    Verb::kRead,
                                        Verb::kRevoke, Verb::kReconcile, Verb::kAudit};

absl::Status Bad(const std::string& field, const std::string& what) {
  return Error(absl::StatusCode::kInvalidArgument, "POLICY_INVALID", field + ": " + what).Field(field, what);
}

std::string Item(const std::string& list, int index) { return list + "[" + std::to_string(index) + "]"; }
std::string Quote(std::string_view text) { return "'" + std::string(text) + "'"; }

bool IsName(std::string_view name, std::size_t longest, std::string_view marks) {
  return !name.empty() && name.size() <= longest && std::all_of(name.begin(), name.end(), [&](char each) {
    return (each >= 'a' && each <= 'z') || (each >= '0' && each <= '9') || marks.find(each) != marks.npos;
  });
}

std::optional<std::int64_t> ParseId(std::string_view text) {
  if (text.empty() || !std::all_of(text.begin(), text.end(), [](char each) { return each >= '0' && each <= '9'; })) {
    return std::nullopt;
  }
  std::int64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  return error == std::errc() ? id : 0;  // 0 is nobody's id.
}

bool IsSegment(std::string_view text) { return text.find('/') == text.npos && IsFullPath(text, false); }

class Compiler {
 public:
  Compiler(const pb::Policy& source, std::string version, PolicyOptions options) : source_(source) {
    out_.version = std::move(version);
    out_.options = options;
  }

  absl::StatusOr<CompiledPolicy> Run() && {
    absl::StatusOr<std::vector<CallerRule>> callers = CompileCallers(source_);
    if (!callers.ok()) return callers.status();
    out_.callers = *std::move(callers);
    // A protobuf map has no order; errors and decisions shall have one.
    const std::map<std::string, pb::Role> roles(source_.roles().begin(), source_.roles().end());
    for (const auto& [name, role] : roles) {
      if (absl::Status bad = AddRole(name, role); !bad.ok()) return bad;
    }
    for (int i = 0; i < source_.bindings_size(); ++i) {
      if (absl::Status bad = AddBinding(source_.bindings(i), Item("bindings", i)); !bad.ok()) return bad;
    }
    for (int i = 0; i < source_.denies_size(); ++i) {
      absl::StatusOr<CompiledGrant> deny = CompileRule(source_.denies(i), Item("denies", i), /*is_deny=*/true);
      if (!deny.ok()) return deny.status();
      out_.denies.push_back(*std::move(deny));
    }
    for (const auto& [caller, bound] : bound_) {
      for (const std::string& role : bound) {
        auto& grants = out_.grants[caller];
        grants.insert(grants.end(), roles_[role].begin(), roles_[role].end());
      }
    }
    return std::move(out_);
  }

 private:
  absl::Status AddRole(const std::string& name, const pb::Role& role);
  absl::Status AddBinding(const pb::Binding& binding, const std::string& at);
  absl::StatusOr<CompiledGrant> CompileRule(const pb::Grant& grant, const std::string& at, bool is_deny) const;
  absl::Status CheckScopes(const pb::Grant& grant, const std::string& at, bool is_deny) const;
  static absl::StatusOr<CompiledPattern> CompilePattern(const pb::TargetPattern& pattern, const std::string& at);

  const pb::Policy& source_;
  CompiledPolicy out_;
  std::map<std::string, std::vector<std::shared_ptr<const CompiledGrant>>> roles_;
  std::map<std::string, std::set<std::string>> bound_;  // A caller's roles.
};

absl::Status Compiler::AddRole(const std::string& name, const pb::Role& role) {
  const std::string at = "roles." + name;
  if (name.empty() || name.size() > 64) return Bad(at, "a role's name must have 1 to 64 bytes");
  auto& grants = roles_[name];
  for (int i = 0; i < role.grants_size(); ++i) {
    absl::StatusOr<CompiledGrant> grant = CompileRule(role.grants(i), Item(at + ".grants", i), /*is_deny=*/false);
    if (!grant.ok()) return grant.status();
    grant->role = name;
    grants.push_back(std::make_shared<const CompiledGrant>(*std::move(grant)));
  }
  return absl::OkStatus();
}

absl::Status Compiler::AddBinding(const pb::Binding& binding, const std::string& at) {
  if (binding.callers().empty()) return Bad(at + ".callers", "at least one caller is required");
  if (binding.roles().empty()) return Bad(at + ".roles", "at least one role is required");
  for (int i = 0; i < binding.roles_size(); ++i) {
    if (!roles_.contains(binding.roles(i))) {
      return Bad(Item(at + ".roles", i), "there is no role " + Quote(binding.roles(i)));
    }
  }
  for (int i = 0; i < binding.callers_size(); ++i) {
    const std::string& name = binding.callers(i);
    if (std::none_of(out_.callers.begin(), out_.callers.end(),
                     [&](const auto& each) { return each.name.text() == name; })) {
      return Bad(Item(at + ".callers", i), "there is no caller " + Quote(name));
    }
    bound_[name].insert(binding.roles().begin(), binding.roles().end());
  }
  return absl::OkStatus();
}

absl::Status Compiler::CheckScopes(const pb::Grant& grant, const std::string& at, bool is_deny) const {
  for (int i = 0; i < grant.scopes_size(); ++i) {
    const std::string& scope = grant.scopes(i);
    const std::string here = Item(at + ".scopes", i);
    if (!IsKnownScope(scope)) {
      const std::string_view near = NearestScope(scope);
      return Bad(here, "unknown scope " + Quote(scope) + (near.empty() ? "" : "; did you mean " + Quote(near) + "?"));
    }
    if (is_deny) continue;
    if (IsAdminScope(scope) && !out_.options.allow_admin_targets) {
      return Bad(here, "the scope " + Quote(scope) + " cannot be granted unless the server allows it " +
                           "(danger.allow_admin_targets)");
    }
    if (IsSelfExtending(scope) && !grant.self_extending()) {
      return Bad(here, "with the scope " + Quote(scope) +
                           " a token can extend itself; write 'self_extending: true' beside it if that is meant");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<CompiledPattern> Compiler::CompilePattern(const pb::TargetPattern& pattern, const std::string& at) {
  const int set = (pattern.user() != 0 ? 1 : 0) + (pattern.project().empty() ? 0 : 1) +
                  (pattern.group().empty() ? 0 : 1) + (pattern.service_account().empty() ? 0 : 1);
  if (!pattern.username().empty() && pattern.user() == 0) {
    return Bad(at + ".username", "stands beside user alone; a user is granted by numeric id");
  }
  if (set != 1) return Bad(at, "exactly one of user, project, group and service_account is required");
  CompiledPattern out;
  if (pattern.user() != 0) {
    if (pattern.user() < 0) return Bad(at + ".user", "must be a positive number");
    if (!pattern.username().empty() && !IsSegment(pattern.username())) {
      return Bad(at + ".username", "is not a username; patterns have no place here");
    }
    out.id = pattern.user();
    out.name = LowerCase(pattern.username());
    out.text = "user:" + std::to_string(pattern.user());
    return out;
  }
  if (!pattern.service_account().empty()) {
    const std::string& text = pattern.service_account();
    out.kind = TargetKind::kServiceAccount;
    out.text = "service_account:" + text;
    out.id = ParseId(text);
    const std::size_t colon = text.rfind(':');
    if (out.id.has_value() && *out.id > 0) return out;
    if (out.id.has_value() || colon == std::string::npos || !IsFullPath(text.substr(0, colon), false) ||
        !IsSegment(text.substr(colon + 1))) {
      return Bad(at + ".service_account", "must be 'group/path:username' or a numeric id");
    }
    out.group = LowerCase(text.substr(0, colon));
    out.name = LowerCase(text.substr(colon + 1));
    return out;
  }
  const bool project = !pattern.project().empty();
  const std::string& text = project ? pattern.project() : pattern.group();
  absl::StatusOr<PathPattern> path = PathPattern::Parse(text, project ? 2 : 1);
  if (!path.ok()) return Bad(at + (project ? ".project" : ".group"), std::string(path.status().message()));
  out.kind = project ? TargetKind::kProject : TargetKind::kGroup;
  out.path = *std::move(path);
  out.text = (project ? "project:" : "group:") + text;
  return out;
}

absl::StatusOr<CompiledGrant> Compiler::CompileRule(const pb::Grant& grant, const std::string& at, bool is_deny) const {
  CompiledGrant out;
  out.place = at;
  for (int i = 0; i < grant.verbs_size(); ++i) {
    const auto* const verb =
        std::find_if(kVerbs.begin(), kVerbs.end(), [&](Verb each) { return NameOf(each) == grant.verbs(i); });
    if (verb == kVerbs.end()) {
      return Bad(Item(at + ".verbs", i), "unknown verb " + Quote(grant.verbs(i)) +
                                             "; there are create, rotate, read, revoke, reconcile, audit");
    }
    out.verbs.push_back(*verb);
  }
  if (!grant.instance().empty() && !IsName(grant.instance(), 32, "-")) {
    return Bad(at + ".instance", "must be 1 to 32 characters of [a-z0-9-]");
  }
  out.instance = grant.instance();
  bool needs_level = false;
  for (int i = 0; i < grant.targets_size(); ++i) {
    absl::StatusOr<CompiledPattern> pattern = CompilePattern(grant.targets(i), Item(at + ".targets", i));
    if (!pattern.ok()) return pattern.status();
    needs_level = needs_level || pattern->kind == TargetKind::kProject || pattern->kind == TargetKind::kGroup;
    out.targets.push_back(*std::move(pattern));
  }
  if (absl::Status bad = CheckScopes(grant, at, is_deny); !bad.ok()) return bad;
  out.scopes.assign(grant.scopes().begin(), grant.scopes().end());
  if (is_deny) {
    // A bound in a deny could be read both ways (up to it, or above it), so it is none.
    if (grant.max_access_level() != 0) return Bad(at + ".max_access_level", "has no place in a deny");
    if (!grant.max_ttl().empty()) return Bad(at + ".max_ttl", "has no place in a deny");
    if (grant.self_extending()) return Bad(at + ".self_extending", "has no place in a deny");
    return out;
  }

  if (out.verbs.empty()) return Bad(at + ".verbs", "at least one verb is required");
  const auto is_admin = [](Verb verb) { return verb == Verb::kReconcile || verb == Verb::kAudit; };
  if (std::any_of(out.verbs.begin(), out.verbs.end(), is_admin)) {
    // A target beside them would look as if they ended there.
    if (!std::all_of(out.verbs.begin(), out.verbs.end(), is_admin)) {
      return Bad(at + ".verbs", "reconcile and audit need a grant of their own, without targets");
    }
    if (!out.targets.empty())
      return Bad(at + ".targets", "has no place beside reconcile and audit: they are about all");
    if (!out.scopes.empty()) return Bad(at + ".scopes", "has no place beside reconcile and audit: they are about all");
    return out;
  }
  if (out.targets.empty()) return Bad(at + ".targets", "at least one target is required");
  const bool makes_tokens = std::any_of(out.verbs.begin(), out.verbs.end(),
                                        [](Verb verb) { return verb == Verb::kCreate || verb == Verb::kRotate; });
  if (makes_tokens && out.scopes.empty()) return Bad(at + ".scopes", "at least one scope is required");
  out.max_access_level = grant.max_access_level();
  if (out.max_access_level != 0 && !IsAccessLevel(out.max_access_level)) {
    return Bad(at + ".max_access_level", "must be one of 10, 15, 20, 25, 30, 40 and 50");
  }
  if (makes_tokens && needs_level && out.max_access_level == 0) {
    return Bad(at + ".max_access_level", "is required for projects and groups: 10, 15, 20, 25, 30, 40 or 50");
  }
  if (makes_tokens && grant.max_ttl().empty()) return Bad(at + ".max_ttl", "is required, as in '8h'");
  if (!grant.max_ttl().empty()) {
    out.max_ttl = ParseDuration(grant.max_ttl());
    if (!out.max_ttl.has_value()) return Bad(at + ".max_ttl", "must be a duration, as in '90s', '15m', '8h' or '30d'");
    if (*out.max_ttl < kMinTtl || *out.max_ttl > kMaxTtl) {
      return Bad(at + ".max_ttl", "must be from " + FormatDuration(kMinTtl) + " to " + FormatDuration(kMaxTtl));
    }
  }
  out.self_extending = grant.self_extending();
  return out;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Policy>> Policy::Compile(const pb::Policy& source, std::string version,
                                                              PolicyOptions options) {
  absl::StatusOr<CompiledPolicy> compiled = Compiler(source, std::move(version), options).Run();
  if (!compiled.ok()) return compiled.status();
  return std::make_shared<const Engine>(*std::move(compiled));
}

}  // namespace tokenbroker
