// From the text's message to what decides. Every rule that a policy can break is checked in the files compile*.cc.

#include <algorithm>
#include <map>
#include <utility>

#include "server/domain/identity_text.h"
#include "server/policy/compile_rules.h"
#include "server/policy/engine.h"
#include "server/policy/policy_fault.h"

namespace tokenbroker {
namespace {

namespace pb = config::v1;

bool IsName(std::string_view name, std::size_t longest, std::string_view marks) {
  return !name.empty() && name.size() <= longest && std::all_of(name.begin(), name.end(), [&](char each) {
    return (each >= 'a' && each <= 'z') || (each >= '0' && each <= '9') || marks.find(each) != marks.npos;
  });
}

class CallerCompiler {
 public:
  absl::StatusOr<std::vector<CallerRule>> Run(const pb::Policy& source) && {
    for (int i = 0; i < source.callers_size(); ++i) {
      if (absl::Status bad = Add(source.callers(i), ItemOf("callers", i)); !bad.ok()) return bad;
    }
    return std::move(out_);
  }

 private:
  absl::Status Add(const pb::CallerRule& caller, const std::string& at);

  std::vector<CallerRule> out_;
  std::map<std::string, std::string> identities_;  // To the caller that has it.
};

absl::Status CallerCompiler::Add(const pb::CallerRule& caller, const std::string& at) {
  if (!IsName(caller.name(), 64, ".-")) return PolicyFault(at + ".name", "must be 1 to 64 characters of [a-z0-9.-]");
  for (const CallerRule& other : out_) {
    if (other.name == caller.name()) return PolicyFault(at + ".name", "a second caller " + InQuotes(caller.name()));
  }
  if (caller.identities().empty()) return PolicyFault(at + ".identities", "at least one identity is required");
  CallerRule rule;
  rule.name = caller.name();
  for (int i = 0; i < caller.identities_size(); ++i) {
    const pb::Identity& identity = caller.identities(i);
    const std::string here = ItemOf(at + ".identities", i);
    if (identity.spiffe().empty() == identity.dns().empty())
      return PolicyFault(here, "exactly one of spiffe and dns is required");
    std::string key;
    if (identity.dns().empty()) {
      if (!IsSpiffeId(identity.spiffe()))
        return PolicyFault(here + ".spiffe", "must have the form spiffe://trust.domain/path");
      key = identity.spiffe();
      rule.spiffe_ids.push_back(key);
    } else {
      const std::string name = LowerCase(identity.dns());
      if (!IsDnsName(name)) return PolicyFault(here + ".dns", "must be a host name without wildcards");
      key = "dns:" + name;
      rule.dns_names.push_back(name);
    }
    const auto [known, is_new] = identities_.emplace(key, caller.name());
    if (!is_new && known->second != caller.name()) {
      return PolicyFault(here, "the caller " + InQuotes(known->second) + " has the same identity " + InQuotes(key));
    }
  }
  out_.push_back(std::move(rule));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Policy>> Policy::Compile(const pb::Policy& source, std::string version,
                                                              PolicyOptions options, const RuleLocator& locate) {
  CompiledPolicy compiled;
  compiled.version = std::move(version);
  compiled.options = options;
  absl::StatusOr<std::vector<CallerRule>> callers = CallerCompiler().Run(source);
  if (!callers.ok()) return callers.status();
  compiled.callers = *std::move(callers);
  if (absl::Status bad = CompileRules(source, CapturesOf(source), locate, compiled); !bad.ok()) return bad;
  return std::make_shared<const Engine>(std::move(compiled));
}

}  // namespace tokenbroker
