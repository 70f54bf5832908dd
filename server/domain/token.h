#pragma once
// A token as the broker keeps it.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/clock.h"
#include "server/base/time_text.h"
#include "server/domain/target.h"

namespace tokenbroker {

// The id in "tokens/{id}": 26 characters, see MakeSortableId.
using TokenId = std::string;

enum class TokenState { kPending, kActive, kRevoking, kRevoked, kExpired, kAbandoned };
enum class RevokeReason {
  kNone,
  kRequested,
  kTtl,
  kSuperseded,
  kRotated,
  kPolicy,
  kCallerGone,
  kLateReply,
  kMismatch,
  kOrphan,
  kUpstream,
};

// "PENDING", ...; "REQUESTED", ... (empty for kNone). These are what the ledger, the log and the metrics hold.
std::string_view NameOf(TokenState state);
std::string_view NameOf(RevokeReason reason);
std::optional<TokenState> ParseTokenState(std::string_view name);
std::optional<RevokeReason> ParseRevokeReason(std::string_view name);

// REVOKED, EXPIRED and ABANDONED.
bool IsClosed(TokenState state);

struct Token {
  TokenId id;
  std::string owner;  // The caller's name.
  // How the owner was recognised, see Caller; empty where it was not made from captures, or is not known.
  std::string owner_rule;
  std::map<std::string, std::string> owner_captures;
  std::string display_name;
  std::string purpose;
  ResolvedTarget target;
  std::vector<std::string> scopes;
  int access_level = 0;  // 0 for users.
  std::map<std::string, std::string> labels;

  TokenState state = TokenState::kPending;
  RevokeReason revoke_reason = RevokeReason::kNone;
  TokenId predecessor;  // Empty: none.
  TokenId successor;

  // GitLab's view; 0, empty and nothing until the POST is known to have worked.
  std::int64_t upstream_id = 0;
  std::int64_t upstream_user_id = 0;
  std::string upstream_name;
  std::optional<Date> upstream_expire_date;

  WallTime create_time;
  WallTime expire_time;
  std::optional<WallTime> revoke_time;
  std::optional<WallTime> last_used_time;
  std::optional<WallTime> reconcile_time;
};

// The bytes that the token takes in a message of the public API, rounded up.
std::size_t MessageBytes(const Token& token);

// "tokens/{id}", and back; nothing if the text is no such name (ids are lower case).
std::string ResourceName(const TokenId& id);
std::optional<TokenId> ParseResourceName(std::string_view name);

}  // namespace tokenbroker
