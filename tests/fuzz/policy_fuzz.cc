// A policy file: every text has one reading or an error with a place, and what compiles decides without harm.

#include <cstddef>
#include <cstdint>
#include <string>

#include "server/base/error.h"
#include "server/config/strict_yaml.h"
#include "server/policy/policy.h"
#include "tests/fuzz/check.h"
#include "tokenbroker/config/v1/policy.pb.h"

namespace tokenbroker {
namespace {

using fuzz::Check;

void Decide(const Policy& policy) {
  AccessRequest request;
  request.target = {"main", TargetKind::kProject, "acme/payments"};
  request.scopes = {"read_api"};
  request.access_level = 20;
  request.ttl = hours(1);
  TargetFacts facts;
  facts.target = {"main", TargetKind::kProject, 7, "acme/payments"};
  for (const CallerRule& rule : policy.callers()) {
    Caller caller;
    caller.name = rule.name.text();
    const Decision decision = policy.Decide(caller, request, facts);
    if (!decision.status.ok()) continue;
    Check(policy.DecideAsWritten(caller, request).status.ok(), "what is granted is not refused as written");
    AccessRequest less = request;
    less.ttl = minutes(10);
    (void)policy.Decide(caller, less, facts);
  }
}

void Read(const std::string& text) {
  config::v1::Policy source;
  const absl::StatusOr<SourceMap> map = ParseStrictYaml("policy.yaml", text, &source);
  if (!map.ok()) {
    Check(std::string(map.status().message()).starts_with("policy.yaml:"), "an error has its place");
    Check(ReasonOf(map.status()) == "CONFIG_INVALID", "an error has its reason");
    return;
  }
  const auto policy = Policy::Compile(source, "fuzz", {});
  if (policy.ok()) return Decide(**policy);
  Check(!FieldsOf(policy.status()).empty(), "a fault names its field");
  Check(std::string(Located(policy.status(), *map).message()).starts_with("policy.yaml:"), "a fault has its place");
}

}  // namespace
}  // namespace tokenbroker

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tokenbroker::Read(std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}
