#include "server/rpc/convert.h"

#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>

#include <functional>

#include "server/base/error.h"
#include "server/base/time_text.h"
#include "server/rpc/message_text.h"

namespace tokenbroker {
namespace {

v1::CreateTokenRequest Good() {
  v1::CreateTokenRequest request;
  v1::Token& token = *request.mutable_token();
  token.set_display_name("scan");
  token.mutable_target()->set_project("acme/payments");
  token.add_scopes("read_api");
  token.set_access_level(20);
  token.mutable_ttl()->set_seconds(90);
  token.mutable_ttl()->set_nanos(500'000'000);
  (*token.mutable_labels())["team"] = "x";
  request.set_request_id("id");
  request.set_validate_only(true);
  return request;
}

TEST(ConvertTest, ReadsEveryField) {
  const absl::StatusOr<CreateRequest> request = ToCreateRequest(Good());
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->display_name, "scan");
  EXPECT_EQ(request->target.kind, TargetKind::kProject);
  EXPECT_EQ(request->target.ref, "acme/payments");
  EXPECT_EQ(request->scopes, std::vector<std::string>{"read_api"});
  EXPECT_EQ(request->access_level, 20);
  EXPECT_EQ(request->ttl, Duration(90'500'000));
  EXPECT_EQ(request->labels.at("team"), "x");
  EXPECT_EQ(request->request_id, "id");
  EXPECT_TRUE(request->validate_only);
}

TEST(ConvertTest, ReadsAList) {
  v1::ListTokensRequest proto;
  proto.set_page_size(7);
  proto.set_page_token("t");
  proto.set_show_closed(true);
  proto.set_filter("state=ACTIVE");
  proto.set_order_by("expire_time");
  const ListRequest request = ToListRequest(proto);
  EXPECT_EQ(request.page_size, 7);
  EXPECT_EQ(request.page_token, "t");
  EXPECT_TRUE(request.show_closed);
  EXPECT_EQ(request.filter, "state=ACTIVE");
  EXPECT_EQ(request.order_by, "expire_time");
}

struct BadCase {
  std::string field;
  std::function<void(v1::CreateTokenRequest&)> spoil;
};

TEST(ConvertTest, RefusesWhatAMessageCannotMean) {
  const std::vector<BadCase> cases = {
      {"token", [](auto& r) { r.clear_token(); }},
      {"token.target", [](auto& r) { r.mutable_token()->clear_target(); }},
      {"token.target", [](auto& r) { r.mutable_token()->mutable_target()->clear_resource(); }},
      {"token.expiration", [](auto& r) { r.mutable_token()->clear_expiration(); }},
      {"token.ttl", [](auto& r) { r.mutable_token()->mutable_ttl()->set_seconds(315'576'000'001); }},
      {"token.ttl", [](auto& r) { r.mutable_token()->mutable_ttl()->set_seconds(INT64_MIN); }},
      {"token.ttl", [](auto& r) { r.mutable_token()->mutable_ttl()->set_nanos(1'000'000'000); }},
      {"token.ttl", [](auto& r) { r.mutable_token()->mutable_ttl()->set_nanos(-1); }},
      {"token.expire_time", [](auto& r) { r.mutable_token()->mutable_expire_time()->set_seconds(253'402'300'800); }},
      {"token.expire_time", [](auto& r) { r.mutable_token()->mutable_expire_time()->set_nanos(-1); }},
      {"token.scopes",
       [](auto& r) {
         for (int i = 0; i < 300; ++i) r.mutable_token()->add_scopes("api");
       }},
      {"token.labels",
       [](auto& r) {
         for (int i = 0; i < 300; ++i) (*r.mutable_token()->mutable_labels())[std::to_string(i)] = "x";
       }},
  };
  for (const BadCase& each : cases) {
    v1::CreateTokenRequest request = Good();
    each.spoil(request);
    const absl::Status status = ToCreateRequest(request).status();
    EXPECT_EQ(ReasonOf(status), "FIELD_INVALID") << each.field;
    ASSERT_FALSE(FieldsOf(status).empty());
    EXPECT_EQ(FieldsOf(status)[0].field, each.field);
  }
}

TEST(ConvertTest, OutputOnlyFieldsAreIgnored) {
  Token stored;
  stored.id = std::string(26, 'a');
  stored.owner = "root";
  stored.display_name = "scan";
  stored.target = {"main", TargetKind::kProject, 7, "acme/payments"};
  stored.scopes = {"read_api"};
  stored.access_level = 20;
  stored.labels["team"] = "x";
  stored.state = TokenState::kRevoked;
  stored.revoke_reason = RevokeReason::kRequested;
  stored.predecessor = std::string(26, 'b');
  stored.successor = std::string(26, 'c');
  stored.upstream_id = 9;
  stored.upstream_name = "scan [tb:x:y]";
  stored.create_time = FromMicros(1);
  stored.expire_time = FromMicros(2'000'000);
  stored.revoke_time = FromMicros(3);
  stored.last_used_time = FromMicros(4);
  stored.reconcile_time = FromMicros(5);
  v1::CreateTokenRequest request;
  FromToken(stored, *request.mutable_token());                            // Get,
  request.mutable_token()->set_display_name("scan 2");                    // change,
  const absl::StatusOr<CreateRequest> create = ToCreateRequest(request);  // create.
  ASSERT_TRUE(create.ok()) << create.status();
  EXPECT_EQ(create->display_name, "scan 2");
  EXPECT_EQ(create->target.ref, "acme/payments");
  EXPECT_EQ(create->scopes, stored.scopes);
  EXPECT_EQ(create->labels, stored.labels);
  EXPECT_EQ(create->expire_time, stored.expire_time);
}

TEST(ConvertTest, AValidatedTokenHasAStateOfItsKind) {
  v1::Token out;
  FromToken(Token(), out);
  EXPECT_EQ(out.state(), v1::TOKEN_STATE_VALIDATED);
  EXPECT_EQ(out.name(), "");
}

TEST(ConvertTest, NamesAreExact) {
  const std::string id(26, '0');
  EXPECT_EQ(*ToTokenId("tokens/" + id), id);
  for (const std::string& name :
       {id, std::string("tokens/"), "tokens/" + id + "0", "Tokens/" + id, "tokens/" + std::string(26, 'A'),
        "tokens/../" + id.substr(3), std::string("tokens/\0", 8)}) {
    EXPECT_EQ(FieldsOf(ToTokenId(name).status()).at(0).field, "name") << name;
  }
}

TEST(ConvertTest, ReadsAQuestionByItsVerb) {
  v1::CheckAccessRequest request;
  *request.mutable_token() = Good().token();
  absl::StatusOr<AccessQuestion> question = ToAccessQuestion(request);
  ASSERT_TRUE(question.ok()) << question.status();
  EXPECT_EQ(question->verb, Verb::kCreate);
  EXPECT_EQ(question->request.display_name, "scan");
  EXPECT_EQ(question->request.ttl, Duration(90'500'000));

  request.set_verb("grant");
  EXPECT_EQ(FieldsOf(ToAccessQuestion(request).status()).at(0).field, "verb");
  request.set_verb("rotate");
  request.mutable_token()->clear_expiration();
  EXPECT_EQ(FieldsOf(ToAccessQuestion(request).status()).at(0).field, "token.expiration");
  request.set_verb("read");  // The target is enough.
  question = ToAccessQuestion(request);
  ASSERT_TRUE(question.ok()) << question.status();
  EXPECT_EQ(question->request.target.ref, "acme/payments");
  request.clear_token();
  EXPECT_EQ(FieldsOf(ToAccessQuestion(request).status()).at(0).field, "token");
  request.set_verb("audit");
  EXPECT_EQ(ToAccessQuestion(request)->verb, Verb::kAudit);
}

TEST(ConvertTest, WritesAnAnswer) {
  AccessAnswer answer;
  answer.decision_id = "d";
  answer.reason = "NOT_GRANTED";
  answer.message = "no";
  answer.policy_version = "v";
  answer.rule = {"denies[0]", "", "policy.yaml:1:1"};
  answer.closest = *ToCreateRequest(Good());
  v1::CheckAccessResponse denied;
  FromAccessAnswer(answer, denied);
  EXPECT_FALSE(denied.allowed());
  EXPECT_EQ(denied.decision_id() + denied.reason() + denied.message() + denied.policy_version(), "dNOT_GRANTEDnov");
  EXPECT_FALSE(denied.has_rule());  // Whatever it is.
  EXPECT_EQ(denied.closest().SerializeAsString(), Good().token().SerializeAsString());
  answer.allowed = true;
  answer.rule = {"roles.r.grants[0]", "r", "policy.yaml:3:5"};
  v1::CheckAccessResponse allowed;
  FromAccessAnswer(answer, allowed);
  EXPECT_EQ(allowed.rule().role() + " " + allowed.rule().place() + " " + allowed.rule().position(),
            "r roles.r.grants[0] policy.yaml:3:5");
}

TEST(ConvertTest, WritesATokenWhole) {
  Token token;
  token.id = std::string(26, 'a');
  token.owner = "ci";
  token.display_name = "scan";
  token.target = {"main", TargetKind::kProject, 7, "acme/payments"};
  token.scopes = {"api"};
  token.state = TokenState::kRevoking;
  token.revoke_reason = RevokeReason::kTtl;
  token.upstream_id = 9;
  token.upstream_expire_date = ParseDate("2026-11-27");
  token.create_time = FromMicros(1'500'000);
  token.expire_time = FromMicros(2'000'000);
  v1::Token out;
  FromToken(token, out);
  EXPECT_EQ(out.name(), "tokens/" + token.id);
  EXPECT_EQ(out.owner(), "callers/ci");
  EXPECT_EQ(out.target().project(), "acme/payments");
  EXPECT_EQ(out.state(), v1::TOKEN_STATE_REVOKING);
  EXPECT_EQ(out.revoke_reason(), v1::REVOKE_REASON_TTL);
  EXPECT_EQ(out.upstream().expire_date(), "2026-11-27");
  EXPECT_EQ(out.create_time().seconds(), 1);
  EXPECT_EQ(out.create_time().nanos(), 500'000'000);
  EXPECT_FALSE(out.has_revoke_time());
}

TEST(MessageTextTest, ASecretIsSaidToBeThereAndNotShown) {
  v1::CreateTokenResponse response;
  response.set_secret("glpat-hunter2hunter2hunter2");
  response.mutable_token()->set_display_name("scan");
  const std::string text = MessageText(response);
  EXPECT_EQ(text.find("hunter2"), std::string::npos);
  EXPECT_NE(text.find("[redacted]"), std::string::npos);
  EXPECT_NE(text.find("scan"), std::string::npos);
}

// A newer caller may mark as secret what this build does not know at all.
TEST(MessageTextTest, WhatIsUnknownIsNotShown) {
  v1::CreateTokenRequest request = Good();
  request.mutable_token()
      ->GetReflection()
      ->MutableUnknownFields(request.mutable_token())
      ->AddLengthDelimited(900, "hunter2");
  EXPECT_EQ(MessageText(request).find("hunter2"), std::string::npos);
  EXPECT_NE(MessageText(request).find("scan"), std::string::npos);
}

}  // namespace
}  // namespace tokenbroker
