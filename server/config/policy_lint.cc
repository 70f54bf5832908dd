#include "server/config/policy_lint.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/config/not_served.h"
#include "server/domain/scope.h"
#include "server/domain/target.h"

namespace tokenbroker {
namespace {

namespace pb = config::v1;

std::string Item(const std::string& list, int index) { return list + "[" + std::to_string(index) + "]"; }

class Linter {
 public:
  Linter(const pb::Policy& policy, const SourceMap& map, bool names_checked)
      : policy_(policy), map_(map), names_checked_(names_checked) {}

  std::vector<std::string> Run() && {
    for (const auto& [name, role] : std::map(policy_.roles().begin(), policy_.roles().end())) {
      for (int i = 0; i < role.grants_size(); ++i) LintGrant(role.grants(i), Item("roles." + name + ".grants", i));
    }
    for (int i = 0; i < policy_.denies_size(); ++i) {
      LintTargets(policy_.denies(i), Item("denies", i));
      LintDeny(policy_.denies(i), Item("denies", i));
    }
    LintBindings();
    if (!names_checked_) LintNames();
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
    if (grant.self_extending()) {
      Warn(at + ".self_extending", extends ? "a holder of such a token can rotate it and so outlive its ttl; what it "
                                             "makes besides (SSH keys, other tokens) is not bounded by the ttl at all"
                                           : "none of the scopes lets a token extend itself");
    }
    bool makes_tokens = false;
    for (int i = 0; i < grant.verbs_size(); ++i) {
      const std::optional<Verb> verb = ParseVerb(grant.verbs(i));
      makes_tokens = makes_tokens || (verb.has_value() && MakesToken(*verb));
      const std::string problem = verb.has_value() ? VerbNotServed(*verb) : "";
      if (!problem.empty()) Warn(Item(at + ".verbs", i), problem);
    }
    for (int i = 0; i < grant.targets_size(); ++i) {
      const pb::TargetPattern& target = grant.targets(i);
      const std::string here = Item(at + ".targets", i);
      LintCaptures(target, here);
      const TargetKind kind = KindOf(target);
      const std::string problem = makes_tokens ? TargetNotServed(kind) : "";
      if (!problem.empty()) Warn(here, problem);
      if (makes_tokens && (kind == TargetKind::kUser || kind == TargetKind::kServiceAccount) && people_.empty()) {
        people_ = here;
      }
    }
  }

  static TargetKind KindOf(const pb::TargetPattern& target) {
    if (!target.project().empty()) return TargetKind::kProject;
    if (!target.group().empty()) return TargetKind::kGroup;
    return target.service_account().empty() ? TargetKind::kUser : TargetKind::kServiceAccount;
  }

  void LintCaptures(const pb::TargetPattern& target, const std::string& at) {
    const std::string& path = KindOf(target) == TargetKind::kProject ? target.project()
                              : KindOf(target) == TargetKind::kGroup ? target.group()
                                                                     : target.service_account();
    const std::string first = path.substr(0, path.find('/'));
    if (KindOf(target) == TargetKind::kProject && first.starts_with('{') && first.ends_with('}')) {
      Warn(at, "'" + path + "' reaches the personal namespace of a user with the captured name as well");
    }
    std::size_t begin = 0;
    while (begin <= path.size()) {
      const std::size_t end = std::min(path.find_first_of("/:", begin), path.size());
      const std::string segment = path.substr(begin, end - begin);
      if (segment.find('{') != std::string::npos && segment.find('*') != std::string::npos) {
        Warn(at, "'" + segment +
                     "' covers what belongs to other captured names as well: with '{team}-*' the team pay "
                     "reaches pay-roll-x of the team pay-roll");
      }
      begin = end + 1;
    }
  }

  // A deny is matched against a token's own target, and a user's token has its user as target.
  void LintDeny(const pb::Grant& deny, const std::string& at) {
    if (people_.empty()) return;
    for (int i = 0; i < deny.targets_size(); ++i) {
      const TargetKind kind = KindOf(deny.targets(i));
      if (kind != TargetKind::kProject && kind != TargetKind::kGroup) continue;
      Warn(Item(at + ".targets", i),
           "does not bind the tokens of users and service accounts, which reach whatever their user is a member of; " +
               people_ + " (" + map_.Locate(people_) + ") grants such tokens");
    }
  }

  void LintNames() {
    const std::string unchecked = "could not be compared with the server's configuration; give it with --config FILE";
    const auto grant = [&](const pb::Grant& each, const std::string& at) {
      if (!each.instance().empty()) Warn(at + ".instance", "'" + each.instance() + "' " + unchecked);
    };
    for (const auto& [name, role] : std::map(policy_.roles().begin(), policy_.roles().end())) {
      for (int i = 0; i < role.grants_size(); ++i) grant(role.grants(i), Item("roles." + name + ".grants", i));
    }
    for (int i = 0; i < policy_.denies_size(); ++i) grant(policy_.denies(i), Item("denies", i));
    for (int i = 0; i < policy_.callers_size(); ++i) {
      for (int j = 0; j < policy_.callers(i).identities_size(); ++j) {
        const pb::Identity& identity = policy_.callers(i).identities(j);
        const std::string at = Item(Item("callers", i) + ".identities", j) + ".jwt.issuer";
        if (identity.has_jwt()) Warn(at, "'" + identity.jwt().issuer() + "' " + unchecked);
      }
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
  const bool names_checked_;
  std::string people_;  // The first target of a grant that makes tokens of users or service accounts; empty: none.
  std::map<std::string, std::pair<std::string, std::string>> spellings_;  // By kind and lower case: text and place.
  std::vector<std::string> warnings_;
};

}  // namespace

absl::StatusOr<std::vector<std::string>> LintPolicyText(const PolicyText& policy, bool names_checked) {
  pb::Policy source;
  const absl::StatusOr<SourceMap> map = ParsePolicyText(policy, &source);
  if (!map.ok()) return map.status();
  return Linter(source, *map, names_checked).Run();
}

}  // namespace tokenbroker
