#include "tests/crash/whereabouts.h"

namespace tokenbroker {
namespace {

std::string_view UseOf(const TokenRecord& record) {
  if (record.pending || record.token.state == TokenState::kAbandoned) return "look";
  switch (record.token.revoke_reason) {
    case RevokeReason::kRequested:
      return "revoke";
    case RevokeReason::kTtl:
      return "expiry";
    case RevokeReason::kOrphan:
      return "look";
    case RevokeReason::kSuperseded:
      return "repeat";
    default:
      return "create";
  }
}

}  // namespace

void Whereabouts::At(std::string_view use, std::string_view step, std::string_view side) {
  std::string name(use);
  name.append(".").append(step).append(":").append(side);
  if (const std::optional<std::size_t> point = PointNamed(name)) Pass(control_, *point);
}

void Whereabouts::Learn(const TokenRecord& record) {
  const std::string_view use = UseOf(record);
  by_token_[record.token.id] = use;
  if (record.token.upstream_id != 0) by_upstream_[record.token.upstream_id] = use;
}

std::string_view Whereabouts::Of(const TokenId& id) const {
  const auto found = by_token_.find(id);
  return found == by_token_.end() ? "create" : found->second;
}

std::optional<std::string_view> Whereabouts::Of(std::int64_t upstream_id) const {
  const auto found = by_upstream_.find(upstream_id);
  if (found == by_upstream_.end()) return std::nullopt;
  return found->second;
}

void Whereabouts::FoundNothing(std::uint32_t since) {
  if (control_.under_way == 0) control_.idle_at = since;
}

}  // namespace tokenbroker
