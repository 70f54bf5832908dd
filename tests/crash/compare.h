#pragma once
// GitLab's truth against the ledger's: what must hold at any time, and what must hold once all is quiet.

#include <chrono>
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
  bool self_extending = false;
  bool may_be_ended = false;  // A revocation, a repeat of its request or a rotation by its holder was tried.
  bool revoke_acknowledged = false;
};

struct Picture {
  gitlab_sim::TimePoint now;                    // By GitLab's clock.
  std::vector<gitlab_sim::TokenView> upstream;  // Everything that bears the broker's marker.
  std::vector<v1::Token> rows;
  std::vector<Delivered> delivered;
  std::chrono::seconds clock_difference{0};  // GitLab's clock is ahead of the broker's by so much.
};

enum class Moment {
  kAny,
  kSettled,  // GitLab is well, and every look at `settle` is over.
  kQuiet,    // GitLab is well, and every look is over.
};

// One sentence for each difference.
std::vector<std::string> Differences(const Picture& picture, Moment moment);

}  // namespace tokenbroker
