#pragma once
// Testonly: policies and requests out of a seed, over a small world in which rules meet requests often.

#include <random>
#include <string>
#include <vector>

#include "server/policy/policy_for_test.h"

namespace tokenbroker {

// A request and what GitLab says of its target.
struct RandomCase {
  AccessRequest request;
  TargetFacts facts;
};

class RandomPolicies {
 public:
  explicit RandomPolicies(unsigned seed) : random_(seed) {}

  config::v1::Policy Source();
  RandomCase Case();
  std::mt19937& random() { return random_; }

  static const std::vector<std::string>& Scopes();  // Six.
  static WallTime Now();
  // The caller of all requests; its rule is "web", with the capture "team".
  static Caller Web() { return {"web-blue", "spiffe://test/blue", "web", {{"team", "Blue"}}}; }
  static CapturesByCaller Callers() { return {{"web", {"team"}}}; }

 private:
  bool Often(int percent) { return Below(100) < percent; }
  int Below(int end) { return static_cast<int>(random_() % static_cast<unsigned>(end)); }
  template <typename T>
  const T& OneOf(const std::vector<T>& all) {
    return all[static_cast<std::size_t>(Below(static_cast<int>(all.size())))];
  }
  std::vector<std::string> SomeScopes(int percent);
  void FillGrant(config::v1::Grant& grant);
  void FillTarget(config::v1::TargetPattern& target, bool captures);

  std::mt19937 random_;
};

}  // namespace tokenbroker
