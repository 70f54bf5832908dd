#include "client/fake_broker.h"

#include <google/protobuf/util/time_util.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace tokenbroker {
namespace {

constexpr int kMostAtOnce = 250;

using google::protobuf::util::TimeUtil;

void Complete(v1::Token& token, std::size_t number) {
  token.set_name("tokens/t" + std::to_string(number));
  token.set_state(v1::TOKEN_STATE_ACTIVE);
  token.set_owner("callers/demo");
  token.mutable_upstream()->set_id(static_cast<std::int64_t>(1000 + number));
  token.mutable_upstream()->set_user_id(42);
  token.mutable_upstream()->set_name(token.display_name() + " [tb:test:t" + std::to_string(number) + "]");
  *token.mutable_create_time() = TimeUtil::GetCurrentTime();
  if (token.has_ttl()) {
    const google::protobuf::Timestamp end = token.create_time() + token.ttl();
    *token.mutable_expire_time() = end;
  }
  token.mutable_upstream()->set_expire_date(TimeUtil::ToString(token.expire_time()).substr(0, 10));
}

}  // namespace

grpc::Status Refusal::ToGrpc() const {
  google::rpc::Status details;
  details.set_code(code);
  details.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("tokenbroker");
  for (const auto& [key, value] : metadata) (*info.mutable_metadata())[key] = value;
  details.add_details()->PackFrom(info);
  if (!fields.empty()) {
    google::rpc::BadRequest bad;
    for (const FieldViolation& field : fields) {
      auto* violation = bad.add_field_violations();
      violation->set_field(field.field);
      violation->set_description(field.description);
    }
    details.add_details()->PackFrom(bad);
  }
  if (retry_after.has_value()) {
    google::rpc::RetryInfo retry;
    *retry.mutable_retry_delay() = TimeUtil::MicrosecondsToDuration(retry_after->count());
    details.add_details()->PackFrom(retry);
  }
  return {code, message, details.SerializeAsString()};
}

FakeBroker::FakeBroker(TestAuthority& authority) {
  const TestCertificate own = authority.Issue(ServerSpec());
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = authority.certificate_pem();
  options.pem_key_cert_pairs.push_back({own.key_pem, own.certificate_pem});
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options), &port);
  builder.RegisterService(this);
  builder.RegisterService(&admin_);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) std::abort();
  // Not localhost: the resolver of gRPC leaks a few bytes with each name, which LeakSanitizer would report.
  address_ = "127.0.0.1:" + std::to_string(port);
}

FakeBroker::~FakeBroker() { server_->Shutdown(); }

void FakeBroker::PlanNext(const Refusal& refusal) {
  const std::lock_guard lock(mutex_);
  planned_.push_back(refusal.ToGrpc());
}

void FakeBroker::SetSecret(const std::string& secret) {
  const std::lock_guard lock(mutex_);
  secret_ = secret;
}

std::vector<v1::CreateTokenRequest> FakeBroker::creates() const {
  const std::lock_guard lock(mutex_);
  return creates_;
}

std::vector<v1::CheckAccessRequest> FakeBroker::checks() const {
  const std::lock_guard lock(mutex_);
  return checks_;
}

std::vector<v1::ListTokensRequest> FakeBroker::lists() const {
  const std::lock_guard lock(mutex_);
  return lists_;
}

std::vector<std::string> FakeBroker::peers() const {
  const std::lock_guard lock(mutex_);
  return peers_;
}

std::vector<std::chrono::steady_clock::time_point> FakeBroker::times() const {
  const std::lock_guard lock(mutex_);
  return times_;
}

grpc::Status FakeBroker::Arrive(const grpc::ServerContext& context) {
  const std::vector<grpc::string_ref> uris = context.auth_context()->FindPropertyValues("peer_spiffe_id");
  peers_.push_back(uris.empty() ? "" : std::string(uris[0].data(), uris[0].size()));
  times_.push_back(std::chrono::steady_clock::now());
  if (planned_.empty()) return grpc::Status::OK;
  grpc::Status planned = planned_.front();
  planned_.pop_front();
  return planned;
}

v1::Token* FakeBroker::Find(const std::string& name) {
  for (v1::Token& token : tokens_) {
    if (token.name() == name) return &token;
  }
  return nullptr;
}

grpc::Status FakeBroker::CreateToken(grpc::ServerContext* context, const v1::CreateTokenRequest* request,
                                     v1::CreateTokenResponse* response) {
  const std::lock_guard lock(mutex_);
  creates_.push_back(*request);
  grpc::Status planned = Arrive(*context);
  if (!planned.ok()) return planned;
  *response->mutable_token() = request->token();
  if (request->validate_only()) {
    response->mutable_token()->set_state(v1::TOKEN_STATE_VALIDATED);
    return grpc::Status::OK;
  }
  Complete(*response->mutable_token(), tokens_.size() + 1);
  tokens_.push_front(response->token());
  response->set_secret(secret_);
  return grpc::Status::OK;
}

