#include "server/domain/token.h"

#include <algorithm>
#include <array>
#include <utility>

namespace tokenbroker {
namespace {

constexpr std::array<std::pair<TokenState, std::string_view>, 6> kStates = {{
    {TokenState::kPending, "PENDING"},
    {TokenState::kActive, "ACTIVE"},
    {TokenState::kRevoking, "REVOKING"},
    {TokenState::kRevoked, "REVOKED"},
    {TokenState::kExpired, "EXPIRED"},
    {TokenState::kAbandoned, "ABANDONED"},
}};
constexpr std::array<std::pair<RevokeReason, std::string_view>, 11> kReasons = {{
    {RevokeReason::kNone, ""},
    {RevokeReason::kRequested, "REQUESTED"},
    {RevokeReason::kTtl, "TTL"},
    {RevokeReason::kSuperseded, "SUPERSEDED"},
    {RevokeReason::kRotated, "ROTATED"},
    {RevokeReason::kPolicy, "POLICY"},
    {RevokeReason::kCallerGone, "CALLER_GONE"},
    {RevokeReason::kLateReply, "LATE_REPLY"},
    {RevokeReason::kMismatch, "MISMATCH"},
    {RevokeReason::kOrphan, "ORPHAN"},
    {RevokeReason::kUpstream, "UPSTREAM"},
}};

template <typename Table, typename Key>
std::string_view TextIn(const Table& table, Key key) {
  return std::find_if(table.begin(), table.end(), [&](const auto& each) { return each.first == key; })->second;
}

template <typename Key, std::size_t kSize>
std::optional<Key> KeyIn(const std::array<std::pair<Key, std::string_view>, kSize>& table, std::string_view text) {
  for (const auto& [key, name] : table) {
    if (name == text) return key;
  }
  return std::nullopt;
}

constexpr std::string_view kPrefix = "tokens/";

}  // namespace

std::string_view NameOf(TokenState state) { return TextIn(kStates, state); }
std::string_view NameOf(RevokeReason reason) { return TextIn(kReasons, reason); }
std::optional<TokenState> ParseTokenState(std::string_view name) { return KeyIn(kStates, name); }
std::optional<RevokeReason> ParseRevokeReason(std::string_view name) { return KeyIn(kReasons, name); }

bool IsClosed(TokenState state) {
  return state == TokenState::kRevoked || state == TokenState::kExpired || state == TokenState::kAbandoned;
}

std::size_t MessageBytes(const Token& token) {
  // Tags, lengths, numbers, times, and the prefixes of resource names.
  constexpr std::size_t kFixed = 512;
  constexpr std::size_t kEntry = 16;
  std::size_t bytes = kFixed + token.id.size() + token.owner.size() + token.display_name.size() + token.purpose.size() +
                      token.target.instance.size() + token.target.path.size() + token.predecessor.size() +
                      token.successor.size() + token.upstream_name.size();
  for (const std::string& scope : token.scopes) bytes += kEntry + scope.size();
  for (const auto& [key, value] : token.labels) bytes += kEntry + key.size() + value.size();
  return bytes;
}

std::string ResourceName(const TokenId& id) { return std::string(kPrefix) + id; }

std::optional<TokenId> ParseResourceName(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  const bool plain =
      std::all_of(name.begin(), name.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'); });
  if (name.size() != 26 || !plain) return std::nullopt;
  return std::string(name);
}

}  // namespace tokenbroker
