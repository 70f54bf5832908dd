// Who may call: what the section may say, and which callers one peer could both be.

#include "server/policy/compile_callers.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "server/base/error.h"
#include "server/policy/identity_overlap.h"

namespace tokenbroker {
namespace {

absl::StatusOr<std::vector<CallerRule>> CompileText(const std::string& text) {
  config::v1::Policy source;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &source)) << text;
  return CompileCallers(source);
}

std::string Caller(const std::string& name, const std::string& identity) {
  return "callers { name: '" + name + "' identities { " + identity + " } } ";
}
std::string Spiffe(const std::string& path) { return "spiffe: 'spiffe://td/" + path + "'"; }
std::string Jwt(const std::string& rest) { return "jwt { issuer: 'https://idp' " + rest + " }"; }

struct Fault {
  std::string name, source, field, says;
};

class CallersFaultTest : public testing::TestWithParam<Fault> {};

TEST_P(CallersFaultTest, IsRefusedWithItsField) {
  const auto compiled = CompileText(GetParam().source);
  ASSERT_TRUE(absl::IsInvalidArgument(compiled.status())) << compiled.status();
  const std::vector<FieldViolation> fields = FieldsOf(compiled.status());
  ASSERT_EQ(fields.size(), 1u);
  EXPECT_EQ(fields[0].field, GetParam().field);
  EXPECT_NE(fields[0].description.find(GetParam().says), std::string::npos) << fields[0].description;
}

const std::string kTeam = Caller("team-{team}", Spiffe("ns/{team}/sa/*"));

INSTANTIATE_TEST_SUITE_P(
    Faults, CallersFaultTest,
    testing::ValuesIn<Fault>({
        {"Nothing", Caller("a", ""), "callers[0].identities[0]", "at least one of spiffe, dns and jwt"},
        {"TwoCertificates", Caller("a", "dns: 'a' spiffe: 'spiffe://a/b'"), "callers[0].identities[0]", "one alone"},
        {"Uncaught", Caller("team-{team}", Spiffe("ns/{t}")), "callers[0].identities[0]", "'{team}'"},
        {"UncaughtInSecond", "callers { name: '{t}' identities { " + Spiffe("{t}") + " } identities { dns: 'a.b' } }",
         "callers[0].identities[1]", "'{t}'"},
        {"BadName", Caller("Team-{t}", Spiffe("{t}")), "callers[0].name", "[a-z0-9.-]"},
        {"AmbiguousName", Caller("{a}-{b}", Spiffe("{a}/{b}")), "callers[0].name", "a '.' between"},
        {"TrustDomain", Caller("a", "spiffe: 'spiffe://{td}/a'"), "callers[0].identities[0].spiffe", "spiffe://trust"},
        {"TwoInASegment", Caller("a", Spiffe("{a}-{b}")), "callers[0].identities[0].spiffe", "one '*' at most"},
        {"NoIssuer", Caller("a", "jwt { sub: 'x' }"), "callers[0].identities[0].jwt.issuer", "required"},
        {"IssuerAlone", Caller("a", Jwt("")), "callers[0].identities[0].jwt", "sub or a claim"},
        {"AudienceClaim", Caller("a", Jwt("claims { key: 'aud' value: 'x' }")),
         "callers[0].identities[0].jwt.claims.aud", "no claim to compare"},
        {"ClaimPattern", Caller("a", Jwt("claims { key: 'ref' value: '{' }")),
         "callers[0].identities[0].jwt.claims.ref", "a capture is"},
        {"SameName", Caller("a", "dns: 'x'") + Caller("a", "dns: 'y'"), "callers[1].name", "second caller 'a'"},
        {"NameInTemplate", kTeam + Caller("team-blue", "dns: 'x'"), "callers[1].name", "'team-{team}'"},
        {"TemplateOverName", Caller("team-blue", "dns: 'x'") + kTeam, "callers[1].name", "'team-blue'"},
        {"EqualLiterals", Caller("a", Spiffe("x")) + Caller("b", Spiffe("x")), "callers[1].identities[0]",
         "'a' has an identity that matches the same: 'spiffe://td/x'"},
        {"EqualPatterns", Caller("a", Spiffe("ns/{x}")) + Caller("b", Spiffe("ns/{y}")), "callers[1].identities[0]",
         "'spiffe://td/ns/x'"},
        {"LiteralInPattern", Caller("a", Spiffe("ns/blue/sa/x")) + kTeam, "callers[1].identities[0]",
         "'spiffe://td/ns/blue/sa/x'"},
        {"PatternOverLiteral", kTeam + Caller("a", Spiffe("ns/blue/sa/x")), "callers[1].identities[0]",
         "'team-{team}'"},
        {"Overlap", Caller("a", Spiffe("pay-*")) + Caller("b", Spiffe("*-prod")), "callers[1].identities[0]",
         "'spiffe://td/pay-"},
        {"Dns", Caller("a", "dns: 'web-{n}.example'") + Caller("b", "dns: 'WEB-1.example'"), "callers[1].identities[0]",
         "'dns:web-1.example'"},
        {"JwtSubject",
         Caller("a", Jwt("sub: 'system:serviceaccount:{ns}:x'")) +
             Caller("b", Jwt("sub: 'system:serviceaccount:blue:x' claims { key: 'k' value: 'v' }")),
         "callers[1].identities[0]", "'sub system:serviceaccount:blue:x'"},
        {"FewerDemands", Caller("a", Spiffe("x") + Jwt("sub: 's'")) + Caller("b", Spiffe("x")),
         "callers[1].identities[0]", "'spiffe://td/x'"},
        {"TokenAlone", Caller("a", Spiffe("x") + Jwt("sub: 's'")) + Caller("b", Jwt("sub: 's'")),
         "callers[1].identities[0]", "'sub s'"},
        {"Claims",
         Caller("a", Jwt("claims { key: 'p' value: 'acme/*' } claims { key: 'q' value: '1' }")) +
             Caller("b", Jwt("claims { key: 'p' value: 'acme/x' } claims { key: 'r' value: '2' }")),
         "callers[1].identities[0]", "'p acme/x'"},
    }),
    [](const auto& info) { return info.param.name; });

