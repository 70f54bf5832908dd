// What a policy may say: one rule broken at a time.

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "server/base/error.h"
#include "server/policy/policy.h"

namespace tokenbroker {
namespace {

// Each piece is a part of the text format; a test replaces one.
struct Source {
  std::string callers = R"(callers { name: "web" identities { spiffe: "spiffe://test/web" } })";
  std::string grant =
      R"(verbs: "create" targets { project: "acme/payments" } scopes: ["api", "read_api"] self_extending: true
         max_access_level: 30 max_ttl: "8h")";
  std::string bindings = R"(bindings { callers: "web" roles: "reader" })";
  std::string denies;

  std::string Text() const {
    return callers + "\nroles { key: 'reader' value { grants { " + grant + " } } }\n" + bindings + "\n" + denies;
  }
};

absl::StatusOr<std::shared_ptr<const Policy>> CompileText(const std::string& text, PolicyOptions options = {}) {
  config::v1::Policy source;
  if (!google::protobuf::TextFormat::ParseFromString(text, &source)) return absl::InternalError("not a text: " + text);
  return Policy::Compile(source, "v1", options);
}

struct Fault {
  std::string name;
  void (*spoil)(Source&);
  std::string field;
  std::string says;
};

class CompileTest : public testing::TestWithParam<Fault> {};

TEST_P(CompileTest, RefusesWithFieldAndRule) {
  Source source;
  GetParam().spoil(source);
  const auto compiled = CompileText(source.Text());
  ASSERT_TRUE(absl::IsInvalidArgument(compiled.status())) << compiled.status();
  EXPECT_EQ(ReasonOf(compiled.status()), "POLICY_INVALID");
  const std::vector<FieldViolation> fields = FieldsOf(compiled.status());
  ASSERT_EQ(fields.size(), 1u);
  EXPECT_EQ(fields[0].field, GetParam().field);
  EXPECT_NE(fields[0].description.find(GetParam().says), std::string::npos) << fields[0].description;
  EXPECT_EQ(std::string(compiled.status().message()), fields[0].field + ": " + fields[0].description);
}

const char* const kGrant = "roles.reader.grants[0]";
std::string At(const std::string& rest) { return kGrant + rest; }

void Target(Source& s, const std::string& pattern) { s.grant = "verbs: 'read' targets { " + pattern + " }"; }
INSTANTIATE_TEST_SUITE_P(
    Faults, CompileTest,
    testing::ValuesIn<Fault>({
        {"CallerName", [](Source& s) { s.callers = "callers { name: 'Web' identities { dns: 'a' } }"; },
         "callers[0].name", "[a-z0-9.-]"},
        {"CallerTwice", [](Source& s) { s.callers += "callers { name: 'web' identities { dns: 'a' } }"; },
         "callers[1].name", "second caller 'web'"},
        {"NoIdentity", [](Source& s) { s.callers = "callers { name: 'web' }"; }, "callers[0].identities", "required"},
        {"SameIdentity",
         [](Source& s) {
           s.callers +=
               "callers { name: 'a' identities { dns: 'HOST.x' } } callers { name: 'b' identities { dns: "
               "'host.X' } }";
         },
         "callers[2].identities[0]", "the caller 'a' has an identity that matches the same: 'dns:host.x'"},
        {"NoRole", [](Source& s) { s.bindings = "bindings { callers: 'web' roles: 'writer' }"; },
         "bindings[0].roles[0]", "no role 'writer'"},
        {"NoCaller", [](Source& s) { s.bindings = "bindings { callers: ['web', 'app'] roles: 'reader' }"; },
         "bindings[0].callers[1]", "no caller 'app'"},
        {"EmptyBinding", [](Source& s) { s.bindings = "bindings { callers: 'web' }"; }, "bindings[0].roles",
         "required"},
        {"Verb", [](Source& s) { s.grant = "verbs: '*'"; }, At(".verbs[0]"), "unknown verb '*'"},
        {"NoVerb", [](Source& s) { s.grant = "targets { user: 1 }"; }, At(".verbs"), "required"},
        {"NoTarget", [](Source& s) { s.grant = "verbs: 'read'"; }, At(".targets"), "required"},
        {"Scope", [](Source& s) { s.grant = "verbs: 'create' scopes: ['read_user', 'read_apy']"; }, At(".scopes[1]"),
         "unknown scope 'read_apy'; did you mean 'read_api'?"},
        {"AdminScope", [](Source& s) { s.grant = "verbs: 'create' scopes: 'sudo'"; }, At(".scopes[0]"),
         "danger.allow_admin_targets"},
        {"SelfExtending", [](Source& s) { s.grant = "verbs: 'create' scopes: 'self_rotate'"; }, At(".scopes[0]"),
         "self_extending: true"},
        {"NoScopes", [](Source& s) { s.grant = "verbs: 'rotate' targets { user: 1 } max_ttl: '1h'"; }, At(".scopes"),
         "required"},
        {"LevelUnknown", [](Source& s) { s.grant = "verbs: 'read' targets { user: 1 } max_access_level: 31"; },
         At(".max_access_level"), "must be one of"},
        {"LevelMissing",
         [](Source& s) { s.grant = "verbs: 'create' targets { group: 'a' } scopes: 'read_api' max_ttl: '1h'"; },
         At(".max_access_level"), "required"},
        {"TtlMissing", [](Source& s) { s.grant = "verbs: 'create' targets { user: 1 } scopes: 'read_api'"; },
         At(".max_ttl"), "required"},
        {"TtlWithoutUnit", [](Source& s) { s.grant = "verbs: 'read' targets { user: 1 } max_ttl: '3600'"; },
         At(".max_ttl"), "duration"},
        {"TtlShort", [](Source& s) { s.grant = "verbs: 'read' targets { user: 1 } max_ttl: '59s'"; }, At(".max_ttl"),
         "from"},
        {"TtlLong", [](Source& s) { s.grant = "verbs: 'read' targets { user: 1 } max_ttl: '401d'"; }, At(".max_ttl"),
         "400d"},
        {"UsernameAlone", [](Source& s) { Target(s, "username: 'root'"); }, At(".targets[0].username"), "numeric id"},
        {"UsernamePattern", [](Source& s) { Target(s, "user: 1 username: 'ro*'"); }, At(".targets[0].username"),
         "not a username"},
        {"UserNegative", [](Source& s) { Target(s, "user: -1"); }, At(".targets[0].user"), "positive"},
        {"TwoTargets", [](Source& s) { Target(s, "user: 1 group: 'a'"); }, At(".targets[0]"), "exactly one"},
        {"EmptyTarget", [](Source& s) { Target(s, ""); }, At(".targets[0]"), "exactly one"},
        {"ProjectOneSegment", [](Source& s) { Target(s, "project: 'acme'"); }, At(".targets[0].project"),
         "two segments"},
        {"ProjectDigits", [](Source& s) { Target(s, "group: '42'"); }, At(".targets[0].group"), "id"},
        {"ProjectSlash", [](Source& s) { Target(s, "project: 'acme/x/'"); }, At(".targets[0].project"), "full path"},
        {"ProjectGit", [](Source& s) { Target(s, "project: 'acme/x.git'"); }, At(".targets[0].project"), "full path"},
        {"StarsAlone", [](Source& s) { Target(s, "project: '**'"); }, At(".targets[0].project"), "last segment"},
        {"StarsInside", [](Source& s) { Target(s, "project: 'a/**/b'"); }, At(".targets[0].project"), "last segment"},
        {"StarsShallow", [](Source& s) { Target(s, "project: 'acme/**'"); }, At(".targets[0].project"), "two segments"},
        {"StarsBelowStar", [](Source& s) { Target(s, "project: 'acme/*/**'"); }, At(".targets[0].project"),
         "two segments"},
        {"Account", [](Source& s) { Target(s, "service_account: 'bot'"); }, At(".targets[0].service_account"),
         "group/path:username"},
        {"AccountZero", [](Source& s) { Target(s, "service_account: '0'"); }, At(".targets[0].service_account"),
         "numeric id"},
        {"Instance", [](Source& s) { s.grant = "verbs: 'read' targets { user: 1 } instance: 'Main'"; }, At(".instance"),
         "[a-z0-9-]"},
        {"AuditAndMore", [](Source& s) { s.grant = "verbs: 'audit' verbs: 'read' targets { user: 1 }"; }, At(".verbs"),
         "a grant of their own"},
        {"AuditTargets", [](Source& s) { s.grant = "verbs: 'reconcile' targets { user: 1 }"; }, At(".targets"),
         "no place"},
        {"AuditScopes", [](Source& s) { s.grant = "verbs: 'audit' scopes: 'read_api'"; }, At(".scopes"), "no place"},
        {"DenyScope", [](Source& s) { s.denies = "denies { scopes: 'apy' }"; }, "denies[0].scopes[0]", "'api'"},
        {"DenyTtl", [](Source& s) { s.denies = "denies { max_ttl: '1h' }"; }, "denies[0].max_ttl", "no place"},
        {"MinTtlAboveMax", [](Source& s) { s.grant += " min_ttl: '9h'"; }, At(".min_ttl"), "longer than max_ttl"},
        {"MinTtlWithoutUnit", [](Source& s) { s.grant += " min_ttl: '60'"; }, At(".min_ttl"), "duration"},
        {"DisplayNameCapture", [](Source& s) { s.grant += " display_name: '{team}-*'"; }, At(".display_name"),
         "captures stand in targets"},
        {"DisplayNameControl", [](Source& s) { s.grant += " display_name: 'a\\n'"; }, At(".display_name"), "control"},
        {"DisplayNameLong", [](Source& s) { s.grant += " display_name: '" + std::string(81, 'a') + "'"; },
         At(".display_name"), "80"},
        {"LabelKey", [](Source& s) { s.grant += " required_labels { key: 'Team' value: 'x' }"; },
         At(".required_labels"), "'Team'"},
        {"LabelValue", [](Source& s) { s.grant += " required_labels { key: 'team' value: 'x}' }"; },
         At(".required_labels.team"), "'}'"},
        {"MaxActiveZero", [](Source& s) { s.grant += " max_active: 0"; }, At(".max_active"), "from 1"},
        {"CreatesNegative", [](Source& s) { s.grant += " creates_per_minute: -1"; }, At(".creates_per_minute"),
         "from 1"},
        {"NotAfterWithoutZone", [](Source& s) { s.grant += " not_after: '2026-12-01T00:00:00'"; }, At(".not_after"),
         "with a zone"},
        {"NotAfterDate", [](Source& s) { s.grant += " not_after: '2026-12-01'"; }, At(".not_after"), "with a zone"},
        {"ChainAgeWithoutRotate", [](Source& s) { s.grant += " max_chain_age: '1d'"; }, At(".max_chain_age"),
         "without the verb rotate"},
        {"ChainAge", [](Source& s) { s.grant += " verbs: 'rotate' max_chain_age: '1'"; }, At(".max_chain_age"),
         "duration"},
        {"BoundsOfReading", [](Source& s) { s.grant = "verbs: 'read' targets { user: 1 } max_active: 3"; },
         At(".max_active"), "without the verbs"},
        {"GrantMode", [](Source& s) { s.grant += " mode: 'audit'"; }, At(".mode"), "binding"},
        {"BindingMode", [](Source& s) { s.bindings = "bindings { callers: 'web' roles: 'reader' mode: 'dry' }"; },
         "bindings[0].mode", "'enforce' or 'audit'"},
        {"DenyMode", [](Source& s) { s.denies = "denies { mode: 'off' }"; }, "denies[0].mode", "'enforce' or 'audit'"},
        {"DenyNotAfter", [](Source& s) { s.denies = "denies { not_after: '2026-12-01T00:00:00Z' }"; },
         "denies[0].not_after", "no place"},
        {"DenyMaxActive", [](Source& s) { s.denies = "denies { max_active: 1 }"; }, "denies[0].max_active", "no place"},
        {"DenyCapture", [](Source& s) { s.denies = "denies { targets { user: 1 } targets { group: '{team}' } }"; },
         "denies[0].targets[1]", "captures have no place"},
        {"CaptureUnknown", [](Source& s) { Target(s, "project: '{team}/x'"); }, At(".targets[0]"), "'team'"},
        {"CaptureName", [](Source& s) { Target(s, "project: '{Team}/x'"); }, At(".targets[0].project"), "[a-z0-9_]"},
        {"CaptureOpen", [](Source& s) { Target(s, "project: 'acme/{team'"); }, At(".targets[0].project"), "[a-z0-9_]"},
        {"CaptureAlone", [](Source& s) { Target(s, "project: '{team}'"); }, At(".targets[0].project"), "two segments"},
        {"CaptureStars", [](Source& s) { Target(s, "project: '{team}*/**'"); }, At(".targets[0].project"),
         "two segments"},
        {"DenyLevel", [](Source& s) { s.denies = "denies {} denies { max_access_level: 40 }"; },
         "denies[1].max_access_level", "no place"},
    }),
    [](const auto& info) { return info.param.name; });

TEST(CompileGoodTest, TakesWhatIsRight) {
  Source source;
  source.callers +=
      R"(callers { name: "a.b-c" identities { dns: "Host.Example" } identities { dns: "host.example" } })";
  source.denies = "denies { scopes: 'sudo' } denies {}";
  const auto compiled = CompileText(source.Text());
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  EXPECT_EQ((*compiled)->version(), "v1");
  ASSERT_EQ((*compiled)->callers().size(), 2u);
  EXPECT_EQ((*compiled)->callers()[1].identities[0].certificate->text(), "host.example");
  const std::vector<GrantView> grants = (*compiled)->GrantsOf({"web", ""});
  ASSERT_EQ(grants.size(), 1u);
  EXPECT_EQ(grants[0].role, "reader");
  EXPECT_EQ(grants[0].verbs, std::vector<std::string>{"create"});
  EXPECT_EQ(grants[0].targets, std::vector<std::string>{"project:acme/payments"});
  EXPECT_EQ(grants[0].scopes, (std::vector<std::string>{"api", "read_api"}));
  EXPECT_EQ(grants[0].max_access_level, 30);
  EXPECT_EQ(grants[0].max_ttl, hours(8));
  EXPECT_TRUE(grants[0].self_extending);
  EXPECT_TRUE((*compiled)->GrantsOf({"nobody", ""}).empty());
}

TEST(CompileGoodTest, AdminScopesNeedTheServersLeave) {
  Source source;
  source.grant = "verbs: 'create' targets { user: 1 } scopes: 'sudo' max_ttl: '1h'";
  EXPECT_FALSE(CompileText(source.Text()).ok());
  EXPECT_TRUE(CompileText(source.Text(), {.allow_admin_targets = true}).ok());
}

TEST(CompileGoodTest, NothingGrantsNothing) {
  EXPECT_TRUE(CompileText("").ok());
  EXPECT_TRUE(Policy::DenyAll()->callers().empty());
  EXPECT_TRUE(Policy::DenyAll()->GrantsOf({"web", ""}).empty());
}

}  // namespace
}  // namespace tokenbroker
