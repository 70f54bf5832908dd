#pragma once
// How one grant or deny meets one request. Pure.

#include <string>

#include "server/policy/engine.h"

namespace tokenbroker {

// Whether a pattern matches a target as it is written.
enum class Match {
  kNo,
  kMaybe,  // Only GitLab's facts can tell.
  kYes,
};
Match MatchWritten(const CompiledPattern& pattern, const Target& target);
bool MatchesFacts(const CompiledPattern& pattern, const TargetFacts& facts);

// The best match of any of the grant's patterns and of its instance. Without patterns: kYes (a deny of everything).
Match MatchWritten(const CompiledGrant& grant, const Target& target);
bool MatchesFacts(const CompiledGrant& grant, const TargetFacts& facts);

bool HasVerb(const CompiledGrant& grant, Verb verb);

// What a grant lacks for the request's scopes, level and ttl, in words for the log; empty if it lacks nothing. Verbs
// that make no token need none of these.
std::string WhatIsMissing(const CompiledGrant& grant, const AccessRequest& request);

// Whether a deny hits the request's verb and scopes; its targets are another question. An empty list hits everything.
bool DenyHits(const CompiledGrant& deny, const AccessRequest& request);

}  // namespace tokenbroker
