#pragma once
// From what GitLab shows of a token to what the ledger keeps of it, and back.

#include <utility>

#include "server/gitlab/gitlab.h"
#include "server/ledger/ledger.h"

namespace tokenbroker {

inline MadeUpstream MadeOf(const UpstreamToken& token) {
  return {token.id, token.user_id, token.name, token.expires_at};
}

inline SeenToken SeenOf(const UpstreamToken& token, TokenId marked) {
  return {MadeOf(token), std::move(marked), token.last_used_at};
}

// What names a row's token in requests to GitLab.
inline UpstreamRef RefOf(const Token& token) { return {token.target, token.upstream_id, token.upstream_user_id}; }

}  // namespace tokenbroker
