#include "tests/gitlab_sim/listing.h"

#include "gtest/gtest.h"
#include "tests/gitlab_sim/calendar.h"
#include "tests/gitlab_sim/test_instance.h"

namespace tokenbroker::gitlab_sim {
namespace {

TEST(SearchTest, LongWordsMustBeContained) {
  const std::string name = "DeepTraQ Token [tb:q7:01ABC]";
  for (const char* hit : {"[tb:q7:", "tb:q7:01abc", "token deeptraq", "\"token [tb\"", "of token", "", "  "}) {
    EXPECT_TRUE(SearchMatches(name, hit)) << hit;
  }
  for (const char* miss : {"tb:q8", "token missing", "\"deeptraq [tb\"", "to", "%%%", "tb_q7"}) {
    EXPECT_FALSE(SearchMatches(name, miss)) << miss;
  }
}

TEST(SearchTest, ShortTextsMustEqualTheName) {
  EXPECT_TRUE(SearchMatches("ab", "AB"));
  EXPECT_FALSE(SearchMatches("abc", "ab"));
  EXPECT_TRUE(SearchMatches("a b", "a b"));
}

class ListTest : public ::testing::Test {
 protected:
  // The names of the listed tokens, joined.
  std::string Names(const std::string& query, const std::string& token = "root") {
    const HttpResponse response = gitlab_.Get("/personal_access_tokens?per_page=100&" + query, token);
    if (response.status != 200) return std::to_string(response.status) + " " + response.body;
    std::string out;
    for (int i = 0; !Field(response, std::to_string(i) + "/id").empty(); ++i) {
      out += (out.empty() ? "" : ",") + Field(response, std::to_string(i) + "/name");
    }
    return out;
  }

