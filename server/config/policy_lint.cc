#include "server/config/policy_lint.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/domain/scope.h"
#include "server/domain/target.h"

namespace tokenbroker {
namespace {

namespace pb = config::v1;

std::string Item(const std::string& list, int index) { return list + "[" + std::to_string(index) + "]"; }

class Linter {
 public:
  Linter(const pb::Policy& policy, const SourceMap& map) : policy_(policy), map_(map) {}

  std::vector<std::string> Run() && {
    for (const auto& [name, role] : std::map(policy_.roles().begin(), policy_.roles().end())) {
      for (int i = 0; i < role.grants_size(); ++i) LintGrant(role.grants(i), Item("roles." + name + ".grants", i));
    }
    for (int i = 0; i < policy_.denies_size(); ++i) LintTargets(policy_.denies(i), Item("denies", i));
    LintBindings();
    return std::move(warnings_);
  }

 private:
  void Warn(const std::string& at, const std::string& what) {
    warnings_.push_back(map_.Locate(at) + ": " + at + ": " + what);
  }

  void LintGrant(const pb::Grant& grant, const std::string& at) {
    LintTargets(grant, at);
    const bool extends = std::any_of(grant.scopes().begin(), grant.scopes().end(),
                                     [](const std::string& scope) { return IsSelfExtending(scope); });
    if (grant.self_extending() && !extends) {
      Warn(at + ".self_extending", "none of the scopes lets a token extend itself");
    }
  }

  void LintTargets(const pb::Grant& grant, const std::string& at) {
    for (int i = 0; i < grant.targets_size(); ++i) {
      const pb::TargetPattern& target = grant.targets(i);
      const std::string here = Item(at + ".targets", i);
      for (const auto& [kind, text] : {std::pair("project", target.project()), std::pair("group", target.group()),
                                       std::pair("service_account", target.service_account())}) {
        if (text.empty()) continue;
        const auto [first, is_new] =
            spellings_.emplace(std::string(kind) + ":" + LowerCase(text), std::pair(text, here));
        if (is_new || first->second.first == text) continue;
        Warn(here, "'" + text + "' differs from '" + first->second.first + "' (" + map_.Locate(first->second.second) +
                       ") in the case of letters alone, which GitLab ignores");
      }
    }
  }

  void LintBindings() {
    std::set<std::string> roles, callers;
    std::set<std::pair<std::string, std::string>> bound;
    for (int i = 0; i < policy_.bindings_size(); ++i) {
      const pb::Binding& binding = policy_.bindings(i);
      for (const std::string& role : binding.roles()) {
        roles.insert(role);
        for (const std::string& caller : binding.callers()) {
          callers.insert(caller);
          if (bound.emplace(caller, role).second) continue;
          Warn(Item("bindings", i), absl::StrCat("the caller '", caller, "' has the role '", role, "' already"));
        }
      }
    }
    for (const auto& [name, role] : std::map(policy_.roles().begin(), policy_.roles().end())) {
      if (!roles.contains(name)) Warn("roles." + name, "no binding names this role");
    }
    for (int i = 0; i < policy_.callers_size(); ++i) {
      const std::string& name = policy_.callers(i).name();
      if (!callers.contains(name)) Warn(Item("callers", i), "no binding names the caller '" + name + "'");
    }
  }

  const pb::Policy& policy_;
  const SourceMap& map_;
  std::map<std::string, std::pair<std::string, std::string>> spellings_;  // By kind and lower case: text and place.
  std::vector<std::string> warnings_;
};

}  // namespace

absl::StatusOr<std::vector<std::string>> LintPolicyText(const PolicyText& policy) {
  pb::Policy source;
  const absl::StatusOr<SourceMap> map = ParsePolicyText(policy, &source);
  if (!map.ok()) return map.status();
  return Linter(source, *map).Run();
}

}  // namespace tokenbroker