TEST(CompileCallersTest, TakesWhatCanBeToldApart) {
  for (const std::string& good : {
           kTeam + Caller("ops", Spiffe("ns/Blue/sa/x")),  // The name would be none.
           kTeam + Caller("ops", Spiffe("ns/blue/sa")),    // Shorter.
           kTeam + Caller("ops", "spiffe: 'spiffe://other/ns/blue/sa/x'"),
           Caller("a", Spiffe("ns/{t}/{t}")) + Caller("b", Spiffe("ns/a-*/b-*")),
           Caller("a", Spiffe("x/{t}")) + Caller("b", Spiffe("x/-*")),  // No capture begins so.
           Caller("a", Spiffe("x/{t}")) + Caller("b", Spiffe("x/*.git")),
           Caller("a", Spiffe("x")) + Caller("b", "dns: 'x.td'"),
           Caller("a", Spiffe("x") + Jwt("sub: 's'")) + Caller("b", Spiffe("x") + Jwt("sub: 't'")),
           Caller("a", Jwt("sub: 's'")) + Caller("b", "jwt { issuer: 'https://idp/' sub: 's' }"),
           Caller("a", Jwt("sub: 'a:*'")) + Caller("b", Jwt("sub: 'a/b'")),
           Caller("a", Jwt("claims { key: 'p' value: 'x' }")) + Caller("b", Jwt("claims { key: 'q' value: 'x' }")),
           std::string("callers { name: 'a' identities { dns: 'h' } identities { dns: '{n}' } }"),
       }) {
    const auto compiled = CompileText(good);
    EXPECT_TRUE(compiled.ok()) << good << compiled.status();
  }
}

TEST(CompileCallersTest, TheCapturesOfACallerAreThoseOfItsName) {
  const auto callers = CompileText(R"(
    callers { name: "a.{team}.{env}" identities { spiffe: "spiffe://td/{team}/{env}/x" }
              identities { dns: "{env}.{team}.x" } }
    callers { name: "b" identities { spiffe: "spiffe://td/{team}" } identities { dns: "x" } }
    callers { name: "c" identities { jwt { issuer: "i" sub: "{a}" claims { key: "{k}" value: "{b}" } } } })");
  ASSERT_TRUE(callers.ok()) << callers.status();
  const std::map<std::string, std::set<std::string>> expected = {
      {"a.{team}.{env}", {"team", "env"}}, {"b", {}}, {"c", {}}};
  EXPECT_EQ(CapturesOf(*callers), expected);
}

