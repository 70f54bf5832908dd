#include "server/policy/random_policy.h"

#include "server/base/time_text.h"

namespace tokenbroker {

const std::vector<std::string>& RandomPolicies::Scopes() {
  static const auto* const kScopes = new std::vector<std::string>{"api",       "read_api",         "read_repository",
                                                                  "read_user", "write_repository", "self_rotate"};
  return *kScopes;
}

WallTime RandomPolicies::Now() { return *ParseRfc3339("2026-11-25T12:00:00Z"); }

std::vector<std::string> RandomPolicies::SomeScopes(int percent) {
  std::vector<std::string> some;
  for (const std::string& scope : Scopes()) {
    if (Often(percent)) some.push_back(scope);
  }
  if (some.empty()) some.push_back(OneOf(Scopes()));
  return some;
}

void RandomPolicies::FillTarget(config::v1::TargetPattern& target, bool captures) {
  switch (Below(6)) {
    case 0:
      target.set_user(1 + Below(2));
      if (Often(30)) target.set_username("dan");
      return;
    case 1:
      target.set_group(OneOf<std::string>({"acme", captures ? "{team}" : "blue", "ac*"}));
      return;
    case 2:
      target.set_service_account(OneOf<std::string>({"7", "acme:bot", captures ? "{team}:bot" : "blue:bot"}));
      return;
    default:
      target.set_project(OneOf<std::string>({"acme/x", "acme/*", "acme/y*", "acme/team/**", "other/x",
                                             captures ? "{team}/x" : "blue/x", captures ? "{team}/**" : "blue/*",
                                             captures ? "acme/{team}*" : "acme/blue"}));
  }
}

void RandomPolicies::FillGrant(config::v1::Grant& grant) {
  grant.add_verbs(OneOf<std::string>({"create", "create", "create", "create", "rotate"}));
  if (Often(40)) grant.add_verbs(OneOf<std::string>({"create", "rotate", "read"}));
  if (Often(5)) grant.set_instance("second");
  for (int i = 0; i <= Below(3); ++i) FillTarget(*grant.add_targets(), true);
  for (const std::string& scope : SomeScopes(50)) grant.add_scopes(scope);
  grant.set_self_extending(true);
  grant.set_max_access_level(OneOf<int>({15, 20, 30, 40, 50}));
  grant.set_max_ttl(OneOf<std::string>({"30m", "1h", "2h"}));
  if (Often(10)) grant.set_min_ttl(OneOf<std::string>({"5m", "10m"}));
  if (Often(10)) grant.set_display_name("ci-*");
  if (Often(10)) (*grant.mutable_required_labels())["team"] = OneOf<std::string>({"blue", "*"});
  if (Often(20)) {
    grant.set_not_after(OneOf<std::string>({"2026-11-25T11:00:00Z", "2026-11-25T12:45:00Z", "2027-01-01T00:00:00Z"}));
  }
  if (Often(20)) grant.set_max_active(1 + Below(3));
  if (Often(20)) grant.set_creates_per_minute(1 + Below(3));
  if (Often(20)) {
    for (const std::string& verb : grant.verbs()) {
      if (verb == "rotate") grant.set_max_chain_age("1d");
    }
  }
}

config::v1::Policy RandomPolicies::Source() {
  config::v1::Policy source;
  const std::vector<std::string> names = {"a", "b", "c"};
  for (const std::string& name : names) {
    for (int i = 0; i <= 1 + Below(3); ++i) FillGrant(*(*source.mutable_roles())[name].add_grants());
  }
  for (int i = 0; i <= 1 + Below(3); ++i) {
    config::v1::Binding& binding = *source.add_bindings();
    binding.add_callers("web");
    binding.add_roles(OneOf(names));
    if (Often(30)) binding.set_mode("audit");
  }
  for (int i = 0; i < Below(4); ++i) {
    config::v1::Grant& deny = *source.add_denies();
    if (Often(30)) deny.add_verbs(OneOf<std::string>({"create", "rotate"}));
    if (Often(80)) FillTarget(*deny.add_targets(), false);
    if (Often(70)) deny.add_scopes(OneOf(Scopes()));
    if (Often(40)) deny.set_mode("audit");
  }
  return source;
}

RandomCase RandomPolicies::Case() {
  RandomCase out;
  ResolvedTarget& known = out.facts.target;
  known.instance = "main";
  known.kind = OneOf<TargetKind>({TargetKind::kUser, TargetKind::kGroup, TargetKind::kServiceAccount,
                                  TargetKind::kProject, TargetKind::kProject, TargetKind::kProject});
  known.id = 1 + Below(8);
  switch (known.kind) {
    case TargetKind::kUser:
      known.id = 1 + Below(3);
      known.path = OneOf<std::string>({"dan", "eve"});
      out.facts.is_admin = Often(10);
      break;
    case TargetKind::kGroup:
      known.path = OneOf<std::string>({"acme", "Blue", "acne"});
      break;
    case TargetKind::kServiceAccount:
      known.path = OneOf<std::string>({"acme:bot", "blue:Bot", "acme:other"});
      out.facts.bot = true;
      break;
    case TargetKind::kProject:
      known.path = OneOf<std::string>(
          {"acme/x", "ACME/y2", "acme/team/a/b", "blue/x", "Blue/deep/er", "acme/blue-1", "other/x", "other/y"});
  }
  AccessRequest& request = out.request;
  request.verb = Often(80) ? Verb::kCreate : Verb::kRotate;
  request.target = {"main", known.kind, Often(60) ? known.path : std::to_string(known.id)};
  request.scopes = SomeScopes(20);
  const bool level = known.kind == TargetKind::kProject || known.kind == TargetKind::kGroup;
  request.access_level = level ? OneOf<int>({10, 15, 20, 25, 30, 40, 50}) : 0;
  request.ttl = minutes(OneOf<int>({3, 7, 20, 20, 40, 60, 90, 180}));
  request.display_name = OneOf<std::string>({"nightly", "ci-nightly"});
  if (Often(50)) request.labels["team"] = OneOf<std::string>({"blue", "red"});
  if (request.verb == Verb::kRotate) request.chain_age = hours(12 * Below(4));
  request.now = Now();
  return out;
}

}  // namespace tokenbroker
