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
    case Proof::kAnotherToken:
      return "ANOTHER_TOKEN";
  }
  return "";
}

std::string_view NameOf(StrangerKind kind) {
  switch (kind) {
    case StrangerKind::kNoRow:
      return "NO_ROW";
    case StrangerKind::kAbandoned:
      return "ABANDONED";
    case StrangerKind::kSecond:
      return "SECOND";
    case StrangerKind::kClosed:
      return "CLOSED";
  }
  return "";
}

std::optional<StrangerKind> ParseStrangerKind(std::string_view name) {
  for (const StrangerKind kind :
       {StrangerKind::kNoRow, StrangerKind::kAbandoned, StrangerKind::kSecond, StrangerKind::kClosed}) {
    if (NameOf(kind) == name) return kind;
  }
  return std::nullopt;
}

}  // namespace tokenbroker
