#include "server/policy/identity_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>

#include "absl/strings/str_cat.h"
#include "server/policy/compile_callers.h"
#include "server/policy/identity_overlap.h"

namespace tokenbroker {
namespace {

IdentityRule Certificate(PatternKind kind, const std::string& text) {
  IdentityRule rule;
  rule.certificate = *TextPattern::Parse(kind, text);
  return rule;
}

class DrawnIdentities {
 public:
  explicit DrawnIdentities(unsigned seed) : random_(seed) {}

  IdentityRule Draw() {
    IdentityRule rule;
    if (Below(3) != 0) {
      rule = Below(3) == 0 ? Certificate(PatternKind::kDns, Text(".", false))
                           : Certificate(PatternKind::kSpiffe, "spiffe://td/" + Text("/", true));
    }
    if (!rule.certificate.has_value() || Below(3) == 0) {
      rule.jwt.emplace();
      rule.jwt->issuer = Below(2) == 0 ? "https://one" : "https://two";
      if (Below(4) != 0)
        rule.jwt->subject = *TextPattern::Parse(PatternKind::kJwt, Text(Below(2) == 0 ? "/" : ":", true));
      for (const char* const claim : {"p", "q"}) {
        const bool needed = !rule.jwt->subject.has_value() && claim == std::string_view("q");
        if (needed || Below(4) == 0)
          rule.jwt->claims.emplace(claim, *TextPattern::Parse(PatternKind::kJwt, Text("/", true)));
      }
    }
    return rule;
  }

 private:
  unsigned Below(unsigned bound) { return std::uniform_int_distribution<unsigned>(0, bound - 1)(random_); }
  std::string Word() {
    static constexpr const char* kWords[] = {"", "a", "b", "ab", "ba", "aba"};
    return kWords[Below(6)];
  }
  std::string Text(const std::string& separator, bool with_star) {
    std::string text;
    for (unsigned i = 0, segments = 1 + Below(3); i < segments; ++i) {
      if (i > 0) text += separator;
      const unsigned kind = Below(4);
      if (kind == 0) absl::StrAppend(&text, "a", Word());
      if (kind == 1) absl::StrAppend(&text, Word(), with_star ? "*" : "{s}", Word());
      if (kind > 1) absl::StrAppend(&text, Word(), Below(2) == 0 ? "{t}" : "{u}", Word());
    }
    return text;
  }

  std::mt19937 random_;
};

// The comparison of every pair decides what must be found.
TEST(IdentityIndexTest, LosesNoOverlapOfAllPairs) {
  const CallerName left = *CallerName::Parse("a");
  const CallerName right = *CallerName::Parse("b");
  int overlaps = 0;
  int spared = 0;
  for (unsigned seed = 0; seed < 40; ++seed) {
    DrawnIdentities drawn(seed);
    std::vector<IdentityRule> rules;
    for (int i = 0; i < 60; ++i) rules.push_back(drawn.Draw());
    std::vector<const IdentityRule*> pointers;
    for (const IdentityRule& rule : rules) pointers.push_back(&rule);
    IdentityIndex index(pointers);
    for (int i = 0; i < 60; ++i) {
      const std::vector<int> found = index.FindBefore(i);
      ASSERT_TRUE(std::is_sorted(found.begin(), found.end()));
      for (int j = 0; j < i; ++j) {
        const bool is_found = std::binary_search(found.begin(), found.end(), j);
        const auto overlap =
            FindOverlap({left, rules[static_cast<std::size_t>(i)]}, {right, rules[static_cast<std::size_t>(j)]});
        ASSERT_TRUE(is_found || !overlap.has_value())
            << "seed " << seed << ": " << i << " and " << j << ": " << *overlap;
        overlaps += overlap.has_value() ? 1 : 0;
        spared += is_found ? 0 : 1;
      }
    }
  }
  EXPECT_GT(overlaps, 500);
  EXPECT_GT(spared, 10000);
}

// Whatever segment, and whatever end of it, tells thousands of callers apart: the work grows with their number, not
// with its square.
TEST(IdentityIndexTest, ComparesFewPairsOfThousands) {
  constexpr int kCallers = 4096;
  const auto jwt = [](const std::string& sub, const std::string& claim) {
    IdentityRule rule;
    rule.jwt.emplace();
    rule.jwt->issuer = "https://idp";
    if (!sub.empty()) rule.jwt->subject = *TextPattern::Parse(PatternKind::kJwt, sub);
    rule.jwt->claims.emplace("ref_protected", *TextPattern::Parse(PatternKind::kJwt, "true"));
    if (!claim.empty()) rule.jwt->claims.emplace("p", *TextPattern::Parse(PatternKind::kJwt, claim));
    return rule;
  };
  const std::vector<std::pair<const char*, std::function<IdentityRule(const std::string&)>>> kinds = {
      {"last segment",
       [](const auto& n) { return Certificate(PatternKind::kSpiffe, "spiffe://td/ns/{t}/sa/app" + n); }},
      {"middle", [](const auto& n) { return Certificate(PatternKind::kSpiffe, "spiffe://td/{t}/app" + n + "/*"); }},
      {"beginning", [](const auto& n) { return Certificate(PatternKind::kSpiffe, "spiffe://td/app" + n + "-{t}"); }},
      {"end", [](const auto& n) { return Certificate(PatternKind::kSpiffe, "spiffe://td/{t}-app" + n); }},
      {"trust domain", [](const auto& n) { return Certificate(PatternKind::kSpiffe, "spiffe://td" + n + "/{t}"); }},
      {"host", [](const auto& n) { return Certificate(PatternKind::kDns, "{t}.svc" + n + ".example.org"); }},
      {"subject", [&](const auto& n) { return jwt("project_path:{t}/app" + n + ":ref:main", ""); }},
      {"claim", [&](const auto& n) { return jwt("", "{t}/app" + n); }},
      {"claim beside subject", [&](const auto& n) { return jwt("{t}", "app" + n); }},
  };
  for (const auto& [name, make] : kinds) {
    std::vector<IdentityRule> rules;
    for (int i = 0; i < kCallers; ++i) rules.push_back(make(std::to_string(i)));
    std::vector<const IdentityRule*> pointers;
    for (const IdentityRule& rule : rules) pointers.push_back(&rule);
    IdentityIndex index(pointers);
    for (int i = 0; i < kCallers; ++i) EXPECT_EQ(index.FindBefore(i), std::vector<int>()) << name << ' ' << i;
    EXPECT_LE(index.compared_pairs(), 8 * kCallers) << name;
  }
}

// One pair alone must not take long either: equal equations are one, and a length is given up at its first conflict.
TEST(IdentityIndexTest, DecidesAPairOfHundredsOfSegments) {
  std::string left = "spiffe://td";
  std::string right = "spiffe://td";
  for (int i = 0; i < 200; ++i) {
    left += "/{t}a";
    right += "/b{u}";
  }
  const CallerName name = *CallerName::Parse("a");
  const IdentityRule one = Certificate(PatternKind::kSpiffe, left);
  const IdentityRule other = Certificate(PatternKind::kSpiffe, right);
  EXPECT_TRUE(FindOverlap({name, one}, {name, other}).has_value());
  const IdentityRule apart = Certificate(PatternKind::kSpiffe, right.substr(0, right.size() - 5) + "/c{u}");
  EXPECT_FALSE(FindOverlap({name, one}, {name, apart}).has_value());
}

}  // namespace
}  // namespace tokenbroker
