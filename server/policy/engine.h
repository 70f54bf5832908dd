#pragma once
// A compiled policy and its decisions. Built by compile.cc alone.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/policy/grant_index.h"
#include "server/policy/path_pattern.h"
#include "server/policy/policy.h"

namespace tokenbroker {

// One target pattern of a grant or a deny.
struct CompiledPattern {
  TargetKind kind = TargetKind::kUser;
  std::optional<std::int64_t> id;   // Users always; service accounts by id.
  std::string name;                 // Lower case: a user's name; may be empty.
  std::optional<PathPattern> path;  // Projects, groups, and service accounts without an id.
  std::string text;                 // As GetCaller and the log show it: "project:acme/*".
};

struct CompiledGrant {
  RuleName rule;
  std::vector<Verb> verbs;
  std::string instance;  // Empty: every one.
  std::vector<CompiledPattern> targets;
  std::vector<std::string> scopes;
  int max_access_level = 0;
  std::optional<Duration> min_ttl, max_ttl;
  bool self_extending = false;
  std::string display_name;  // Empty: any.
  std::map<std::string, std::string> required_labels;
  int max_active = 0;
  int creates_per_minute = 0;
  std::optional<WallTime> not_after;
  std::optional<Duration> max_chain_age;
};

// What is in force, and what only records what it would have done.
struct RuleSet {
  GrantIndex enforced, audited;
};

// What Compile makes of a source.
struct CompiledPolicy {
  std::string version = {};
  std::vector<CallerRule> callers = {};
  // By the name of the caller's rule, without repetition and in the order of places, so that the order of bindings does
  // not matter.
  std::map<std::string, RuleSet, std::less<>> grants = {};
  RuleSet denies = {};
  PolicyOptions options = {};
};

class Engine final : public Policy {
 public:
  explicit Engine(CompiledPolicy compiled) : compiled_(std::move(compiled)) {}

  const std::string& version() const override { return compiled_.version; }
  const std::vector<CallerRule>& callers() const override { return compiled_.callers; }
  Decision DecideAsWritten(const Caller& caller, const AccessRequest& request) const override;
  Decision Decide(const Caller& caller, const AccessRequest& request, const TargetFacts& facts) const override;
  bool CoversAsWritten(const Caller& caller, const AccessRequest& request) const override;
  bool MayReach(const Caller& caller, const AccessRequest& request) const override;
  Decision DecideAdmin(const Caller& caller, Verb verb, WallTime now) const override;
  std::optional<AccessRequest> Closest(const Caller& caller, const AccessRequest& request,
                                       const TargetFacts* facts) const override;
  bool HasVerbAnywhere(const Caller& caller, Verb verb) const override;
  std::vector<GrantView> GrantsOf(const Caller& caller) const override;

 private:
  const RuleSet& GrantsFor(const Caller& caller) const;

  const CompiledPolicy compiled_;
};

}  // namespace tokenbroker
