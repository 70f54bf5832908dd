#include "server/gitlab/answer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/base/error.h"

namespace tokenbroker {
namespace {

using absl::StatusCode;

const WallTime kNow = FromMicros(1'764'000'000'000'000);
constexpr char kIssuer[] = "acme-T9xQ4vLw2ZsD7kBn1Rfy";

HttpAnswer Answer(int status, std::string body) {
  HttpAnswer answer;
  answer.status = status;
  answer.body = std::move(body);
  answer.sent = true;
  answer.headers["content-type"] = "application/json";
  answer.headers["x-gitlab-meta"] = R"({"correlation_id":"01KVABY1GHXVD602K94VDFBBR1","version":"1"})";
  return answer;
}

// Written by a machine in front of the application.
HttpAnswer Foreign(int status, std::string type, std::string body) {
  HttpAnswer answer = Answer(status, std::move(body));
  answer.headers.erase("x-gitlab-meta");
  answer.headers["content-type"] = std::move(type);
  return answer;
}

absl::Status Failure(const HttpAnswer& answer) { return FailureOf(answer, kIssuer, kNow); }
std::string Message(const HttpAnswer& answer) { return std::string(Failure(answer).message()); }

struct Case {
  HttpAnswer answer;
  StatusCode code;
  std::string reason;
  bool certain;
  std::string words;  // Must be in the message.
};

std::vector<Case> Cases() {
  const auto json = [](int status, std::string body) { return Answer(status, std::move(body)); };
  return {
      // 401 and 403.
      {json(401, R"({"message":"401 Unauthorized"})"), StatusCode::kFailedPrecondition, "ISSUER_NOT_ALLOWED", true,
       "GitLab answered 401: 401 Unauthorized"},
      {json(403, R"({"message":"403 Forbidden"})"), StatusCode::kFailedPrecondition, "ISSUER_NOT_ALLOWED", true,
       "403 Forbidden"},
      {json(403, R"({"message":"403 Forbidden - Your account has been blocked."})"), StatusCode::kFailedPrecondition,
       "ISSUER_NOT_ALLOWED", true, "Your account has been blocked."},
      {json(403, R"({"error":"insufficient_scope","error_description":"The request requires higher privileges than )"
                 R"(provided by the access token.","scope":"api read_api"})"),
       StatusCode::kFailedPrecondition, "ISSUER_NOT_ALLOWED", true, "requires higher privileges"},
      {json(403, R"({"message":"You cannot perform write operations on a read-only instance"})"),
       StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", true, "read-only instance"},
      // 404 and 405.
      {json(404, R"({"message":"404 Not found"})"), StatusCode::kNotFound, "UPSTREAM_NOT_FOUND", true, "404 Not found"},
      {json(404, R"({"message":"404 User Not Found"})"), StatusCode::kNotFound, "UPSTREAM_NOT_FOUND", true,
       "404 User Not Found"},
      {json(404, R"({"message":"404 Project Not Found"})"), StatusCode::kNotFound, "UPSTREAM_NOT_FOUND", true,
       "404 Project Not Found"},
      {json(404, R"({"message":"404 project Access Token Not Found"})"), StatusCode::kNotFound, "UPSTREAM_NOT_FOUND",
       true, "404 project Access Token Not Found"},
      {json(404, R"({"error":"404 Not Found"})"), StatusCode::kNotFound, "UPSTREAM_NOT_FOUND", true, "404 Not Found"},
      {json(405, R"({"error":"405 Not Allowed"})"), StatusCode::kFailedPrecondition, "ISSUER_NOT_ALLOWED", true,
       "405 Not Allowed"},
      {json(405, R"({"message":"Non GET methods are not allowed for moved projects"})"),
       StatusCode::kFailedPrecondition, "TARGET_MOVED", true, "moved projects"},
      // 400 and 422.
      {json(400, R"({"error":"scopes does not have a valid value"})"), StatusCode::kInvalidArgument, "UPSTREAM_INVALID",
       true, "scopes does not have a valid value"},
      {json(400, R"({"error":"access_level does not have a valid value"})"), StatusCode::kInvalidArgument,
       "UPSTREAM_INVALID", true, "access_level does not have a valid value"},
      {json(400, R"({"message":{"expires_at":["must be before 2027-11-24"]}})"), StatusCode::kInvalidArgument,
       "UPSTREAM_INVALID", true, R"({"expires_at":["must be before 2027-11-24"]})"},
      {json(422, R"({"message":"Expires at must be before 2027-11-24"})"), StatusCode::kInvalidArgument,
       "UPSTREAM_INVALID", true, "must be before 2027-11-24"},
      {json(422, R"x({"message":"Description is too long (maximum is 255 characters)"})x"),
       StatusCode::kInvalidArgument, "UPSTREAM_INVALID", true, "too long"},
      {json(422, R"({"message":"422 Unprocessable Entity"})"), StatusCode::kInvalidArgument, "UPSTREAM_INVALID", true,
       "422 Unprocessable Entity"},
      {json(422, R"({"message":"Not permitted to create"})"), StatusCode::kFailedPrecondition, "ISSUER_NOT_ALLOWED",
       true, "Not permitted to create"},
      {json(400, R"({"message":"400 Bad request"})"), StatusCode::kFailedPrecondition, "ISSUER_NOT_ALLOWED", true,
       "400 Bad request"},
      {json(400, R"({"message":"400 Bad request - Not permitted to revoke"})"), StatusCode::kFailedPrecondition,
       "ISSUER_NOT_ALLOWED", true, "Not permitted to revoke"},
      {json(400, R"({"message":"400 Bad request - User does not have permission to create project access token"})"),
       StatusCode::kFailedPrecondition, "ISSUER_NOT_ALLOWED", true, "does not have permission"},
      // It was not carried out, for certain, and may be tried again.
      {json(409, R"({"message":"409 Conflict: Resource lock"})"), StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE",
       true, "Resource lock"},
      {json(429, R"({"message":{"error":"This endpoint has been requested too many times. Try again later."}})"),
       StatusCode::kResourceExhausted, "UPSTREAM_RATE_LIMITED", true, "requested too many times"},
      {Foreign(429, "text/plain", "Retry later\n"), StatusCode::kResourceExhausted, "UPSTREAM_RATE_LIMITED", true,
       "Retry later"},
      // Nobody knows.
      {json(408, ""), StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", false, "GitLab answered 408"},
      {json(500, R"({"message":"500 Internal Server Error"})"), StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", false,
       "500 Internal Server Error"},
      {Foreign(502, "text/plain", "GitLab is not responding"), StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", false,
       "GitLab is not responding"},
      {json(503, R"({"message":"503 Service Unavailable"})"), StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", false,
       "503 Service Unavailable"},
      {Foreign(504, "text/html", "<html><body>Gateway Time-out</body></html>"), StatusCode::kUnavailable,
       "UPSTREAM_UNAVAILABLE", false, "an HTML page"},
      {Foreign(520, "text/html; charset=utf-8", "<html></html>"), StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE",
       false, "an HTML page"},
      {Foreign(403, "text/html", "<html>denied by the firewall</html>"), StatusCode::kUnavailable,
       "UPSTREAM_UNAVAILABLE", false, "an HTML page"},
      {Foreign(405, "text/plain", "moved"), StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", false, "moved"},
      {Foreign(404, "text/plain", "no such backend"), StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", false,
       "no such backend"},
      {Foreign(301, "text/html", "<html>Moved</html>"), StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", false,
       "something in front of GitLab answered 301"},
      {json(302, ""), StatusCode::kFailedPrecondition, "TARGET_MOVED", false, "redirects this request (302)"},
      {Foreign(200, "text/html", "<html>Sign in</html>"), StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", false,
       "something in front of GitLab answered 200"},
      {Foreign(204, "", ""), StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", false,
       "something in front of GitLab answered 204"},
      {json(201, R"({"id":1,"token":"glpat-)"), StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", false,
       "something else than its JSON"},
  };
}

TEST(AnswerTest, EveryShapeHasItsMeaning) {
  for (const Case& each : Cases()) {
    SCOPED_TRACE(std::to_string(each.answer.status) + " " + each.answer.body);
    const absl::Status failure = Failure(each.answer);
    EXPECT_EQ(failure.code(), each.code);
    EXPECT_EQ(ReasonOf(failure), each.reason);
    EXPECT_EQ(IsCertainRefusal(each.answer), each.certain);
    EXPECT_NE(std::string(failure.message()).find(each.words), std::string::npos) << failure.message();
    EXPECT_EQ(RetryAfterOf(failure).has_value(),
              each.code == StatusCode::kUnavailable || each.code == StatusCode::kResourceExhausted);
    EXPECT_EQ(PauseAsked(each.answer, kNow).has_value(), each.answer.status == 429);
    EXPECT_EQ(std::string(failure.message()).find("<html"), std::string::npos);
  }
}

TEST(AnswerTest, NoAnswerIsARefusalOnlyIfNothingLeft) {
  HttpAnswer answer;
  answer.error = "Failed to connect to 127.0.0.1 port 1";
  EXPECT_TRUE(IsCertainRefusal(answer));
  EXPECT_EQ(ReasonOf(Failure(answer)), "UPSTREAM_UNAVAILABLE");
  EXPECT_NE(Message(answer).find("Failed to connect"), std::string::npos);
  answer.sent = true;
  EXPECT_FALSE(IsCertainRefusal(answer));
  answer.cancelled = true;
  EXPECT_EQ(Failure(answer).code(), StatusCode::kCancelled);
}

TEST(AnswerTest, ADateThatIsTooLateNamesTheLastOneThatIsAllowed) {
  const std::optional<Date> date = ParseDate("2027-11-24");
  const std::vector<std::pair<HttpAnswer, std::optional<Date>>> cases = {
      {Answer(422, R"({"message":"Expires at must be before 2027-11-24"})"), date},
      {Answer(400, R"({"message":"400 Bad request - Expires at must be before 2027-11-24"})"), date},
      {Answer(400, R"({"message":{"expires_at":["must be before 2027-11-24"]}})"), date},
      {Answer(422,
              R"({"message":"Name can't be blank, Scopes can't be blank, and Expires at must be before 2027-11-24"})"),
       date},
      // GitLab's own limit and the instance's lower one: both hold.
      {Answer(422, R"({"message":"Expires at must be before 2028-06-24 and Expires at must be before 2027-11-24"})"),
       date},
      {Answer(400, R"({"message":{"expires_at":["must be before 2027-11-24","must be before 2028-06-24"]}})"), date},
      {Answer(400, R"({"message":"Expires at must be before tomorrow"})"), std::nullopt},
      {Answer(400, R"({"message":"Expires at must be before 2027-11-31"})"), std::nullopt},
      {Answer(400, R"({"message":"Expires at must be before "})"), std::nullopt},
      {Answer(400, R"({"message":"Start must be before 2027-11-24"})"), std::nullopt},
      {Answer(404, R"({"message":"Expires at must be before 2027-11-24"})"), std::nullopt},
      {Answer(500, R"({"message":"Expires at must be before 2027-11-24"})"), std::nullopt},
      {Answer(400, "Expires at must be before 2027-11-24"), std::nullopt},
      {Foreign(400, "application/json", R"({"message":"Expires at must be before 2027-11-24"})"), std::nullopt},
  };
  for (const auto& [answer, latest] : cases) {
    EXPECT_EQ(LatestDateOf(answer), latest) << answer.status << ' ' << answer.body;
  }
}

TEST(AnswerTest, AWrongValueNamesItsField) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"message":"Expires at must be before 2027-11-24"})", "token.expiration"},
      {R"({"message":{"expires_at":["must be before 2027-11-24"]}})", "token.expiration"},
      {R"({"error":"scopes does not have a valid value"})", "token.scopes"},
      {R"({"error":"access_level does not have a valid value"})", "token.access_level"},
      {R"x({"message":"Description is too long (maximum is 255 characters)"})x", "token.purpose"},
      {R"({"error":"name is missing"})", "token.display_name"},
  };
  for (const auto& [body, field] : cases) {
    const std::vector<FieldViolation> fields = FieldsOf(Failure(Answer(400, body)));
    ASSERT_EQ(fields.size(), 1u) << body;
    EXPECT_EQ(fields[0].field, field) << body;
  }
  EXPECT_TRUE(FieldsOf(Failure(Answer(422, R"({"message":"422 Unprocessable Entity"})"))).empty());
}

