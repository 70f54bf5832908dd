#include "server/domain/text_pattern.h"

#include <gtest/gtest.h>

#include "server/domain/caller_rule.h"

namespace tokenbroker {
namespace {

constexpr auto kSpiffe = PatternKind::kSpiffe;
constexpr auto kDns = PatternKind::kDns;
constexpr auto kJwt = PatternKind::kJwt;

struct Row {
  PatternKind kind;
  std::string pattern, text;
  std::optional<Captures> want;
};

TEST(TextPatternTest, Matches) {
  const std::vector<Row> rows = {
      {kSpiffe, "spiffe://td/a", "spiffe://td/a", Captures{}},
      {kSpiffe, "spiffe://td/a", "spiffe://td/A", {}},
      {kSpiffe, "spiffe://td/ns/{team}/sa/*", "spiffe://td/ns/blue/sa/deploy", Captures{{"team", "blue"}}},
      {kSpiffe, "spiffe://td/ns/{team}/sa/*", "spiffe://td/ns/blue/sa/a/b", {}},
      {kSpiffe, "spiffe://td/ns/{team}/sa/*", "spiffe://td/ns/blue/sa", {}},
      {kSpiffe, "spiffe://td/ns/{team}/sa/*", "spiffe://other/ns/blue/sa/x", {}},
      {kSpiffe, "spiffe://td/ns/{team}/sa/*", "spiffe://td/ns/.blue/sa/x", {}},
      {kSpiffe, "spiffe://td/ns/{team}/sa/*", "spiffe://td/ns/-blue/sa/x", {}},
      {kSpiffe, "spiffe://td/ns/{team}/sa/*", "spiffe://td/ns/blue./sa/x", {}},
      {kSpiffe, "spiffe://td/ns/{team}/sa/*", "spiffe://td/ns/blue.GIT/sa/x", {}},
      {kSpiffe, "spiffe://td/ns/{team}/sa/*", "spiffe://td/ns/blue.atom/sa/x", {}},
      {kSpiffe, "spiffe://td/ns/{team}/sa/*", "spiffe://td/ns/Bl.u_e-/sa/-x", Captures{{"team", "Bl.u_e-"}}},
      {kSpiffe, "spiffe://td/team-{t}-x", "spiffe://td/team-a-x", Captures{{"t", "a"}}},
      {kSpiffe, "spiffe://td/team-{t}-x", "spiffe://td/team--x", {}},
      {kSpiffe, "spiffe://td/team-{t}-x", "spiffe://td/team-x", {}},
      {kSpiffe, "spiffe://td/pay-*", "spiffe://td/pay-", {}},
      {kSpiffe, "spiffe://td/{a}/{a}", "spiffe://td/x/x", Captures{{"a", "x"}}},
      {kSpiffe, "spiffe://td/{a}/{a}", "spiffe://td/x/y", {}},
      {kDns, "{Host}.example", "", {}},
      {kDns, "HOST.Example", "host.example", Captures{}},
      {kDns, "W{n}.Example", "w7.example", Captures{{"n", "7"}}},
      {kDns, "{n}.example", "a.b.example", {}},
      {kDns, "{n}.example", "example", {}},
      {kJwt, "system:serviceaccount:{ns}:deploy", "system:serviceaccount:blue:deploy", Captures{{"ns", "blue"}}},
      {kJwt, "system:serviceaccount:{ns}:deploy", "system:serviceaccount:a:b:deploy", {}},
      {kJwt, "system:serviceaccount:{ns}:deploy", "system:serviceaccount/a:deploy", {}},
      {kJwt, "project_path:acme/*:ref_type:branch:ref:main", "project_path:acme/x y:ref_type:branch:ref:main",
       Captures{}},
      {kJwt, "project_path:acme/*:ref", "project_path:acme/a/b:ref", {}},
      {kJwt, "*", "a\nb", {}},
      {kJwt, "*", std::string("a\0b", 3), {}},
      {kJwt, "{x}", "a b", {}},
      {kJwt, "{x}", "..", {}},
      {kJwt, "{x}", "{x}", {}},
      {kJwt, "{x}", "*", {}},
  };
  for (const Row& row : rows) {
    const absl::StatusOr<TextPattern> pattern = TextPattern::Parse(row.kind, row.pattern);
    if (row.text.empty()) {
      EXPECT_FALSE(pattern.ok()) << row.pattern;
      continue;
    }
    ASSERT_TRUE(pattern.ok()) << row.pattern << ": " << pattern.status();
    Captures captures;
    EXPECT_EQ(pattern->Matches(row.text, captures), row.want.has_value()) << row.pattern << " and " << row.text;
    if (!row.want.has_value()) continue;
    EXPECT_EQ(captures, *row.want) << row.pattern << " and " << row.text;
  }
}

TEST(TextPatternTest, ACaptureOfBeforeBinds) {
  const TextPattern pattern = *TextPattern::Parse(kJwt, "{team}");
  Captures captures = {{"team", "blue"}};
  EXPECT_TRUE(pattern.Matches("blue", captures));
  EXPECT_FALSE(pattern.Matches("red", captures));
}

TEST(TextPatternTest, RefusesWhatIsNone) {
  for (const char* const bad :
       {"spiffe://{td}/a",   "spiffe://*/a",       "spiffe://td",      "spiffe://td/",   "spiffe://td//{a}",
        "spiffe://td/..",    "spiffe://td/{a}{b}", "spiffe://td/{a}*", "spiffe://td/**", "spiffe://td/{}",
        "spiffe://td/{A}",   "spiffe://td/{1a}",   "spiffe://td/{a",   "spiffe://td/a}", "spiffe://td/{a/b}",
        "spiffe://td/{a}?x", "spiffe://td/%7b",    "{a}://td/x",       "https://td/{a}", ""}) {
    EXPECT_FALSE(TextPattern::Parse(kSpiffe, bad).ok()) << bad;
  }
  for (const char* const bad : {"*.example", "a*.example", "{a}-{b}.example", "{a}.", "-{a}.example", ""}) {
    EXPECT_FALSE(TextPattern::Parse(kDns, bad).ok()) << bad;
  }
  for (const char* const bad : {"", "a\nb", "{a}-{b}", "}{"}) EXPECT_FALSE(TextPattern::Parse(kJwt, bad).ok()) << bad;
  EXPECT_FALSE(TextPattern::Parse(kJwt, std::string(1025, 'a')).ok());
}

TEST(CallerNameTest, MakesNames) {
  const CallerName name = *CallerName::Parse("team-{team}");
  EXPECT_EQ(name.Make({{"team", "blue"}}), "team-blue");
  EXPECT_EQ(name.Make({{"team", std::string(59, 'a')}}), "team-" + std::string(59, 'a'));
  EXPECT_EQ(name.Make({{"team", std::string(60, 'a')}}), std::nullopt);
  EXPECT_EQ(name.Make({{"team", "Blue"}}), std::nullopt);
  EXPECT_EQ(name.Make({{"team", "a_b"}}), std::nullopt);
  EXPECT_EQ(name.Make({{"other", "blue"}}), std::nullopt);
  EXPECT_EQ(CallerName::Parse("payments")->Make({}), "payments");
}

// Else "a-b" and "c" would be whom "a" and "b-c" are.
TEST(CallerNameTest, TwoCapturesMakeOneNameInOneWay) {
  EXPECT_FALSE(CallerName::Parse("{ns}-{account}").ok());
  EXPECT_FALSE(CallerName::Parse("{ns}{account}").ok());
  const CallerName name = *CallerName::Parse("k8s.{ns}.{account}");
  EXPECT_EQ(name.Make({{"ns", "a"}, {"account", "b-c"}}), "k8s.a.b-c");
  EXPECT_EQ(name.Make({{"ns", "a.b"}, {"account", "c"}}), std::nullopt);
  EXPECT_EQ(name.Make({{"ns", "a"}, {"account", "b.c"}}), std::nullopt);
}

TEST(CallerNameTest, RefusesWhatIsNone) {
  for (const char* const bad : {"", "Web", "a_b", "{team", "team}", "}{", "{Team}", "{}", "*", "a/{b}", "{a}/b"}) {
    EXPECT_FALSE(CallerName::Parse(bad).ok()) << bad;
  }
  EXPECT_TRUE(CallerName::Parse(std::string(64, 'a')).ok());
  EXPECT_FALSE(CallerName::Parse(std::string(65, 'a')).ok());
}

TEST(CallerNameTest, SaysWhichMayBeOneName) {
  const auto may_equal = [](const char* a, const char* b) {
    const bool one = CallerName::Parse(a)->MayEqual(*CallerName::Parse(b));
    EXPECT_EQ(one, CallerName::Parse(b)->MayEqual(*CallerName::Parse(a))) << a << ' ' << b;
    return one;
  };
  EXPECT_TRUE(may_equal("web", "web"));
  EXPECT_FALSE(may_equal("web", "web2"));
  EXPECT_TRUE(may_equal("team-{t}", "team-blue"));
  EXPECT_FALSE(may_equal("team-{t}", "team-"));
  EXPECT_FALSE(may_equal("team-{t}", "te"));
  EXPECT_FALSE(may_equal("team-{t}-x", "team-x"));
  EXPECT_TRUE(may_equal("team-{t}", "team-blue-{u}"));
  EXPECT_TRUE(may_equal("{t}", "team-{u}"));
  EXPECT_FALSE(may_equal("team-{t}", "k8s.{u}"));
  EXPECT_FALSE(may_equal("{t}-a", "{t}-b"));
}

}  // namespace
}  // namespace tokenbroker
