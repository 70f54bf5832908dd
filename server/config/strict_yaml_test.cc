// One reading only: what is taken, and each thing that is refused, with its place.
#include "server/config/strict_yaml.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "server/base/error.h"
#include "tokenbroker/config/v1/policy.pb.h"
#include "tokenbroker/config/v1/server_config.pb.h"

namespace tokenbroker {
namespace {

constexpr char kGood[] = R"(# Who may have what.
callers:
  - name: web
    identities: [{spiffe: "spiffe://test/web"}, {dns: web.example}]
roles:
  reader:
    - verbs: [create, 'rotate']
      targets:
        - {user: 42, username: "dan"}
        - project: acme/*
      scopes: [read_api]
      max_access_level: 30
      max_ttl: 8h
      self_extending: true
  empty: []
bindings:
  - callers: [web]
    roles: [reader]
denies: []
)";

TEST(StrictYamlTest, FillsAMessage) {
  config::v1::Policy policy;
  const auto map = ParseStrictYaml("p.yaml", kGood, &policy);
  ASSERT_TRUE(map.ok()) << map.status();
  config::v1::Policy want;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"(callers { name: "web" identities { spiffe: "spiffe://test/web" } identities { dns: "web.example" } }
         roles { key: "reader" value { grants {
           verbs: ["create", "rotate"] targets { user: 42 username: "dan" } targets { project: "acme/*" }
           scopes: "read_api" max_access_level: 30 max_ttl: "8h" self_extending: true } } }
         roles { key: "empty" value {} }
         bindings { callers: "web" roles: "reader" })",
      &want));
  EXPECT_EQ(policy.DebugString(), want.DebugString());
}

TEST(StrictYamlTest, KnowsWhereThingsAre) {
  config::v1::Policy policy;
  const auto map = ParseStrictYaml("p.yaml", kGood, &policy);
  ASSERT_TRUE(map.ok()) << map.status();
  EXPECT_EQ(map->Locate("callers[0].name"), "p.yaml:3:11");
  EXPECT_EQ(map->Locate("callers[0].identities[1].dns"), "p.yaml:4:55");
  EXPECT_EQ(map->Locate("roles.reader"), "p.yaml:6:3");
  EXPECT_EQ(map->Locate("roles.reader.grants[0].targets[1].project"), "p.yaml:10:20");
  EXPECT_EQ(map->Locate("roles.reader.grants[0].verbs[1]"), "p.yaml:7:23");
  // What is not there is at the nearest thing above it.
  EXPECT_EQ(map->Locate("roles.reader.grants[0].instance"), "p.yaml:7:7");
  EXPECT_EQ(map->Locate("bindings[7].callers"), "p.yaml:16:1");
  EXPECT_EQ(map->Locate("nowhere"), "p.yaml:1:1");
}

TEST(StrictYamlTest, AMappingMayStandWhereAListMay) {
  config::v1::Policy policy;
  ASSERT_TRUE(ParseStrictYaml("p.yaml", "roles: {a: {grants: [{verbs: [read]}]}}", &policy).ok());
  EXPECT_EQ(policy.roles().at("a").grants(0).verbs(0), "read");
}

TEST(StrictYamlTest, LocatedKeepsWhatAnErrorCarries) {
  config::v1::Policy policy;
  const auto map = ParseStrictYaml("p.yaml", kGood, &policy);
  ASSERT_TRUE(map.ok()) << map.status();
  const absl::Status bad = Error(absl::StatusCode::kInvalidArgument, "POLICY_INVALID", "callers[0].name: is ugly")
                               .Field("callers[0].name", "is ugly");
  const absl::Status located = Located(bad, *map);
  EXPECT_EQ(located.message(), "p.yaml:3:11: callers[0].name: is ugly");
  EXPECT_EQ(located.code(), bad.code());
  EXPECT_EQ(ReasonOf(located), "POLICY_INVALID");
  EXPECT_EQ(FieldsOf(located), FieldsOf(bad));
  EXPECT_TRUE(Located(absl::OkStatus(), *map).ok());
  EXPECT_EQ(Located(absl::UnknownError("x"), *map), absl::UnknownError("x"));
}

struct Row {
  std::string name;
  std::string text;
  std::string place;
  std::string says;
};

class RefusesTest : public testing::TestWithParam<Row> {};

TEST_P(RefusesTest, WithItsPlace) {
  config::v1::Policy policy;
  const auto map = ParseStrictYaml("p.yaml", GetParam().text, &policy);
  ASSERT_TRUE(absl::IsInvalidArgument(map.status())) << map.status();
  EXPECT_EQ(ReasonOf(map.status()), "CONFIG_INVALID");
  const std::string message(map.status().message());
  EXPECT_TRUE(message.starts_with("p.yaml:" + GetParam().place + ": ")) << message;
  EXPECT_NE(message.find(GetParam().says), std::string::npos) << message;
}

std::string Nested(int levels) { return std::string(levels, '[') + std::string(levels, ']'); }

INSTANTIATE_TEST_SUITE_P(
    Texts, RefusesTest,
    testing::ValuesIn<Row>({
        {"UnknownField", "callers: []\nrolls: {}\n", "2:1", "rolls: unknown field; did you mean 'roles'?"},
        {"UnknownFieldBelow", "denies:\n  - scops: []\n", "2:5",
         "denies[0].scops: unknown field; did you mean 'scopes'?"},
        {"UnknownFieldFar", "something_else: 1\n", "1:1", "unknown field"},
        {"CamelCase", "denies: [{maxTtl: 1h}]", "1:11", "did you mean 'max_ttl'?"},
        {"KeyTwice", "callers: []\nroles: {}\ncallers: []\n", "3:1", "the key 'callers' a second time"},
        {"KeyTwiceQuoted", "callers: []\n\"callers\": []\n", "2:1", "a second time; the first is in line 1"},
        {"KeyTwiceDeep", "denies:\n  - verbs: [read]\n    scopes: []\n    verbs: [audit]\n", "4:5", "'verbs'"},
        {"KeyTwiceFlow", "denies: [{targets: [{user: 1, user: 2}]}]", "1:31", "'user'"},
        {"RoleTwice", "roles:\n  a: []\n  a: []\n", "3:3", "'a' a second time"},
        {"SecondDocument", "callers: []\n---\nroles: {}\n", "2:1", "second document"},
        {"SecondEmptyDocument", "callers: []\n---\n", "2:1", "second document"},
        {"SecondAfterEnd", "callers: []\n...\nroles: {}\n", "3:1", "second document"},
        {"Anchor", "callers: &a []\n", "1:10", "anchors"},
        {"AnchorOnText", "denies: [{instance: &a main}]\n", "1:21", "anchors"},
        {"AnchorOnKey", "&a callers: []\n", "1:1", "anchors"},
        {"Alias", "callers: *a\n", "1:10", ""},
        {"MergeKey", "denies:\n  - <<: {instance: a}\n", "2:5", "merge keys"},
        {"Tag", "denies: [{instance: !!str main}]\n", "1:21", "tags"},
        {"LocalTag", "callers: !list []\n", "1:10", "tags"},
        {"LoneTag", "denies: [{instance: ! main}]\n", "1:21", "tags"},
        {"TagOnRoot", "!!map\ncallers: []\n", "1:1", "tags"},
        {"Directive", "%YAML 1.2\n---\ncallers: []\n", "1:1", "directives"},
        {"Deep", "callers: " + Nested(32), "1:41", "32 levels"},
        {"NotThatDeep", "callers: " + Nested(31), "1:11", "callers[0]: must be a mapping, not a list"},
        {"Octal", "denies: [{targets: [{user: 0123}]}]", "1:28", "plain decimal"},
        {"Hexadecimal", "denies: [{targets: [{user: 0x12}]}]", "1:28", "plain decimal"},
        {"Underscore", "denies: [{targets: [{user: 1_000}]}]", "1:28", "plain decimal"},
        {"Float", "denies: [{targets: [{user: 1.0}]}]", "1:28", "plain decimal"},
        {"Exponent", "denies: [{targets: [{user: 1e3}]}]", "1:28", "plain decimal"},
        {"PlusSign", "denies: [{targets: [{user: +1}]}]", "1:28", "plain decimal"},
        {"MinusZero", "denies: [{targets: [{user: -0}]}]", "1:28", "plain decimal"},
        {"QuotedNumber", "denies: [{targets: [{user: '1'}]}]", "1:28", "plain decimal"},
        {"Name", "denies: [{targets: [{user: root}]}]", "1:28", "plain decimal"},
        {"TooLarge", "denies: [{targets: [{user: 9223372036854775808}]}]", "1:28", "9223372036854775807"},
        {"TooLargeForTheField", "denies: [{max_access_level: 2147483648}]", "1:29", "2147483647"},
        {"Yes", "denies: [{self_extending: yes}]", "1:27", "true or false"},
        {"True", "denies: [{self_extending: True}]", "1:27", "true or false"},
        {"QuotedTrue", "denies: [{self_extending: 'true'}]", "1:27", "true or false"},
        {"One", "denies: [{self_extending: 1}]", "1:27", "true or false"},
        {"Null", "denies: [{instance: null}]", "1:21", "must be a single value, not nothing (null)"},
        {"Tilde", "denies: [{instance: ~}]", "1:21", "null"},
        {"Nothing", "callers: []\nroles:\n", "3:1", "roles: must be a mapping, not nothing (null)"},
        {"NullKey", "~: 1\n", "1:1", "a key is missing"},
        {"ListKey", "? [a]\n: 1\n", "1:3", "a key must be a text"},
        {"TextForList", "denies: [{verbs: read}]", "1:18", "denies[0].verbs: must be a list, not a single value"},
        {"ListForText", "denies: [{instance: [a]}]", "1:21", "must be a single value, not a list"},
        {"MapForText", "denies: [{instance: {a: b}}]", "1:21", "must be a single value, not a mapping"},
        {"TextForMap", "roles: reader", "1:8", "must be a mapping"},
        {"TextForMessage", "denies: [everything]", "1:10", "denies[0]: must be a mapping, not a single value"},
        {"ListForMessageOfSeveralFields", "denies: [[read]]", "1:10", "must be a mapping, not a list"},
        {"ListAsFile", "- callers\n", "1:1", "the file: must be a mapping"},
        {"Empty", "", "1:1", "empty"},
        {"BlanksAndComments", "  \n# nothing\n\n", "1:1", "empty"},
        {"Control", "callers: []\n# \x07\n", "2:3", "control character"},
        {"Nul", std::string("callers: []\0", 12), "1:12", "control character"},
        {"LoneReturn", "callers: []\rroles: {}\n", "1:12", "control character"},
        {"NextLine", "callers: []\xc2\x85", "1:12", "control character"},
        {"LineSeparator", "callers: []\xe2\x80\xa8", "1:12", "control character"},
        {"ByteOrderMark",
         "\xef\xbb\xbf"
         "callers: []",
         "1:1", "control character"},
        {"EscapedControl", "denies: [{instance: \"a\\x07\"}]", "1:21", "control character"},
        {"NotUtf8", "# \xff\n", "1:3", "UTF-8"},
        {"Overlong", "# \xc0\xaf\n", "1:3", "UTF-8"},
        {"CutUtf8", "# \xe2\x82", "1:3", "UTF-8"},
        {"Surrogate", "# \xed\xa0\x80\n", "1:3", "UTF-8"},
        {"OpenList", "callers: [", "1:11", "end of sequence"},
        {"BadIndent", "callers: []\n  roles: {}\n", "2:3", "end of map"},
        {"TooLong", std::string((std::size_t{4} << 20) + 1, '#'), "1:1", "4 MiB"},
    }),
    [](const auto& info) { return info.param.name; });

// Whatever a text is cut down to, it is read as a whole or refused; never does it end the process.
TEST(StrictYamlTest, SurvivesEveryCut) {
  const std::string good = kGood;
  for (std::size_t size = 0; size < good.size(); ++size) {
    config::v1::Policy policy;
    const auto map = ParseStrictYaml("p.yaml", std::string_view(good).substr(0, size), &policy);
    EXPECT_EQ(ReasonOf(map.status()), map.ok() ? "" : "CONFIG_INVALID");
  }
  config::v1::Policy policy;
  EXPECT_FALSE(ParseStrictYaml("p.yaml", "callers: []\nrol", &policy).ok()) << "a text cut in the middle of a key";
}

// A claim is compared as text: "7.0" would match no token whose project_id is 7.
TEST(StrictYamlTest, ATextThatCouldBeANumberNeedsQuotes) {
  const auto parse = [](const std::string& value) {
    config::v1::Policy policy;
    return ParseStrictYaml(
               "p.yaml",
               "callers: [{name: a, identities: [{jwt: {issuer: i, claims: {project_id: " + value + "}}}]}]\n", &policy)
        .status();
  };
  for (const char* const odd :
       {"7.0", "1e3", "0x1f", "0o7", "007", "+7", "1_000", ".5", "-.inf", ".nan", "True", "FALSE"}) {
    const absl::Status status = parse(odd);
    EXPECT_NE(std::string(status.message())
                  .find(std::string("p.yaml:1:73: callers[0].identities[0].jwt.claims.project_id: "
                                    "'") +
                        odd + "' could be a number"),
              std::string::npos)
        << odd << ' ' << status;
  }
  for (const char* const good :
       {"7", "-7", "0", "'7.0'", "\"1e3\"", "true", "v1.0", "1.2.3", "2026-12-31", "7a", "1h30m"}) {
    EXPECT_TRUE(parse(good).ok()) << good << ' ' << parse(good);
  }
}

}  // namespace
}  // namespace tokenbroker
