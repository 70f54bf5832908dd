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
  std::string name;                 // Lower case: a user's name (may be empty) or a service account's.
  std::optional<PathPattern> path;  // Projects and groups.
  std::string group;                // Lower case: a service account's group, beside its name.
  std::string text;                 // As GetCaller and the log show it: "project:acme/*".
};

struct CompiledGrant {
  std::string place;  // "roles.reader.grants[0]", "denies[2]".
  std::string role;   // Empty in a deny.
  std::vector<Verb> verbs;
  std::string instance;  // Empty: every one.
  std::vector<CompiledPattern> targets;
  std::vector<std::string> scopes;
  int max_access_level = 0;
  std::optional<Duration> max_ttl;
  bool self_extending = false;
};

// What Compile makes of a source.
struct CompiledPolicy {
  std::string version;
  std::vector<CallerRule> callers;
  // By caller, without repetition and in the order of `place`, so that the order of bindings does not matter.
  std::map<std::string, std::vector<std::shared_ptr<const CompiledGrant>>, std::less<>> grants;
  std::vector<CompiledGrant> denies;
  PolicyOptions options;
};

class Engine final : public Policy {
 public:
  explicit Engine(CompiledPolicy compiled);

  const std::string& version() const override { return compiled_.version; }
  const std::vector<CallerRule>& callers() const override { return compiled_.callers; }
  Decision DecideAsWritten(const Caller& caller, const AccessRequest& request) const override;
  Decision Decide(const Caller& caller, const AccessRequest& request, const TargetFacts& facts) const override;
  bool CoversAsWritten(const Caller& caller, const AccessRequest& request) const override;
  Decision DecideAdmin(const Caller& caller, Verb verb) const override;
  std::vector<GrantView> GrantsOf(const Caller& caller) const override;

 private:
  const GrantIndex& GrantsFor(const Caller& caller) const;

  const CompiledPolicy compiled_;
  std::map<std::string, GrantIndex, std::less<>> grants_;  // compiled_.grants, by target.
};

}  // namespace tokenbroker