grpc::Status FakeBroker::GetToken(grpc::ServerContext* context, const v1::GetTokenRequest* request,
                                  v1::Token* response) {
  const std::lock_guard lock(mutex_);
  grpc::Status planned = Arrive(*context);
  if (!planned.ok()) return planned;
  const v1::Token* found = Find(request->name());
  if (found == nullptr) return Refusal{grpc::NOT_FOUND, "TOKEN_NOT_FOUND", "no such token", {}, {}, {}}.ToGrpc();
  *response = *found;
  return grpc::Status::OK;
}

grpc::Status FakeBroker::ListTokens(grpc::ServerContext* context, const v1::ListTokensRequest* request,
                                    v1::ListTokensResponse* response) {
  const std::lock_guard lock(mutex_);
  lists_.push_back(*request);
  grpc::Status planned = Arrive(*context);
  if (!planned.ok()) return planned;
  // Pages of two at most, so that few tokens make many pages.
  const std::size_t first = request->page_token().empty() ? 0 : std::stoul(request->page_token());
  std::size_t at = first;
  for (; at < tokens_.size() && at < first + 2; ++at) {
    const bool closed = tokens_[at].state() == v1::TOKEN_STATE_REVOKED;
    if (!closed || request->show_closed()) *response->add_tokens() = tokens_[at];
  }
  if (at < tokens_.size()) response->set_next_page_token(std::to_string(at));
  return grpc::Status::OK;
}

grpc::Status FakeBroker::RevokeToken(grpc::ServerContext* context, const v1::RevokeTokenRequest* request,
                                     v1::Token* response) {
  const std::lock_guard lock(mutex_);
  grpc::Status planned = Arrive(*context);
  if (!planned.ok()) return planned;
  v1::Token* found = Find(request->name());
  if (found == nullptr) return Refusal{grpc::NOT_FOUND, "TOKEN_NOT_FOUND", "no such token", {}, {}, {}}.ToGrpc();
  found->set_state(v1::TOKEN_STATE_REVOKED);
  found->set_revoke_reason(v1::REVOKE_REASON_REQUESTED);
  *response = *found;
  return grpc::Status::OK;
}

grpc::Status FakeBroker::CheckAccess(grpc::ServerContext* context, const v1::CheckAccessRequest* request,
                                     v1::CheckAccessResponse* response) {
  const std::lock_guard lock(mutex_);
  checks_.push_back(*request);
  grpc::Status planned = Arrive(*context);
  if (!planned.ok()) return planned;
  const v1::Token& token = request->token();
  response->set_decision_id("dec1510n1d");
  response->set_policy_version("0123456789abcdef");
  response->set_allowed(token.scopes_size() == 1 && token.scopes(0) == "read_user");
  response->set_reason(response->allowed() ? "GRANTED" : "NOT_GRANTED");
  if (response->allowed()) {
    response->mutable_rule()->set_role("reader");
    response->mutable_rule()->set_place("roles.reader.grants[0]");
    response->mutable_rule()->set_position("policy.yaml:12:5");
    return grpc::Status::OK;
  }
  response->set_message("the policy grants the caller nothing that covers this request");
  *response->mutable_closest() = token;
  response->mutable_closest()->clear_scopes();
  response->mutable_closest()->add_scopes("read_user");
  return grpc::Status::OK;
}

