#pragma once
// What a policy can grant already, and no RPC serves yet.

#include <string>

#include "server/domain/target.h"
#include "server/policy/policy.h"

namespace tokenbroker {

// Empty if the broker serves the verb.
inline std::string VerbNotServed(Verb verb) {
  if (verb != Verb::kRotate) return "";
  return "the broker does not serve the verb 'rotate' yet: it grants nothing until then";
}

// Empty if the broker makes tokens for targets of this kind.
inline std::string TargetNotServed(TargetKind kind) {
  if (kind == TargetKind::kUser || kind == TargetKind::kProject) return "";
  return std::string("the broker does not make tokens of ") +
         (kind == TargetKind::kGroup ? "groups" : "service accounts") + " yet: it grants nothing until then";
}

}  // namespace tokenbroker