  TestInstance gitlab_;
};

TEST_F(ListTest, AdministratorsSeeAllOthersTheirOwn) {
  EXPECT_EQ(Names(""), "root,maria,dan,olga,zoe");
  EXPECT_EQ(Names("", "dan"), "dan");
  EXPECT_EQ(Names("user_id=" + std::to_string(gitlab_.zoe)), "zoe");
  EXPECT_EQ(Names("user_id=1", "dan"), R"(401 {"message":"401 Unauthorized"})");
  EXPECT_EQ(Names("user_id=999"), R"(404 {"message":"404 Not Found"})");
  EXPECT_EQ(Names("user_id="), R"(404 {"message":"404 Not Found"})");
}

TEST_F(ListTest, RevokedAndExpiredAreListedUnlessFiltered) {
  gitlab_.AddToken(gitlab_.dan, "past", {"api"}, "2026-06-01");
  gitlab_.AddToken(gitlab_.dan, "today", {"api"}, "2026-06-24");
  gitlab_.Delete("/personal_access_tokens/self", "zoe");
  EXPECT_EQ(Names(""), "root,maria,dan,olga,zoe,past,today");
  EXPECT_EQ(Names("state=active"), "root,maria,dan,olga");
  EXPECT_EQ(Names("revoked=true"), "zoe");
  EXPECT_EQ(Names("revoked=false"), "root,maria,dan,olga,past,today");
  EXPECT_EQ(Names("state=inactive"), "zoe,past") << "up to 18.x, on its day a token is in neither list";
}

TEST_F(ListTest, NewestVersionCountsTodayAsInactive) {
  TestInstance newest("19.0.2");
  newest.AddToken(newest.dan, "today", {"api"}, "2026-06-24");
  EXPECT_EQ(Header(newest.Get("/personal_access_tokens?state=inactive", "root"), "X-Total"), "1");
}

TEST_F(ListTest, TimesAreInclusiveExpiresBeforeIsNot) {
  gitlab_.now += std::chrono::hours(1);
  gitlab_.AddToken(gitlab_.dan, "later", {"api"}, "2026-07-01");
  EXPECT_EQ(Names("created_after=2026-06-24T13:00:00Z"), "later");
  EXPECT_EQ(Names("created_before=2026-06-24T12:00:00Z"), "root,maria,dan,olga,zoe");
  EXPECT_EQ(Names("created_before=2026-06-24"), "");
  EXPECT_EQ(Names("expires_before=2026-07-01"), "");
  EXPECT_EQ(Names("expires_before=2026-07-02"), "later");
  EXPECT_EQ(Names("expires_after=2026-07-01&expires_before=2026-07-02"), "later");
  EXPECT_EQ(Names("last_used_after=2026-06-24T13:00:00Z"), "root") << "never used matches neither";
  EXPECT_EQ(Names("created_after=2026-06-25&created_before=2026-06-20"), "");
}

TEST_F(ListTest, SortIgnoresWhatItDoesNotKnow) {
  EXPECT_EQ(Names("sort=name_asc"), "dan,maria,olga,root,zoe");
  EXPECT_EQ(Names("sort=name_desc"), "zoe,root,olga,maria,dan");
  EXPECT_EQ(Names("sort=created_desc"), "zoe,olga,dan,maria,root") << "ids break the tie";
  EXPECT_EQ(Names("sort=nonsense_asc"), "root,maria,dan,olga,zoe");
}

TEST_F(ListTest, BadFilters) {
  EXPECT_EQ(Names("revoked=maybe"), R"(400 {"error":"revoked is invalid"})");
  EXPECT_EQ(Names("state=dead"), R"(400 {"error":"state does not have a valid value"})");
  EXPECT_EQ(Names("created_before=yesterday"), R"(400 {"error":"created_before is invalid"})");
  EXPECT_EQ(gitlab_.Get("/personal_access_tokens?per_page=0", "root").body,
            R"({"error":"per_page has a value not allowed"})");
  EXPECT_EQ(gitlab_.Get("/personal_access_tokens?page=-1", "root").body,
            R"({"error":"page does not have a valid value"})");
}

TEST_F(ListTest, PagesAndTheirHeaders) {
  const HttpResponse second = gitlab_.Get("/personal_access_tokens?per_page=2&page=2&search=", "root");
  EXPECT_EQ(Field(second, "0/name"), "dan");
  EXPECT_EQ(Header(second, "X-Total"), "5");
  EXPECT_EQ(Header(second, "X-Total-Pages"), "3");
  EXPECT_EQ(Header(second, "X-Page"), "2");
  EXPECT_EQ(Header(second, "X-Per-Page"), "2");
  EXPECT_EQ(Header(second, "X-Prev-Page"), "1");
  EXPECT_EQ(Header(second, "X-Next-Page"), "3");
  const std::string base = "<http://gitlab.example.test/api/v4/personal_access_tokens?page=";
  EXPECT_EQ(Header(second, "Link"),
            base + "1&per_page=2&search=>; rel=\"prev\", " + base + "3&per_page=2&search=>; rel=\"next\", " + base +
                "1&per_page=2&search=>; rel=\"first\", " + base + "3&per_page=2&search=>; rel=\"last\"");
  const HttpResponse last = gitlab_.Get("/personal_access_tokens?per_page=2&page=3", "root");
  EXPECT_EQ(Header(last, "X-Next-Page"), "");
  EXPECT_EQ(gitlab_.Get("/personal_access_tokens?page=9", "root").body, "[]");
  EXPECT_EQ(Header(gitlab_.Get("/personal_access_tokens?per_page=500", "root"), "X-Per-Page"), "100");
}

TEST_F(ListTest, AnEmptyListHasOnePage) {
  const HttpResponse response = gitlab_.Get("/personal_access_tokens?search=nothing-like-it", "root");
  EXPECT_EQ(response.body, "[]");
  EXPECT_EQ(Header(response, "X-Total"), "0");
  EXPECT_EQ(Header(response, "X-Total-Pages"), "1");
}

TEST_F(ListTest, TotalsVanishAboveTenThousand) {
  for (int i = 0; i < 10'001; ++i) gitlab_.AddToken(gitlab_.dan, "many-" + std::to_string(i), {"api"});
  const HttpResponse response = gitlab_.Get("/personal_access_tokens?search=many-", "root");
  EXPECT_EQ(Header(response, "X-Total"), "");
  EXPECT_EQ(Header(response, "X-Next-Page"), "2");
  EXPECT_EQ(Header(response, "Link").find("rel=\"last\""), std::string::npos);
}

TEST_F(ListTest, ALaggingReplicaShowsThePast) {
  gitlab_.model.state().settings().list_lag = std::chrono::seconds(30);
  gitlab_.now += std::chrono::minutes(1);
  gitlab_.AddToken(gitlab_.dan, "new", {"api"});
  gitlab_.Delete("/personal_access_tokens/self", "zoe");
  EXPECT_EQ(Names("revoked=false"), "root,maria,dan,olga,zoe");
  gitlab_.now += std::chrono::seconds(30);
  EXPECT_EQ(Names("revoked=false"), "root,maria,dan,olga,new");
}

}  // namespace
}  // namespace tokenbroker::gitlab_sim
