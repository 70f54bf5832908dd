// The secret appears in the response of Create and nowhere else: the whole flow runs at the highest log level, then
// every file, log, metric and error text is searched for what GitLab handed out, in every spelling that we know of.

#include <gtest/gtest.h>

#include <cctype>

#include "absl/strings/escaping.h"
#include "client/call_error.h"
#include "tests/integration/broker_process.h"

namespace tokenbroker {
namespace {

using gitlab_sim::Fault;
using std::chrono::seconds;

std::string UrlEncoded(const std::string& text) {
  std::string out;
  constexpr char kHex[] = "0123456789ABCDEF";
  for (const unsigned char c : text) {
    if (std::isalnum(c) != 0) {
      out += static_cast<char>(c);
    } else {
      out += '%';
      out += kHex[c >> 4];
      out += kHex[c & 15];
    }
  }
  return out;
}

std::string Hex(const std::string& text) { return absl::BytesToHexString(text); }

// The spellings of a secret; base64 at each of the three alignments, without the characters that its neighbours change.
std::vector<std::string> Spellings(const std::string& secret) {
  std::vector<std::string> all = {secret, UrlEncoded(secret), Hex(secret), std::string(secret.rbegin(), secret.rend())};
  for (std::size_t pad = 0; pad < 3; ++pad) {
    for (const bool web : {false, true}) {
      const std::string padded = std::string(pad, 'x') + secret;
      const std::string text = web ? absl::WebSafeBase64Escape(padded) : absl::Base64Escape(padded);
      all.push_back(text.substr(4, text.size() - 8));
    }
  }
  return all;
}

TEST(CanaryTest, TheSecretIsNowhereButInTheResponse) {
  House house;
  house.EditConfig("level: info", "level: trace");
  ASSERT_TRUE(house.StartBroker()) << house.output();
  const auto client = house.Client();
  std::vector<std::string> errors;
  const auto note = [&errors](const absl::Status& status) {
    if (!status.ok()) errors.push_back(status.ToString());
  };
  const auto create = [&](const v1::Token& spec) {
    const absl::StatusOr<CreatedToken> made = client->Create(spec, {}, DeadlineIn(seconds(20)));
    note(made.status());
    return made.ok() ? made->token.name() : "";
  };

  // A life of each kind; every way in which an answer with a secret can go wrong.
  const std::string user_token = create(UserTokenSpec(house.demo_user()));
  const std::string project_token = create(ProjectTokenSpec("acme/payments"));
  ASSERT_FALSE(user_token.empty());
  ASSERT_FALSE(project_token.empty());
  for (const Fault::Action action : {Fault::Action::kTruncate, Fault::Action::kActThenClose}) {
    Fault fault;
    fault.action = action;
    house.gitlab().Plan(std::move(fault).On("POST", "personal_access_tokens"));
    EXPECT_EQ(create(UserTokenSpec(house.demo_user())), "");
  }
  Fault echo;  // A GitLab whose error text holds the issuer's secret.
  echo.action = Fault::Action::kAnswer;
  echo.status = 400;
  echo.headers = {{"Content-Type", "application/json"}, {"X-Gitlab-Meta", "{}"}};
  echo.body = R"({"message":"400 Bad request - bad token )" + house.issuer_secret() + R"("})";
  house.gitlab().Plan(std::move(echo).On("POST", "personal_access_tokens"));
  EXPECT_EQ(create(UserTokenSpec(house.demo_user())), "");
  gitlab_sim::Settings settings = house.gitlab().settings();
  settings.shorten_expiry_days = 1;
  house.gitlab().set_settings(settings);
  create(UserTokenSpec(house.demo_user()));
  note(client->List({}, DeadlineIn(seconds(20))).status());
  note(client->Revoke(user_token, DeadlineIn(seconds(20))).status());
  note(client->Revoke(project_token, DeadlineIn(seconds(20))).status());
  const std::string metrics = house.Fetch("/metrics");
  ASSERT_FALSE(metrics.empty());
  ASSERT_EQ(house.StopBroker(), 0);

  std::vector<std::pair<std::string, std::string>> places = house.AllFiles();
  places.emplace_back("/metrics", metrics);
  for (const std::string& error : errors) places.emplace_back("error", error);
  EXPECT_GE(errors.size(), 3u);
  std::size_t searched = 0;
  for (const gitlab_sim::TokenView& token : house.gitlab().Tokens()) {
    for (const std::string& spelling : Spellings(token.secret)) {
      for (const auto& [name, content] : places) {
        if (name == house.path("issuer")) continue;  // The operator's own file.
        EXPECT_EQ(content.find(spelling), std::string::npos) << name << " holds a secret of token " << token.id;
        ++searched;
      }
    }
  }
  EXPECT_GT(searched, 500u);
}

// The search itself must be able to find something.
TEST(CanaryTest, FindsWhatIsPlanted) {
  const std::string secret = "glpat-bzoxCnU6MgABAgMEBQYHCAkKCwwNDg8Q.01.0w0f3z10x";
  for (const std::string& planted : {secret, "x=" + UrlEncoded(secret), absl::Base64Escape("ab" + secret + "c"),
                                     absl::WebSafeBase64Escape(secret)}) {
    bool found = false;
    for (const std::string& spelling : Spellings(secret)) {
      found = found || ("..." + planted + "...").find(spelling) != std::string::npos;
    }
    EXPECT_TRUE(found) << planted;
  }
}

}  // namespace
}  // namespace tokenbroker
