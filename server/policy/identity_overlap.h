#pragma once
// Whether one peer could be two callers.

#include <optional>
#include <string>

#include "server/domain/caller_rule.h"

namespace tokenbroker {

// An identity as its caller has it: the captures in the caller's name bound what they may catch.
struct NamedIdentity {
  const CallerName& name;
  const IdentityRule& rule;
};

// What both match, as in "spiffe://example.org/ns/x/sa/deploy", if there is such a thing. Exact on everything that both
// speak of. What they speak of apart (a SPIFFE id here and a DNS name there, different claims) is no overlap: one peer
// may show both, but only a call can tell.
std::optional<std::string> FindOverlap(const NamedIdentity& left, const NamedIdentity& right);

}  // namespace tokenbroker