grpc::Status FakeBroker::GetCaller(grpc::ServerContext* context, const v1::GetCallerRequest*,
                                   v1::GetCallerResponse* response) {
  const std::lock_guard lock(mutex_);
  grpc::Status planned = Arrive(*context);
  if (!planned.ok()) return planned;
  v1::Caller& caller = *response->mutable_caller();
  caller.set_name("callers/demo");
  caller.set_identity(peers_.back());
  caller.set_policy_version("0123456789abcdef");
  v1::Grant& grant = *caller.add_grants();
  grant.set_role("reader");
  grant.add_verbs("create");
  grant.add_targets("user:42");
  grant.add_targets("project:acme/*");
  grant.add_scopes("read_user");
  grant.add_scopes("read_repository");
  grant.set_max_access_level(30);
  grant.mutable_max_ttl()->set_seconds(28'800);
  grant.mutable_min_ttl()->set_seconds(300);
  grant.set_display_name("ci-*");
  (*grant.mutable_required_labels())["team"] = "pay*";
  (*grant.mutable_required_labels())["env"] = "prod";
  grant.set_max_active(20);
  grant.set_creates_per_minute(6);
  grant.mutable_not_after()->set_seconds(1'893'553'445);
  grant.mutable_max_chain_age()->set_seconds(2'592'000);
  return grpc::Status::OK;
}

void FakeAdmin::SetAudit(std::vector<v1::AuditRecord> records) {
  const std::lock_guard lock(mutex_);
  audit_ = std::move(records);
}

void FakeAdmin::SetUnknown(const v1::ListUnknownTokensResponse& found) {
  const std::lock_guard lock(mutex_);
  unknown_ = found;
}

std::vector<std::int64_t> FakeAdmin::adopted() const {
  const std::lock_guard lock(mutex_);
  return adopted_;
}

std::vector<std::int64_t> FakeAdmin::revoked() const {
  const std::lock_guard lock(mutex_);
  return revoked_;
}

grpc::Status FakeAdmin::ListUnknownTokens(grpc::ServerContext* /*context*/,
                                          const v1::ListUnknownTokensRequest* /*request*/,
                                          v1::ListUnknownTokensResponse* response) {
  const std::lock_guard lock(mutex_);
  *response = unknown_;
  return grpc::Status::OK;
}

grpc::Status FakeAdmin::AdoptTokens(grpc::ServerContext* /*context*/, const v1::AdoptTokensRequest* request,
                                    v1::AdoptTokensResponse* /*response*/) {
  if (request->upstream_ids_size() > kMostAtOnce) return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "too many");
  const std::lock_guard lock(mutex_);
  adopted_.insert(adopted_.end(), request->upstream_ids().begin(), request->upstream_ids().end());
  return grpc::Status::OK;
}

grpc::Status FakeAdmin::RevokeUnknownTokens(grpc::ServerContext* /*context*/,
                                            const v1::RevokeUnknownTokensRequest* request,
                                            v1::RevokeUnknownTokensResponse* /*response*/) {
  if (request->upstream_ids_size() > kMostAtOnce) return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "too many");
  const std::lock_guard lock(mutex_);
  revoked_.insert(revoked_.end(), request->upstream_ids().begin(), request->upstream_ids().end());
  return grpc::Status::OK;
}

void FakeAdmin::SetViolations(const v1::ListPolicyViolationsResponse& found) {
  const std::lock_guard lock(mutex_);
  violations_ = found;
}

std::vector<std::string> FakeAdmin::revoked_violations() const {
  const std::lock_guard lock(mutex_);
  return revoked_violations_;
}

grpc::Status FakeAdmin::ListPolicyViolations(grpc::ServerContext* /*context*/,
                                             const v1::ListPolicyViolationsRequest* /*request*/,
                                             v1::ListPolicyViolationsResponse* response) {
  const std::lock_guard lock(mutex_);
  *response = violations_;
  return grpc::Status::OK;
}

grpc::Status FakeAdmin::RevokePolicyViolations(grpc::ServerContext* /*context*/,
                                               const v1::RevokePolicyViolationsRequest* request,
                                               v1::RevokePolicyViolationsResponse* /*response*/) {
  const std::lock_guard lock(mutex_);
  revoked_violations_.insert(revoked_violations_.end(), request->names().begin(), request->names().end());
  return grpc::Status::OK;
}

grpc::Status FakeAdmin::ExportAudit(grpc::ServerContext* /*context*/, const v1::ExportAuditRequest* request,
                                    grpc::ServerWriter<v1::ExportAuditResponse>* writer) {
  const std::lock_guard lock(mutex_);
  for (const v1::AuditRecord& record : audit_) {
    if (request->has_after() && record.seq() <= request->after().seq()) continue;
    v1::ExportAuditResponse response;
    *response.mutable_record() = record;
    writer->Write(response);
  }
  return grpc::Status::OK;
}

ClientFolder::ClientFolder(TestAuthority& authority, const std::string& uri) {
  const char* base = std::getenv("TEST_TMPDIR");
  folder_ = std::string(base == nullptr ? "/tmp" : base) + "/client_XXXXXX";
  if (mkdtemp(folder_.data()) == nullptr) std::abort();
  WriteFileOrDie(Path("ca.pem"), authority.certificate_pem());
  Replace(authority.Issue(ClientSpec(uri)));
}

ClientFolder::~ClientFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void ClientFolder::Replace(const TestCertificate& with) const {
  WriteFileOrDie(Path("key.pem"), with.key_pem);
  WriteFileOrDie(Path("cert.pem"), with.certificate_pem);
}

}  // namespace tokenbroker
