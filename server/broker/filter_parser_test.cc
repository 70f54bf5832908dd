#include "server/broker/filter_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/error.h"

namespace tokenbroker {
namespace {

using testing::HasSubstr;

template <typename Term>
Term Only(std::string_view filter) {
  const absl::StatusOr<std::vector<TokenTerm>> terms = ParseFilter(filter);
  EXPECT_EQ(terms.status(), absl::OkStatus()) << filter;
  if (!terms.ok() || terms->size() != 1 || !std::holds_alternative<Term>(terms->front())) {
    ADD_FAILURE() << filter;
    return Term();
  }
  return std::get<Term>(terms->front());
}

// The description of the one field violation.
std::string ProblemIn(std::string_view filter) {
  const absl::Status status = ParseFilter(filter).status();
  EXPECT_EQ(ReasonOf(status), "FIELD_INVALID") << filter;
  const std::vector<FieldViolation> fields = FieldsOf(status);
  if (fields.size() != 1) return "no single field";
  EXPECT_EQ(fields[0].field, "filter");
  EXPECT_EQ(status.message(), "filter: " + fields[0].description);
  return fields[0].description;
}

WallTime At(const char* text) { return ParseRfc3339(text).value(); }

TEST(FilterParserTest, NothingIsNoTerm) {
  EXPECT_TRUE(ParseFilter("")->empty());
  EXPECT_TRUE(ParseFilter(" \t\n")->empty());
}

TEST(FilterParserTest, States) {
  EXPECT_EQ(Only<StateTerm>("state=ACTIVE").state, TokenState::kActive);
  EXPECT_FALSE(Only<StateTerm>("state=ACTIVE").negated);
  EXPECT_EQ(Only<StateTerm>(" state != \"TOKEN_STATE_REVOKED\" ").state, TokenState::kRevoked);
  EXPECT_TRUE(Only<StateTerm>("state!=REVOKED").negated);
  EXPECT_EQ(Only<StateTerm>("state=active").state, TokenState::kActive);
  EXPECT_EQ(Only<StateTerm>("state=token_state_Revoking").state, TokenState::kRevoking);
}

TEST(FilterParserTest, Targets) {
  const Target user = Only<TargetTerm>("target=user:42").target;
  EXPECT_EQ(user.kind, TargetKind::kUser);
  EXPECT_EQ(user.id(), 42);
  EXPECT_EQ(Only<TargetTerm>("target = \"project:acme/payments\"").target.ref, "acme/payments");
  EXPECT_EQ(Only<TargetTerm>("target='service_account:acme/x:bot'").target.ref, "acme/x:bot");
  EXPECT_EQ(user.instance, "");
  // As tables show it.
  const Target elsewhere = Only<TargetTerm>("target=main/project:acme/payments").target;
  EXPECT_EQ(elsewhere.instance, "main");
  EXPECT_EQ(elsewhere.kind, TargetKind::kProject);
  EXPECT_EQ(elsewhere.ref, "acme/payments");
}

TEST(FilterParserTest, ScopesLabelsAndOwners) {
  EXPECT_EQ(Only<ScopeTerm>("scopes:read_api").scope, "read_api");
  EXPECT_EQ(Only<LabelTerm>("labels:team").key, "team");
  EXPECT_EQ(Only<LabelTerm>("labels:team").value, std::nullopt);
  EXPECT_EQ(Only<LabelTerm>("labels.team=\"a \\\"b\\\" \\\\ (c) AND d\"").value, "a \"b\" \\ (c) AND d");
  EXPECT_EQ(Only<LabelTerm>("labels.a.b/c-d=x").key, "a.b/c-d");
  EXPECT_EQ(Only<LabelTerm>("labels.\"a.b\" = ''").key, "a.b");
  EXPECT_EQ(Only<LabelTerm>("labels.\"a.b\" = ''").value, "");
  EXPECT_EQ(Only<OwnerTerm>("owner=\"callers/ci\"").owner, "ci");
  EXPECT_EQ(Only<OwnerTerm>("owner=ci").owner, "ci");
}

TEST(FilterParserTest, Times) {
  const WallTime time = At("2026-11-25T06:53:14.5Z");
  const auto term = [](const std::string& op) {
    return Only<TimeTerm>("expire_time " + op + " 2026-11-25T07:53:14.5+01:00");
  };
  EXPECT_EQ(term("=").first, time);
  EXPECT_EQ(term("=").last, time);
  EXPECT_EQ(term(">=").first, time);
  EXPECT_EQ(term(">").first, time + Duration(1));
  EXPECT_EQ(term("<=").last, time);
  EXPECT_EQ(term("<").last, time - Duration(1));
  EXPECT_EQ(term("<").first, std::nullopt);
  EXPECT_EQ(term(">").last, std::nullopt);
  EXPECT_EQ(term("<").field, TimeField::kExpireTime);
  EXPECT_EQ(Only<TimeTerm>("create_time>\"2026-11-25T00:00:00Z\"").field, TimeField::kCreateTime);
}

TEST(FilterParserTest, TermsAreJoinedByAnd) {
  const auto terms = ParseFilter("state=ACTIVE AND scopes:api\n AND  labels.a=\"b\" AND owner=ci");
  ASSERT_EQ(terms.status(), absl::OkStatus());
  EXPECT_EQ(terms->size(), 4U);
  std::string ten = "owner=ci";
  for (int i = 1; i < 10; ++i) ten += " AND owner=ci";
  EXPECT_EQ(ParseFilter(ten)->size(), 10U);
  EXPECT_THAT(ProblemIn(ten + " AND owner=ci"), HasSubstr("at most 10"));
}

// Where it is, what is there, and what may be.
TEST(FilterParserTest, AnErrorSaysWhereAndWhat) {
  struct Row {
    const char* filter;
    const char* where;
    const char* what;
  };
  const std::vector<Row> rows = {
      {"stat=ACTIVE", "at character 1:", "did you mean \"state\"?"},
      {"State=ACTIVE", "at character 1:", "did you mean \"state\"?"},
      {"colour=red", "at character 1:", "the fields are state, target, scopes, labels, owner"},
      {"state=ACTVE", "at character 7:", "did you mean \"ACTIVE\"?"},
      {"state=activ", "at character 7:", "did you mean \"ACTIVE\"?"},
      {"state=x", "at character 7:", "the states are PENDING, ACTIVE"},
      {"labels.ä=\"x\" AND stat=X", "at character 18:", "did you mean \"state\"?"},
      {"owner=ci AND scopes:read_apy", "at character 21:", "did you mean \"read_api\"?"},
      {"state=ACTIVE OR state=REVOKING", "at character 14:", "\"OR\" is not supported"},
      {"NOT state=ACTIVE", "at character 1:", "\"NOT\" is not supported"},
      {"(state=ACTIVE)", "at character 1:", "name of a field"},
      {"state=ACTIVE)", "at character 13:", "joined by AND"},
      {"state=ACTIVE state=ACTIVE", "at character 14:", "joined by AND"},
      {"state=ACTIVE and state=ACTIVE", "at character 14:", "joined by AND"},
      {"owner=\"ci\"AND state=ACTIVE", "at character 11:", "joined by AND"},
      {"state=ACTIVE AND", "at character 14:", "followed by another term"},
      {"AND state=ACTIVE", "at character 1:", "a term is missing"},
      {"state", "at character 6:", "an operator must follow"},
      {"state=", "at character 7:", "a value is missing"},
      {"state:ACTIVE", "at character 6:", "use state = or state !="},
      {"scopes=api", "at character 7:", "use scopes:SCOPE"},
      {"labels=x", "at character 7:", "labels:KEY"},
      {"labels.x:y", "at character 9:", "labels.KEY = "},
      {"labels.=y", "at character 8:", "labels.KEY"},
      {"owner!=ci", "at character 6:", "use owner ="},
      {"owner=callers/", "at character 7:", "callers/NAME"},
      {"owner.x=ci", "at character 6:", "only labels.KEY"},
      {"target=42", "at character 8:", "a target is"},
      {"target=/user:2", "at character 8:", "a target is"},
      {"target=main/usr:2", "at character 8:", "did you mean \"user\"?"},
      {"target=a/b/user:2", "at character 8:", "unknown kind \"b/user\""},
      {"create_time>0000-01-01T00:00:00Z", "at character 13:", "of the years 1 to 9999"},
      {"expire_time<=9999-12-31T23:59:59-01:00", "at character 14:", "of the years 1 to 9999"},
      {"target=project:", "at character 8:", "a target is"},
      {"target=projct:a/b", "at character 8:", "did you mean \"project\"?"},
      {"expire_time<tomorrow", "at character 13:", "RFC 3339"},
      {"expire_time!=2026-11-25T00:00:00Z", "at character 12:", "<, <=, > or >="},
      {"labels.a=\"x", "at character 10:", "the quote is not closed"},
      {"labels.a=\"x\\", "at character 10:", "the quote is not closed"},
      {"labels.a=\"x\\n\"", "at character 12:", "a backslash"},
      {"=ACTIVE", "at character 1:", "name of a field"},
  };
  for (const Row& row : rows) {
    const std::string problem = ProblemIn(row.filter);
    EXPECT_THAT(problem, testing::StartsWith(row.where)) << row.filter;
    EXPECT_THAT(problem, HasSubstr(row.what)) << row.filter;
  }
}

TEST(FilterParserTest, ErrorsAreShort) {
  for (const std::string& filter : {std::string(4000, 'x'), "state=" + std::string(4000, 'x'),
                                    "target=" + std::string(4000, 'x') + ":x", "state" + std::string(4000, '=')}) {
    EXPECT_LT(ProblemIn(filter).size(), 500U);
  }
  EXPECT_THAT(ProblemIn(std::string(5000, ' ')), HasSubstr("4096 bytes"));
  // Characters are not cut in two.
  std::string umlauts = "state=x";
  for (int i = 0; i < 100; ++i) umlauts += "ä";
  EXPECT_THAT(ProblemIn(umlauts), HasSubstr("ä..."));
}

// Every cut and every change of one character ends in terms or in an error about the filter.
TEST(FilterParserTest, AnythingIsTermsOrAnError) {
  const std::string whole =
      "state!=ACTIVE AND target=\"user:42\" AND scopes:api AND labels.\"a\\\"b\"='c' AND "
      "expire_time<2026-11-25T00:00:00Z";
  ASSERT_EQ(ParseFilter(whole)->size(), 5U);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    const absl::Status cut = ParseFilter(whole.substr(0, i)).status();
    EXPECT_TRUE(cut.ok() || ReasonOf(cut) == "FIELD_INVALID") << i;
    for (const char c : {'\0', ' ', '"', '\'', '\\', '=', ':', '.', '(', 'A', '\xc3'}) {
      std::string changed = whole;
      changed[i] = c;
      const absl::Status status = ParseFilter(changed).status();
      EXPECT_TRUE(status.ok() || ReasonOf(status) == "FIELD_INVALID") << changed;
    }
  }
}

TEST(OrderByTest, Orders) {
  const ListOrder newest = {TimeField::kCreateTime, true};
  EXPECT_EQ(*ParseOrderBy("", {}), newest);
  EXPECT_EQ(*ParseOrderBy(" create_time  desc ", {}), newest);
  EXPECT_EQ(*ParseOrderBy("create_time", {}), (ListOrder{TimeField::kCreateTime, false}));
  EXPECT_EQ(*ParseOrderBy("expire_time asc", {}), (ListOrder{TimeField::kExpireTime, false}));
  EXPECT_EQ(*ParseOrderBy("expire_time desc", {}), (ListOrder{TimeField::kExpireTime, true}));
}

TEST(OrderByTest, AFilterOnExpireTimeOrdersByIt) {
  const std::vector<TokenTerm> expiry = *ParseFilter("state=ACTIVE AND expire_time<2026-11-25T00:00:00Z");
  EXPECT_EQ(*ParseOrderBy("", expiry), (ListOrder{TimeField::kExpireTime, true}));
  EXPECT_EQ(*ParseOrderBy("create_time desc", expiry), (ListOrder{TimeField::kCreateTime, true}));
  const std::vector<TokenTerm> created = *ParseFilter("create_time<2026-11-25T00:00:00Z");
  EXPECT_EQ(*ParseOrderBy("", created), (ListOrder{TimeField::kCreateTime, true}));
}

TEST(OrderByTest, WhatIsNoOrder) {
  for (const char* text : {"name", "create_time down", "create_time desc desc", "create_time, expire_time", "desc"}) {
    const absl::Status status = ParseOrderBy(text, {}).status();
    EXPECT_EQ(ReasonOf(status), "FIELD_INVALID") << text;
    ASSERT_EQ(FieldsOf(status).size(), 1U);
    EXPECT_EQ(FieldsOf(status)[0].field, "order_by");
  }
  EXPECT_THAT(std::string(ParseOrderBy("expire_tme", {}).status().message()),
              HasSubstr("did you mean \"expire_time\"?"));
}

}  // namespace
}  // namespace tokenbroker
