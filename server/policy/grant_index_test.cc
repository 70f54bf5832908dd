// Whatever the index leaves out could not have granted: many grants together decide as each of them does alone.

#include "server/policy/grant_index.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/policy/policy.h"

namespace tokenbroker {
namespace {

const std::vector<std::string>& Patterns() {
  static const auto* const kPatterns = new std::vector<std::string>{"project: 'acme/payments'",
                                                                    "project: 'ACME/Pay*'",
                                                                    "project: 'acme/*'",
                                                                    "project: 'acme/teams/**'",
                                                                    "project: 'acme/*/tools'",
                                                                    "project: '*/tools'",
                                                                    "project: 'ac*/payments'",
                                                                    "project: 'acme/teams/a/b'",
                                                                    "group: 'acme'",
                                                                    "group: 'acme/teams/**'",
                                                                    "group: 'acme/teams'",
                                                                    "group: 'ac*'",
                                                                    "user: 42",
                                                                    "user: 43 username: 'dan'",
                                                                    "service_account: 'acme/teams:Bot'",
                                                                    "service_account: '77'",
                                                                    "project: 'other/payments'",
                                                                    "project: 'acme/payments/deep'"};
  return *kPatterns;
}

std::vector<TargetFacts> Targets() {
  std::vector<TargetFacts> targets;
  const auto add = [&targets](TargetKind kind, std::int64_t id, const std::string& path) {
    TargetFacts facts;
    facts.target = {"main", kind, id, path};
    targets.push_back(facts);
  };
  for (const char* path :
       {"acme/payments", "Acme/PAYMENTS", "acme/pay", "acme/tools", "acme/teams/a", "acme/teams/a/b", "acme/x/tools",
        "tools/tools", "x/tools", "acne/payments", "other/payments", "other/x", "acme/payments/deep", "acme/teams"}) {
    add(TargetKind::kProject, 7, path);
  }
  for (const char* path : {"acme", "ACME", "acme/teams", "acme/teams/a", "acne", "other"})
    add(TargetKind::kGroup, 7, path);
  for (const std::int64_t id : {42, 43, 44}) {
    for (const char* name : {"dan", "eve"}) add(TargetKind::kUser, id, name);
  }
  add(TargetKind::kServiceAccount, 77, "acme/teams:bot");
  add(TargetKind::kServiceAccount, 78, "acme/teams:bot");
  add(TargetKind::kServiceAccount, 77, "acme/x:bot");
  add(TargetKind::kServiceAccount, 78, "acme/x:bot");
  return targets;
}

// Grants of all patterns at these positions, to the caller "web".
std::shared_ptr<const Policy> PolicyOf(const std::vector<std::string>& patterns) {
  std::string text =
      "callers { name: 'web' identities { dns: 'web' } } bindings { callers: 'web' roles: 'r' }"
      "roles { key: 'r' value {";
  for (const std::string& pattern : patterns) text += "grants { verbs: 'read' targets { " + pattern + " } }";
  config::v1::Policy source;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text + "} }", &source)) << text;
  const auto compiled = Policy::Compile(source, "v1", {});
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  return compiled.ok() ? *compiled : Policy::DenyAll();
}

TEST(GrantIndexTest, ManyGrantsDecideAsEachDoesAlone) {
  const auto all = PolicyOf(Patterns());
  std::vector<std::shared_ptr<const Policy>> alone;
  for (const std::string& pattern : Patterns()) alone.push_back(PolicyOf({pattern}));
  int granted = 0;
  for (const TargetFacts& facts : Targets()) {
    for (const std::string& ref : {facts.target.path, std::to_string(facts.target.id), std::string("042")}) {
      AccessRequest request;
      request.verb = Verb::kRead;
      request.target = {"main", facts.target.kind, ref};
      const Caller web = {"web", ""};
      bool written = false;
      bool decided = false;
      bool covered = false;
      for (const auto& policy : alone) {
        written |= policy->DecideAsWritten(web, request).status.ok();
        decided |= policy->Decide(web, request, facts).status.ok();
        covered |= policy->CoversAsWritten(web, request);
      }
      EXPECT_EQ(all->DecideAsWritten(web, request).status.ok(), written) << ToText(request.target);
      EXPECT_EQ(all->Decide(web, request, facts).status.ok(), decided) << ToText(facts.target);
      EXPECT_EQ(all->CoversAsWritten(web, request), covered) << ToText(request.target);
      granted += decided ? 1 : 0;
    }
  }
  EXPECT_GT(granted, 40);
}

// Of many grants that cover it, the first decides, wherever it is found.
TEST(GrantIndexTest, TheFirstInOrderDecides) {
  const auto policy =
      PolicyOf({"project: 'other/x'", "project: 'acme/*'", "project: 'acme/payments'", "project: '*/payments'"});
  AccessRequest request;
  request.verb = Verb::kRead;
  request.target = {"main", TargetKind::kProject, "acme/payments"};
  TargetFacts facts;
  facts.target = {"main", TargetKind::kProject, 7, "acme/payments"};
  EXPECT_EQ(policy->Decide({"web", ""}, request, facts).detail, "roles.r.grants[1] covers it");
}

}  // namespace
}  // namespace tokenbroker
