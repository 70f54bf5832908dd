#pragma once
// Testonly: a caller "ci" who may have little, its twin who may have the same, and a GitLab with more than that.

#include <google/protobuf/text_format.h>

#include <map>
#include <memory>
#include <string>

#include "google/rpc/status.pb.h"
#include "server/rpc/rpc_fixture.h"

namespace tokenbroker {

using Stub = v1::TokenService::Stub;

inline constexpr auto kCreate =
    static_cast<grpc::Status (Stub::*)(grpc::ClientContext*, const v1::CreateTokenRequest&, v1::CreateTokenResponse*)>(
        &Stub::CreateToken);
inline constexpr auto kGet =
    static_cast<grpc::Status (Stub::*)(grpc::ClientContext*, const v1::GetTokenRequest&, v1::Token*)>(&Stub::GetToken);
inline constexpr auto kRevoke =
    static_cast<grpc::Status (Stub::*)(grpc::ClientContext*, const v1::RevokeTokenRequest&, v1::Token*)>(
        &Stub::RevokeToken);
inline constexpr auto kList =
    static_cast<grpc::Status (Stub::*)(grpc::ClientContext*, const v1::ListTokensRequest&, v1::ListTokensResponse*)>(
        &Stub::ListTokens);

inline constexpr char kAccessPolicy[] = R"pb(
  callers {
    name: "ci"
    identities { spiffe: "spiffe://test/ci" }
  }
  callers {
    name: "twin"
    identities { spiffe: "spiffe://test/twin" }
  }
  roles {
    key: "maker"
    value {
      grants {
        verbs: "create"
        targets { project: "acme/*" }
        scopes: "read_api"
        max_access_level: 30
        max_ttl: "8h"
      }
      grants {
        verbs: "create"
        targets { user: 42 username: "demo" }
        targets { user: 1 }
        targets { user: 2 }
        targets { user: 3 }
        targets { user: 4 }
        scopes: "read_user"
        max_ttl: "8h"
      }
    }
  }
  bindings { callers: "ci" callers: "twin" roles: "maker" }
  denies { targets { project: "acme/secret*" } }
)pb";

class AccessTest : public RpcTest {
 protected:
  AccessTest() {
    config::v1::Policy source;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(kAccessPolicy, &source));
    const auto policy = Policy::Compile(source, "test", {});
    EXPECT_TRUE(policy.ok()) << policy.status();
    policies_->Set(*policy);
    gitlab_.AddProject(8, "other/secret");
    gitlab_.AddProject(9, "acme/Secret-plans");
    for (const std::int64_t id : {2, 3, 4}) gitlab_.AddUser(id, "user" + std::to_string(id));
    gitlab_.user(2).is_issuer = true;
    gitlab_.user(3).active = false;
    gitlab_.user(4).bot = true;
  }
  // Whatever was tried, GitLab made nothing for it.
  void TearDown() override { EXPECT_EQ(gitlab_.posts(), allowed_); }

  Stub& stub(const std::string& caller = "ci") {
    auto& stub = stubs_[caller];
    if (stub == nullptr) stub = StubOf(ClientSpec("spiffe://test/" + caller));
    return *stub;
  }
  static v1::CreateTokenRequest ForProject(const std::string& ref) {
    v1::CreateTokenRequest request;
    v1::Token& token = *request.mutable_token();
    token.set_display_name("scan");
    token.mutable_target()->set_project(ref);
    token.add_scopes("read_api");
    token.set_access_level(20);
    token.mutable_ttl()->set_seconds(3600);
    return request;
  }
  static v1::CreateTokenRequest ForUser(const std::string& ref) {
    v1::CreateTokenRequest request = ForProject("");
    request.mutable_token()->mutable_target()->set_user(ref);
    request.mutable_token()->set_scopes(0, "read_user");
    request.mutable_token()->clear_access_level();
    return request;
  }
  // The reason of the refusal; "" if it was none.
  std::string Try(const v1::CreateTokenRequest& request, const std::string& caller = "ci") {
    v1::CreateTokenResponse response;
    const grpc::Status status = Call(stub(caller), kCreate, request, response);
    EXPECT_TRUE(status.ok() || response.secret().empty());
    if (status.ok()) ++allowed_;
    return status.ok() ? "" : InfoOf(status).reason();
  }
  v1::Token Made(const v1::CreateTokenRequest& request, const std::string& caller = "ci") {
    v1::CreateTokenResponse response;
    const grpc::Status status = Call(stub(caller), kCreate, request, response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    ++allowed_;
    return response.token();
  }
  // Everything that a caller is told, without the random id that ties it to the log.
  static std::string Told(const grpc::Status& status) {
    google::rpc::Status details;
    EXPECT_TRUE(details.ParseFromString(status.error_details()));
    for (google::protobuf::Any& any : *details.mutable_details()) {
      google::rpc::ErrorInfo info;
      if (!any.UnpackTo(&info)) continue;
      info.mutable_metadata()->erase("decision_id");
      any.PackFrom(info);
    }
    return std::to_string(status.error_code()) + status.error_message() + details.SerializeAsString();
  }

  int allowed_ = 0;
  std::map<std::string, std::unique_ptr<Stub>> stubs_;
};

}  // namespace tokenbroker
