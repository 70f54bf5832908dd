#pragma once
// How one grant or deny meets one request. Pure.

#include <string>
#include <string_view>

#include "server/policy/engine.h"

namespace tokenbroker {

// Whether a pattern matches a target as it is written.
enum class Match {
  kNo,
  kMaybe,  // Only GitLab's facts can tell.
  kYes,
};

// The best match of any of the grant's patterns, and of its instance, with a target as it is written. Without patterns:
// kYes (a deny of everything).
Match MatchWritten(const CompiledGrant& grant, std::string_view instance, const SoughtTarget& target,
                   const CapturedTexts& captured);
// The same with a target as GitLab knows it.
bool MatchesFacts(const CompiledGrant& grant, std::string_view instance, const SoughtTarget& target,
                  const CapturedTexts& captured);

bool HasVerb(const CompiledGrant& grant, Verb verb);

// The first thing that a grant lacks for a request, its verb and target aside. Verbs that make no token need none of
// these but kEnded.
enum class Lack {
  kNothing,
  kEnded,      // not_after is over.
  kScope,      // What: the scope; empty if the request has none.
  kSelfScope,  // What: the self-extending scope.
  kLevel,
  kTtl,
  kEnd,       // The token would outlive not_after.
  kName,      // What: the pattern.
  kLabel,     // What: the key.
  kChainAge,  // The chain of rotations is too old.
};
struct Missing {
  Lack lack = Lack::kNothing;
  std::string_view what = {};
};
// `kind`: of the target, as far as it is known.
Missing WhatIsMissing(const CompiledGrant& grant, const AccessRequest& request, TargetKind kind);
// In words for the log: "the scope read_api".
std::string ToText(const Missing& missing, const CompiledGrant& grant, const AccessRequest& request);

// Whether the grant covers this scope by itself.
bool CoversScope(const CompiledGrant& grant, std::string_view scope);

// Whether a deny hits the request's verb and scopes; its targets are another question. An empty list hits everything.
bool DenyHits(const CompiledGrant& deny, const AccessRequest& request);

// Why no token may be made for a target, whatever is granted; empty if nothing stands against it.
std::string_view WhyForbidden(const TargetFacts& facts, Verb verb, const PolicyOptions& options);

}  // namespace tokenbroker
