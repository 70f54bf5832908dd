#pragma once
// From what GitLab shows of a token to what the ledger keeps of it.

#include "server/gitlab/gitlab.h"
#include "server/ledger/ledger.h"

namespace tokenbroker {

inline MadeUpstream MadeOf(const UpstreamToken& token) {
  return {token.id, token.user_id, token.name, token.expires_at};
}

}  // namespace tokenbroker
