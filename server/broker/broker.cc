#include "server/broker/broker.h"

#include <utility>

#include "server/broker/core.h"

namespace tokenbroker {

struct Broker::Impl : Core {
  using Core::Core;
};

namespace {

Task<void> StopJobs(Core* core) {
  core->stop.Set();
  core->lifecycle.Wake();
  co_return;
}

}  // namespace

Broker::Broker(BrokerParts parts, BrokerOptions options) : impl_(std::make_unique<Impl>(parts, std::move(options))) {}

Broker::~Broker() = default;

Task<absl::StatusOr<Created>> Broker::Create(CallContext call, Caller caller, CreateRequest request) {
  return CreateToken(impl_.get(), std::move(call), std::move(caller), std::move(request));
}

Task<absl::StatusOr<Token>> Broker::Get(Caller caller, TokenId id) {
  return GetToken(impl_.get(), std::move(caller), std::move(id));
}

Task<absl::StatusOr<ListPage>> Broker::List(Caller caller, ListRequest request) {
  return ListTokens(impl_.get(), std::move(caller), std::move(request));
}

Task<absl::StatusOr<Token>> Broker::Revoke(CallContext call, Caller caller, TokenId id) {
  return RevokeToken(impl_.get(), std::move(call), std::move(caller), std::move(id));
}

CallerView Broker::GetCaller(const Caller& caller) const {
  const std::shared_ptr<const Policy> policy = impl_->parts.policies.Current();
  return {caller, policy->GrantsOf(caller), policy->version()};
}

Task<absl::StatusOr<AccessAnswer>> Broker::CheckAccess(CallContext call, Caller caller, AccessQuestion question) {
  return tokenbroker::CheckAccess(impl_.get(), std::move(call), std::move(caller), std::move(question));
}

Task<absl::StatusOr<std::vector<AuditRecord>>> Broker::ReadAudit(Caller caller, AuditQuery query) {
  return ReadAuditPage(impl_.get(), std::move(caller), std::move(query));
}

Task<absl::StatusOr<Findings>> Broker::ListUnknown(Caller caller, std::int64_t after, int limit) {
  return ListUnknownTokens(impl_.get(), std::move(caller), after, limit);
}

Task<absl::StatusOr<std::vector<Token>>> Broker::TakeInUnknown(CallContext call, Caller caller, UnknownChoice choice) {
  return tokenbroker::TakeInUnknown(impl_.get(), std::move(call), std::move(caller), std::move(choice));
}

Task<absl::StatusOr<ViolationPage>> Broker::ListViolations(Caller caller, int page_size, std::string page_token) {
  return ListPolicyViolations(impl_.get(), std::move(caller), page_size, std::move(page_token));
}

Task<absl::StatusOr<std::vector<Token>>> Broker::RevokeViolations(Caller caller, std::vector<TokenId> ids) {
  return RevokePolicyViolations(impl_.get(), std::move(caller), std::move(ids));
}

TaskScope& Broker::scope() { return impl_->scope; }

void Broker::StartLifecycle() {
  impl_->scope.Spawn(impl_->issuer.Run(impl_->stop));
  impl_->scope.Spawn(impl_->lifecycle.Run(impl_->stop));
  impl_->scope.Spawn(impl_->reconciler.Run(impl_->stop));
}

void Broker::ClockWentBack() { impl_->lifecycle.BoundWaits(); }

bool Broker::Drain(Duration patience) {
  impl_->scope.Spawn(StopJobs(impl_.get()));
  return impl_->scope.WaitIdle(patience);
}

}  // namespace tokenbroker
