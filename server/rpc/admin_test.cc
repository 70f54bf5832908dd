// What those may do who run the broker, through the real door.

#include <google/protobuf/text_format.h>

#include "server/domain/marker.h"
#include "server/rpc/rpc_fixture.h"
#include "tokenbroker/v1/admin_service.grpc.pb.h"

namespace tokenbroker {
namespace {

class AdminTest : public RpcTest {
 protected:
  std::unique_ptr<v1::AdminService::Stub> StubFor(const std::string& caller) {
    const TestCertificateSpec spec = ClientSpec("spiffe://test/" + caller);
    return v1::AdminService::NewStub(ChannelOf(&spec));
  }
  template <typename Method, typename Request, typename Response>
  grpc::Status CallAdmin(Method method, const Request& request, Response& response,
                         const std::string& caller = "warden") {
    const auto stub = StubFor(caller);
    grpc::ClientContext context;
    // The broker's clock may be ahead of this host's by what a test lets pass.
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::hours(1));
    grpc::Status status;
    Meanwhile([&] { status = ((*stub).*method)(&context, request, &response); });
    return status;
  }
  std::int64_t Plant() {
    MintSpec spec;
    spec.target = {"main", TargetKind::kUser, 42, "demo"};
    spec.name = UpstreamNameOf("nightly", "tb1", MakeSortableId(loop_.Now(), random_));
    spec.description = UpstreamDescriptionOf("ci", loop_.Now() + hours(2), "scan");
    spec.scopes = {"read_user"};
    spec.expires_at = DateOf(loop_.Now()) + std::chrono::days(2);
    return gitlab_.Plant(spec);
  }
  v1::ListUnknownTokensResponse List(int page_size = 0, const std::string& page_token = "") {
    v1::ListUnknownTokensRequest request;
    request.set_page_size(page_size);
    request.set_page_token(page_token);
    v1::ListUnknownTokensResponse response;
    const grpc::Status status = CallAdmin(kList, request, response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  using Stub = v1::AdminService::Stub;
  static constexpr auto kList =
      static_cast<grpc::Status (Stub::*)(grpc::ClientContext*, const v1::ListUnknownTokensRequest&,
                                         v1::ListUnknownTokensResponse*)>(&Stub::ListUnknownTokens);
  static constexpr auto kAdopt = static_cast<grpc::Status (Stub::*)(grpc::ClientContext*, const v1::AdoptTokensRequest&,
                                                                    v1::AdoptTokensResponse*)>(&Stub::AdoptTokens);
  static constexpr auto kRevoke =
      static_cast<grpc::Status (Stub::*)(grpc::ClientContext*, const v1::RevokeUnknownTokensRequest&,
                                         v1::RevokeUnknownTokensResponse*)>(&Stub::RevokeUnknownTokens);
  static constexpr auto kListViolations =
      static_cast<grpc::Status (Stub::*)(grpc::ClientContext*, const v1::ListPolicyViolationsRequest&,
                                         v1::ListPolicyViolationsResponse*)>(&Stub::ListPolicyViolations);
  static constexpr auto kRevokeViolations =
      static_cast<grpc::Status (Stub::*)(grpc::ClientContext*, const v1::RevokePolicyViolationsRequest&,
                                         v1::RevokePolicyViolationsResponse*)>(&Stub::RevokePolicyViolations);
};

TEST_F(AdminTest, IsOpenedByTheVerbAlone) {
  v1::ListUnknownTokensResponse listed;
  v1::AdoptTokensResponse adopted;
  v1::RevokeUnknownTokensResponse revoked;
  for (const grpc::Status& status : {CallAdmin(kList, v1::ListUnknownTokensRequest(), listed, "ci"),
                                     CallAdmin(kAdopt, v1::AdoptTokensRequest(), adopted, "ci"),
                                     CallAdmin(kRevoke, v1::RevokeUnknownTokensRequest(), revoked, "ci")}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
    EXPECT_EQ(InfoOf(status).reason(), "NOT_GRANTED");
  }
}

TEST_F(AdminTest, UnknownTokensAreListedInPagesAdoptedAndRevoked) {
  std::vector<std::int64_t> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(Plant());
  EXPECT_FALSE(List().has_walk_time());
  StartJobs();
  Pass(minutes(5), seconds(5));
  const v1::ListUnknownTokensResponse first = List(2);
  EXPECT_TRUE(first.has_walk_time());
  ASSERT_EQ(first.unknown_tokens_size(), 2);
  EXPECT_EQ(first.total_size(), 3);
  const v1::UnknownToken& token = first.unknown_tokens(0);
  EXPECT_EQ(token.upstream().id(), ids[0]);
  EXPECT_EQ(token.reason(), v1::UNKNOWN_REASON_NO_ROW);
  EXPECT_TRUE(token.adoptable());
  EXPECT_EQ(token.owner(), "callers/ci");
  EXPECT_EQ(token.purpose(), "scan");
  EXPECT_EQ(token.target().user(), "42");
  EXPECT_TRUE(token.has_expire_time());
  const v1::ListUnknownTokensResponse second = List(2, first.next_page_token());
  ASSERT_EQ(second.unknown_tokens_size(), 1);
  EXPECT_EQ(second.unknown_tokens(0).upstream().id(), ids[2]);
  EXPECT_EQ(second.next_page_token(), "");

  v1::AdoptTokensRequest adopt;
  adopt.set_expected_count(2);
  v1::AdoptTokensResponse adopted;
  const grpc::Status differs = CallAdmin(kAdopt, adopt, adopted);
  EXPECT_EQ(differs.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(InfoOf(differs).reason(), "COUNT_DIFFERS");
  EXPECT_EQ(InfoOf(differs).metadata().at("count"), "3");
  adopt.add_upstream_ids(ids[0]);
  adopt.add_upstream_ids(ids[2]);
  const grpc::Status exact = CallAdmin(kAdopt, adopt, adopted);
  ASSERT_TRUE(exact.ok()) << exact.error_message();
  ASSERT_EQ(adopted.tokens_size(), 2);
  EXPECT_EQ(adopted.tokens(0).owner(), "callers/ci");
  EXPECT_EQ(adopted.tokens(0).state(), v1::TOKEN_STATE_ACTIVE);

  v1::RevokeUnknownTokensRequest revoke;
  revoke.set_expected_count(1);
  v1::RevokeUnknownTokensResponse revoked;
  ASSERT_TRUE(CallAdmin(kRevoke, revoke, revoked).ok());
  ASSERT_EQ(revoked.tokens_size(), 1);
  EXPECT_EQ(revoked.tokens(0).state(), v1::TOKEN_STATE_REVOKING);
  EXPECT_EQ(List().unknown_tokens_size(), 0);
  Pass(seconds(5));
  EXPECT_EQ(gitlab_.live().size(), 2u);
}

TEST_F(AdminTest, ViolationsAreListedAndRevokedByName) {
  const absl::StatusOr<Created> made = Create(UserToken());
  ASSERT_TRUE(made.ok()) << made.status();
  v1::ListPolicyViolationsResponse listed;
  ASSERT_TRUE(CallAdmin(kListViolations, v1::ListPolicyViolationsRequest(), listed).ok());
  EXPECT_EQ(listed.violations_size(), 0);
  v1::RevokePolicyViolationsRequest request;
  v1::RevokePolicyViolationsResponse revoked;
  EXPECT_EQ(InfoOf(CallAdmin(kRevokeViolations, request, revoked)).reason(), "FIELD_INVALID");
  request.add_names("tokens/x");
  EXPECT_EQ(InfoOf(CallAdmin(kRevokeViolations, request, revoked)).reason(), "FIELD_INVALID");
  request.set_names(0, ResourceName(made->token.id));
  EXPECT_EQ(InfoOf(CallAdmin(kRevokeViolations, request, revoked)).reason(), "TOKEN_CHANGED");

  config::v1::Policy source;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(R"(
    callers { name: "warden" identities { spiffe: "spiffe://test/warden" } }
    roles { key: "warden" value { grants { verbs: "reconcile" } } }
    bindings { callers: "warden" roles: "warden" })",
                                                            &source));
  policies_->Set(*Policy::Compile(source, "nobody", {}));
  ASSERT_TRUE(CallAdmin(kListViolations, v1::ListPolicyViolationsRequest(), listed).ok());
  ASSERT_EQ(listed.violations_size(), 1);
  EXPECT_EQ(listed.policy_version(), "nobody");
  EXPECT_EQ(listed.violations(0).token().name(), request.names(0));
  EXPECT_EQ(listed.violations(0).detail(), "the policy has no caller ci");
  request.add_names(request.names(0));
  EXPECT_EQ(InfoOf(CallAdmin(kRevokeViolations, request, revoked)).reason(), "FIELD_INVALID");  // Twice.
  request.mutable_names()->RemoveLast();
  ASSERT_TRUE(CallAdmin(kRevokeViolations, request, revoked).ok());
  ASSERT_EQ(revoked.tokens_size(), 1);
  EXPECT_EQ(revoked.tokens(0).revoke_reason(), v1::REVOKE_REASON_POLICY);
}

TEST_F(AdminTest, APageTokenOfAnotherListIsRefused) {
  v1::ListUnknownTokensRequest request;
  request.set_page_token("x1");
  v1::ListUnknownTokensResponse response;
  EXPECT_EQ(InfoOf(CallAdmin(kList, request, response)).reason(), "PAGE_TOKEN_INVALID");
  request.set_page_token("");
  request.set_page_size(-1);
  EXPECT_EQ(InfoOf(CallAdmin(kList, request, response)).reason(), "FIELD_INVALID");
}

}  // namespace
}  // namespace tokenbroker