TEST(AnswerTest, OnlyInvalidTokenSaysThatTheCredentialIsDead) {
  const auto says = [](int status, const char* body) { return SaysInvalidToken(Answer(status, body)); };
  EXPECT_TRUE(says(401, R"({"error":"invalid_token","error_description":"Token was revoked. You have to )"
                        R"(re-authorize from the user."})"));
  EXPECT_TRUE(says(401, R"({"error":"invalid_token","error_description":"Token is expired."})"));
  EXPECT_TRUE(says(401, R"({"error_description":"Token is an impersonation token but impersonation was disabled.",)"
                        R"("error":"invalid_token"})"));
  EXPECT_FALSE(says(401, R"({"message":"401 Unauthorized"})"));
  EXPECT_FALSE(says(401, R"({"message":"invalid_token"})"));
  EXPECT_FALSE(says(403, R"({"error":"invalid_token"})"));
  EXPECT_FALSE(says(401, "invalid_token"));
}

TEST(AnswerTest, ThePauseIsWhatGitLabAsksFor) {
  HttpAnswer limited = Answer(429, "Retry later\n");
  EXPECT_EQ(PauseAsked(limited, kNow), seconds(60));  // Where it names none.
  limited.headers["retry-after"] = "17";
  EXPECT_EQ(PauseAsked(limited, kNow), seconds(17));
  EXPECT_EQ(RetryAfterOf(Failure(limited)), seconds(17));
  limited.headers["retry-after"] = "0";
  EXPECT_EQ(PauseAsked(limited, kNow), seconds(0));
  for (const char* very_long : {"86400", "9999999999"}) {
    limited.headers["retry-after"] = very_long;
    EXPECT_EQ(PauseAsked(limited, kNow), seconds(120));
    EXPECT_EQ(RetryAfterOf(Failure(limited)), seconds(120));
  }
  limited.headers["retry-after"] = "-5";
  EXPECT_EQ(PauseAsked(limited, kNow), seconds(0));
  for (const char* no_number : {"Wed, 25 Nov 2026 06:53:14 GMT", "99999999999999999999", "5s", ""}) {
    limited.headers["retry-after"] = no_number;
    EXPECT_EQ(PauseAsked(limited, kNow), seconds(60)) << no_number;
  }
}