TEST(CompileCallersTest, BoundsWhatIsComparedWithAll) {
  config::v1::Policy source;
  for (int i = 0; i < 4096; ++i) {
    config::v1::CallerRule& caller = *source.add_callers();
    caller.set_name("caller" + std::to_string(i));
    config::v1::JwtIdentity& jwt = *caller.add_identities()->mutable_jwt();
    jwt.set_issuer("https://idp/" + std::to_string(i));
    (*jwt.mutable_claims())["k"] = "v";
  }
  config::v1::CallerRule& last = *source.add_callers();
  last.set_name("last");
  last.add_identities()->set_spiffe("spiffe://td/{x}");
  const absl::Status status = CompileCallers(source).status();
  EXPECT_EQ(FieldsOf(status).at(0).field, "callers[4096].identities[0]") << status;
}

// Every text of up to six characters of a small alphabet, in two segments: an overlap is found exactly where there is a
// text that both match. The alphabet has all that the rules tell apart.
TEST(IdentityOverlapTest, FindsWhatBruteForceFinds) {
  std::vector<std::string> pieces;
  for (const std::string before : {"", "a", "ab", "-"}) {
    for (const std::string after : {"", "a", "ba"}) {
      for (const std::string place : {"{t}", "*"}) pieces.push_back(absl::StrCat(before, place, after));
    }
  }
  for (const char* const literal : {"a", "ab", "aba", "abba"}) pieces.emplace_back(literal);
  std::vector<std::string> words = {""};
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i].size() == 6) break;
    for (const char each : {'a', 'b', '-'}) words.push_back(words[i] + each);
  }
  const auto identity = [](const std::string& path) {
    IdentityRule rule;
    rule.certificate = *TextPattern::Parse(PatternKind::kSpiffe, "spiffe://td/" + path);
    return rule;
  };
  const CallerName name = *CallerName::Parse("a");
  // What each piece matches alone; with a capture, what it caught.
  std::vector<std::map<std::string, std::string>> matched(pieces.size());
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const TextPattern pattern = *identity(pieces[i]).certificate;
    for (const std::string& word : words) {
      Captures captures;
      if (pattern.Matches("spiffe://td/" + word, captures)) {
        matched[i].emplace(word, captures.empty() ? "" : captures.at("t"));
      }
    }
  }
  const auto agree = [](const std::string& one, const std::string& other) {
    return one.empty() || other.empty() || one == other;
  };
  int overlaps = 0;
  int apart = 0;
  const std::size_t step = 61;  // Of all quadruples, some.
  for (std::size_t a = 0; a < pieces.size(); ++a) {
    for (std::size_t b = 0; b < pieces.size(); ++b) {
      for (std::size_t c = a; c < pieces.size(); ++c) {
        for (std::size_t d = (a + b + c) % step; d < pieces.size(); d += step) {
          // Texts that both match in the first segment, by what they catch; then the same in the second.
          std::set<std::pair<std::string, std::string>> first;
          for (const auto& [word, caught] : matched[a]) {
            const auto other = matched[c].find(word);
            if (other != matched[c].end()) first.emplace(caught, other->second);
          }
          bool expected = false;
          for (const auto& [word, caught] : matched[b]) {
            if (expected) break;
            const auto other = matched[d].find(word);
            if (other == matched[d].end()) continue;
            expected = std::any_of(first.begin(), first.end(), [&, &by_first = caught](const auto& pair) {
              return agree(pair.first, by_first) && agree(pair.second, other->second);
            });
          }
          const IdentityRule left = identity(pieces[a] + "/" + pieces[b]);
          const IdentityRule right = identity(pieces[c] + "/" + pieces[d]);
          const std::optional<std::string> found = FindOverlap({name, left}, {name, right});
          ASSERT_GE(found.has_value(), expected) << left.certificate->text() << ' ' << right.certificate->text();
          if (found.has_value()) {
            // It is its own proof.
            Captures caught;
            EXPECT_TRUE(left.certificate->Matches(*found, caught)) << left.certificate->text() << ' ' << *found;
            caught.clear();
            EXPECT_TRUE(right.certificate->Matches(*found, caught)) << right.certificate->text() << ' ' << *found;
          }
          ++(found.has_value() ? overlaps : apart);
        }
      }
    }
  }
  EXPECT_GT(overlaps, 1000);
  EXPECT_GT(apart, 1000);
}

}  // namespace
}  // namespace tokenbroker
