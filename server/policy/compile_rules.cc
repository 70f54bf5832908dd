#include "server/policy/compile_rules.h"

#include <algorithm>
#include <utility>

#include "server/policy/compile_grant.h"
#include "server/policy/policy_fault.h"

namespace tokenbroker {
namespace {

namespace pb = config::v1;

using Grants = GrantIndex::Grants;

// Nothing: it is neither.
std::optional<bool> IsEnforced(const std::string& mode) {
  if (mode.empty() || mode == "enforce") return true;
  if (mode == "audit") return false;
  return std::nullopt;
}

class Compiler {
 public:
  Compiler(const pb::Policy& source, const CapturesByCaller& callers, const RuleLocator& locate, CompiledPolicy& out)
      : source_(source), callers_(callers), locate_(locate), out_(out) {}

  absl::Status Run() {
    // A protobuf map has no order; errors and decisions shall have one.
    const std::map<std::string, pb::Role> roles(source_.roles().begin(), source_.roles().end());
    for (const auto& [name, role] : roles) {
      if (absl::Status bad = AddRole(name, role); !bad.ok()) return bad;
    }
    for (int i = 0; i < source_.bindings_size(); ++i) {
      if (absl::Status bad = AddBinding(source_.bindings(i), ItemOf("bindings", i)); !bad.ok()) return bad;
    }
    if (absl::Status bad = AddDenies(); !bad.ok()) return bad;
    for (const auto& [caller, bound] : bound_) {
      Grants enforced;
      Grants audited;
      for (const auto& [role, is_enforced] : bound) {
        Grants& grants = is_enforced ? enforced : audited;
        grants.insert(grants.end(), roles_[role].begin(), roles_[role].end());
      }
      out_.grants.emplace(caller, RuleSet{GrantIndex(std::move(enforced)), GrantIndex(std::move(audited))});
    }
    return absl::OkStatus();
  }

 private:
  absl::Status AddRole(const std::string& name, const pb::Role& role);
  absl::Status AddBinding(const pb::Binding& binding, const std::string& at);
  absl::Status AddDenies();
  absl::Status CheckCaptures(const std::string& role, const std::string& caller,
                             const std::set<std::string>& known) const;
  std::shared_ptr<const CompiledGrant> Keep(CompiledGrant rule, const std::string& role) const {
    rule.rule.role = role;
    if (locate_ != nullptr) rule.rule.position = locate_(rule.rule.place);
    return std::make_shared<const CompiledGrant>(std::move(rule));
  }

  const pb::Policy& source_;
  const CapturesByCaller& callers_;
  const RuleLocator& locate_;
  CompiledPolicy& out_;
  std::map<std::string, Grants> roles_;
  std::map<std::string, std::map<std::string, bool>> bound_;  // A caller's roles, and whether they are enforced.
};

absl::Status Compiler::AddRole(const std::string& name, const pb::Role& role) {
  const std::string at = "roles." + name;
  if (name.empty() || name.size() > 64) return PolicyFault(at, "a role's name must have 1 to 64 bytes");
  Grants& grants = roles_[name];
  for (int i = 0; i < role.grants_size(); ++i) {
    absl::StatusOr<CompiledGrant> grant = CompileGrant(role.grants(i), ItemOf(at + ".grants", i), out_.options);
    if (!grant.ok()) return grant.status();
    grants.push_back(Keep(*std::move(grant), name));
  }
  return absl::OkStatus();
}

absl::Status Compiler::AddBinding(const pb::Binding& binding, const std::string& at) {
  if (binding.callers().empty()) return PolicyFault(at + ".callers", "at least one caller is required");
  if (binding.roles().empty()) return PolicyFault(at + ".roles", "at least one role is required");
  const std::optional<bool> enforced = IsEnforced(binding.mode());
  if (!enforced.has_value()) return PolicyFault(at + ".mode", "must be 'enforce' or 'audit'");
  for (int i = 0; i < binding.roles_size(); ++i) {
    if (!roles_.contains(binding.roles(i))) {
      return PolicyFault(ItemOf(at + ".roles", i), "there is no role " + InQuotes(binding.roles(i)));
    }
  }
  for (int i = 0; i < binding.callers_size(); ++i) {
    const auto caller = callers_.find(binding.callers(i));
    if (caller == callers_.end()) {
      return PolicyFault(ItemOf(at + ".callers", i), "there is no caller " + InQuotes(binding.callers(i)));
    }
    for (const std::string& role : binding.roles()) {
      if (absl::Status bad = CheckCaptures(role, caller->first, caller->second); !bad.ok()) return bad;
      bool& is_enforced = bound_[caller->first][role];
      is_enforced = is_enforced || *enforced;
    }
  }
  return absl::OkStatus();
}

absl::Status Compiler::CheckCaptures(const std::string& role, const std::string& caller,
                                     const std::set<std::string>& known) const {
  for (const auto& grant : roles_.at(role)) {
    for (std::size_t i = 0; i < grant->targets.size(); ++i) {
      const std::optional<PathPattern>& path = grant->targets[i].path;
      if (!path.has_value()) continue;
      for (const std::string& name : path->CaptureNames()) {
        if (known.contains(name)) continue;
        return PolicyFault(
            ItemOf(grant->rule.place + ".targets", static_cast<int>(i)),
            "uses the capture " + InQuotes(name) + ", which the name of the caller " + InQuotes(caller) +
                " does not have, and the role " + InQuotes(role) +
                " is bound to it: all that match this caller would be one owner of the tokens; write '{" + name +
                "}' into the caller's name");
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Compiler::AddDenies() {
  Grants enforced;
  Grants audited;
  for (int i = 0; i < source_.denies_size(); ++i) {
    const std::string at = ItemOf("denies", i);
    const std::optional<bool> is_enforced = IsEnforced(source_.denies(i).mode());
    if (!is_enforced.has_value()) return PolicyFault(at + ".mode", "must be 'enforce' or 'audit'");
    absl::StatusOr<CompiledGrant> deny = CompileDeny(source_.denies(i), at, out_.options);
    if (!deny.ok()) return deny.status();
    (*is_enforced ? enforced : audited).push_back(Keep(*std::move(deny), ""));
  }
  out_.denies = RuleSet{GrantIndex(std::move(enforced)), GrantIndex(std::move(audited))};
  return absl::OkStatus();
}

}  // namespace

absl::Status CompileRules(const pb::Policy& source, const CapturesByCaller& callers, const RuleLocator& locate,
                          CompiledPolicy& out) {
  return Compiler(source, callers, locate, out).Run();
}

}  // namespace tokenbroker