TEST(AnswerTest, WithoutGitLabsMarkThePauseIsAMinuteAtMost) {
  HttpAnswer limited = Foreign(429, "text/plain", "Retry later\n");
  limited.headers["retry-after"] = "86400";
  EXPECT_EQ(PauseAsked(limited, kNow), seconds(60));
  limited.headers["retry-after"] = "17";
  EXPECT_EQ(PauseAsked(limited, kNow), seconds(17));
  HttpAnswer last = Foreign(200, "text/plain", "");
  last.headers["ratelimit-remaining"] = "0";
  last.headers["ratelimit-reset"] = "9223372036854775807";
  EXPECT_EQ(PauseAsked(last, kNow), seconds(60));
}

TEST(AnswerTest, OnlyAThrottleThatGitLabNamesLimitsAllRequests) {
  HttpAnswer limited = Answer(429, "Retry later\n");
  EXPECT_FALSE(LimitsAllRequests(limited));  // A limit of one operation names none.
  limited.headers["ratelimit-name"] = "project_api";
  EXPECT_FALSE(LimitsAllRequests(limited));
  limited.headers["ratelimit-name"] = "throttle_authenticated_api";
  EXPECT_TRUE(LimitsAllRequests(limited));
  limited.headers.erase("x-gitlab-meta");
  EXPECT_FALSE(LimitsAllRequests(limited));
}

