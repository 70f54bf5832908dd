#include "server/ledger/ledger.h"

namespace tokenbroker {

std::string_view NameOf(Proof proof) {
  switch (proof) {
    case Proof::kDeleted:
      return "DELETED";
    case Proof::kSeenRevoked:
      return "SEEN_REVOKED";
    case Proof::kAbsent:
      return "ABSENT";
    case Proof::kUpstreamMidnight:
      return "UPSTREAM_MIDNIGHT";
  }
  return "";
}

}  // namespace tokenbroker
