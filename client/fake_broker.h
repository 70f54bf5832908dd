#pragma once
// Testonly: a broker behind real mutual TLS that keeps real tokens in memory and lies only where a test planned it.

#include <grpcpp/server.h>

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "server/base/clock.h"
#include "server/base/error.h"
#include "tests/support/test_certificates.h"
#include "tokenbroker/v1/admin_service.grpc.pb.h"
#include "tokenbroker/v1/token_service.grpc.pb.h"

namespace tokenbroker {

// What the broker's errors look like on the wire.
struct Refusal {
  grpc::StatusCode code = grpc::StatusCode::UNAVAILABLE;
  std::string reason;
  std::string message;
  std::vector<FieldViolation> fields;
  std::optional<Duration> retry_after;
  std::vector<std::pair<std::string, std::string>> metadata;

  grpc::Status ToGrpc() const;
};

// What AdminService does, for FakeBroker.
class FakeAdmin final : public v1::AdminService::Service {
 public:
  void SetAudit(std::vector<v1::AuditRecord> records);
  // What ListUnknownTokens answers, in one page.
  void SetUnknown(const v1::ListUnknownTokensResponse& found);
  // The upstream ids that arrived, in order. More than 250 in a call are rejected, as the broker does.
  std::vector<std::int64_t> adopted() const;
  std::vector<std::int64_t> revoked() const;
  // What ListPolicyViolations answers, in one page.
  void SetViolations(const v1::ListPolicyViolationsResponse& found);
  // The names that arrived at RevokePolicyViolations, in order.
  std::vector<std::string> revoked_violations() const;

 private:
  // Without regard to from_time.
  grpc::Status ExportAudit(grpc::ServerContext* context, const v1::ExportAuditRequest* request,
                           grpc::ServerWriter<v1::ExportAuditResponse>* writer) override;

  grpc::Status ListUnknownTokens(grpc::ServerContext* context, const v1::ListUnknownTokensRequest* request,
                                 v1::ListUnknownTokensResponse* response) override;
  grpc::Status AdoptTokens(grpc::ServerContext* context, const v1::AdoptTokensRequest* request,
                           v1::AdoptTokensResponse* response) override;
  grpc::Status RevokeUnknownTokens(grpc::ServerContext* context, const v1::RevokeUnknownTokensRequest* request,
                                   v1::RevokeUnknownTokensResponse* response) override;
  grpc::Status ListPolicyViolations(grpc::ServerContext* context, const v1::ListPolicyViolationsRequest* request,
                                    v1::ListPolicyViolationsResponse* response) override;
  grpc::Status RevokePolicyViolations(grpc::ServerContext* context, const v1::RevokePolicyViolationsRequest* request,
                                      v1::RevokePolicyViolationsResponse* response) override;

  mutable std::mutex mutex_;
  std::vector<v1::AuditRecord> audit_;
  v1::ListUnknownTokensResponse unknown_;
  std::vector<std::int64_t> adopted_, revoked_;
  v1::ListPolicyViolationsResponse violations_;
  std::vector<std::string> revoked_violations_;
};

// Thread-safe.
class FakeBroker final : public v1::TokenService::Service {
 public:
  // Serves on a free port of 127.0.0.1, to clients with a certificate of `authority`.
  explicit FakeBroker(TestAuthority& authority);
  ~FakeBroker() override;

  const std::string& address() const { return address_; }

  // The next call, of whatever method, ends like this, before it does anything; several are used up in order.
  void PlanNext(const Refusal& refusal);
  // Sets what the next tokens are called at "GitLab", whatever it is.
  void SetSecret(const std::string& secret);

  FakeAdmin& admin() { return admin_; }

  // What arrived, in order, refused calls included.
  std::vector<v1::CreateTokenRequest> creates() const;
  std::vector<v1::ListTokensRequest> lists() const;
  std::vector<v1::CheckAccessRequest> checks() const;
  // The SPIFFE identity of each call's certificate.
  std::vector<std::string> peers() const;
  // When the calls arrived, as counted by the steady clock.
  std::vector<std::chrono::steady_clock::time_point> times() const;

 private:
  grpc::Status CreateToken(grpc::ServerContext* context, const v1::CreateTokenRequest* request,
                           v1::CreateTokenResponse* response) override;
  grpc::Status GetToken(grpc::ServerContext* context, const v1::GetTokenRequest* request, v1::Token* response) override;
  grpc::Status ListTokens(grpc::ServerContext* context, const v1::ListTokensRequest* request,
                          v1::ListTokensResponse* response) override;
  grpc::Status RevokeToken(grpc::ServerContext* context, const v1::RevokeTokenRequest* request,
                           v1::Token* response) override;
  grpc::Status GetCaller(grpc::ServerContext* context, const v1::GetCallerRequest* request,
                         v1::GetCallerResponse* response) override;
  // Allows what asks for read_user alone, and proposes that.
  grpc::Status CheckAccess(grpc::ServerContext* context, const v1::CheckAccessRequest* request,
                           v1::CheckAccessResponse* response) override;

  // Notes the call; what was planned for it.
  grpc::Status Arrive(const grpc::ServerContext& context);
  v1::Token* Find(const std::string& name);

  mutable std::mutex mutex_;
  std::deque<grpc::Status> planned_;
  std::string secret_ = "glpat-fake_secret";
  std::vector<v1::CreateTokenRequest> creates_;
  std::vector<v1::ListTokensRequest> lists_;
  std::vector<v1::CheckAccessRequest> checks_;
  std::vector<std::string> peers_;
  std::vector<std::chrono::steady_clock::time_point> times_;
  std::deque<v1::Token> tokens_;
  FakeAdmin admin_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

// A folder of its own with ca.pem, cert.pem and key.pem for the client `uri`; removed when this goes.
class ClientFolder {
 public:
  ClientFolder(TestAuthority& authority, const std::string& uri);
  ClientFolder(const ClientFolder&) = delete;
  ClientFolder& operator=(const ClientFolder&) = delete;
  ~ClientFolder();

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  // Replaces certificate and key, the key first.
  void Replace(const TestCertificate& with) const;

 private:
  std::string folder_;
};

}  // namespace tokenbroker
