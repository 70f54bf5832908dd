#pragma once
// GitLab's truth against the ledger's: what must hold at any time, and what must hold once all is quiet.

#include <string>
#include <vector>

#include "tests/gitlab_sim/types.h"
#include "tokenbroker/v1/token.pb.h"

namespace tokenbroker {

// What a caller was told about one token.
struct Delivered {
  std::string name;  // "tokens/{id}"
  std::string secret;
  std::string request_id;
  bool may_be_ended = false;  // A revocation, or a repeat of its request, was tried.
  bool revoke_acknowledged = false;
};

struct Picture {
  gitlab_sim::TimePoint now;
  std::vector<gitlab_sim::TokenView> upstream;  // Everything that bears the broker's marker.
  std::vector<v1::Token> rows;
  std::vector<Delivered> delivered;
};

enum class Moment {
  kAny,
  kSettled,  // GitLab is well, and every look at `settle` is over.
  kQuiet,    // GitLab is well, and every look is over.
};

// One sentence for each difference.
std::vector<std::string> Differences(const Picture& picture, Moment moment);

}  // namespace tokenbroker