TEST(AnswerTest, NothingLeftInTheWindowIsAPauseToo) {
  const std::int64_t now = MicrosOf(kNow) / 1'000'000;
  HttpAnswer last = Answer(200, "{}");
  last.headers["ratelimit-remaining"] = "0";
  EXPECT_FALSE(PauseAsked(last, kNow).has_value());
  last.headers["ratelimit-reset"] = std::to_string(now + 40);
  EXPECT_EQ(PauseAsked(last, kNow), seconds(40));
  last.headers["ratelimit-reset"] = std::to_string(now - 40);
  EXPECT_EQ(PauseAsked(last, kNow), seconds(0));
  last.headers["ratelimit-reset"] = "9223372036854775807";
  EXPECT_EQ(PauseAsked(last, kNow), seconds(120));
  last.headers["ratelimit-remaining"] = "1";
  EXPECT_FALSE(PauseAsked(last, kNow).has_value());
}

TEST(AnswerTest, LongTextsAreCutAtACharacter) {
  // 64 KiB of a three-byte character, at every offset to the cut.
  for (std::size_t offset = 0; offset < 3; ++offset) {
    std::string body(offset, ' ');
    while (body.size() < 64 * 1024) body += "\xE2\x82\xAC";
    const std::string shown = Presentable(body, kIssuer);
    ASSERT_LE(shown.size(), 512u + 3u);
    ASSERT_GE(shown.size(), 510u + 3u);
    EXPECT_TRUE(shown.ends_with("\xE2\x82\xAC..."));
    const std::string message = Message(Foreign(500, "text/plain", body));
    EXPECT_LE(message.size(), 600u);
  }
  EXPECT_EQ(Presentable(std::string(65'536, 'a'), "").size(), 512u + 3u);
  EXPECT_EQ(Presentable(std::string(512, 'a'), ""), std::string(512, 'a'));
  const std::string json = R"({"message":")" + std::string(65'536, 'b') + "\"}";
  EXPECT_LE(Message(Answer(400, json)).size(), 600u);
}

TEST(AnswerTest, ControlCharactersAndWhatIsNoTextAreReplaced) {
  EXPECT_EQ(Presentable(std::string_view("a\0b\r\nc\x1b[31m\x7f", 12), ""), "a b  c [31m ");
  EXPECT_EQ(Presentable("caf\xC3\xA9 \xC2\x9B", ""), "caf\xC3\xA9  ");
  EXPECT_EQ(Presentable("caf\xE9 \xC0\xAF \xED\xA0\x80 \xE2\x82", ""), "caf? ?? ??? ??");
  EXPECT_EQ(Presentable("\xF0\x9F\x98\x80 \xF4\x90\x80\x80", ""), "\xF0\x9F\x98\x80 ????");
  EXPECT_EQ(Message(Answer(400, R"({"message":"a\u0000b\nc"})")), "GitLab answered 400: a b c");
}

TEST(AnswerTest, TokensAreRedactedAndWordsAreNot) {
  const std::vector<std::string> tokens = {
      "glpat-T9xQ4vLw2ZsD7kBn1Rfy",
      "glpat-bzoxCnU6MgABAgMEBQYHCAkKCwwNDg8Q.0w1s8wgmg",
      "glpat-bzoxCnU6MTYAAQIDBAUGBwgJCgsMDQ4PEA.01.0y0ej1gru",
      "acme-glpat-bzoxCnU6MgABAgMEBQYHCAkKCwwNDg8Q.01.0w0f3z10x",
      "acme-T9xQ4vLw2ZsD7kBn1Rfz",
      "T9xQ4vLw2ZsD7kBn1Rfz",
      "xTqQhvLwyZsDpkBnzRfz",
      "gldt-abcdefghijklmnopqrst",
      "glptt-0123456789abcdef0123456789abcdef01234567",
  };
  for (const std::string& token : tokens) {
    EXPECT_EQ(Presentable("token " + token + ", again", ""), "token [redacted], again");
    EXPECT_EQ(Presentable("\"" + token + "\"", ""), "\"[redacted]\"");
  }
  const std::vector<std::string> words = {
      "gitlab-runner-something-longer",   "single-purpose-deployment-key", "personal_access_tokens",
      "01KVABY1GHXVD602K94VDFBBR1",       "Content-Security-Policy",       "project_7_bot_0123456789abcdef",
      "gitlab.example.com/acme/payments", "2026-11-25T06-53-14.123456Z",   "glass",
  };
  for (const std::string& word : words) EXPECT_EQ(Presentable(word, ""), word);
}

TEST(AnswerTest, TheIssuerIsBlottedOutWhereverItStands) {
  const std::string issuer = "plain-old-secret";  // Looks like a few words.
  EXPECT_EQ(Presentable("used " + issuer + "!", issuer), "used [redacted]!");
  EXPECT_EQ(Presentable("x" + issuer + "y" + issuer, issuer), "x[redacted]y[redacted]");
  EXPECT_EQ(Presentable(issuer.substr(1), issuer), issuer.substr(1));
  const std::string body = R"({"message":"bad )" + std::string(kIssuer) + "\"}";
  EXPECT_EQ(Message(Answer(401, body)), "GitLab answered 401: bad [redacted]");
  // At the cut as well.
  const std::string long_text = std::string(505, '.') + issuer;
  EXPECT_EQ(Presentable(long_text, issuer), std::string(505, '.') + "[redact...");
}

}  // namespace
}  // namespace tokenbroker
