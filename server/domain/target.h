#pragma once
// Whose token: a user, project, group or service account of one GitLab instance.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tokenbroker {

enum class TargetKind { kUser, kProject, kGroup, kServiceAccount };

// "user", "project", "group", "service_account".
std::string_view NameOf(TargetKind kind);
std::optional<TargetKind> ParseTargetKind(std::string_view name);

// A target as a caller wrote it. It says nothing yet about what exists: GitLab ignores case in paths, and a path may
// name another project tomorrow.
struct Target {
  std::string instance;
  TargetKind kind = TargetKind::kUser;
  std::string ref;  // All digits: a numeric id, as GitLab reads it. Else a username or a full path.

  // The id, if `ref` is one; GitLab takes every text of digits for an id.
  std::optional<std::int64_t> id() const;
};

// "user:42", "project:acme/payments".
std::string ToText(const Target& target);

// Lower case of ASCII letters; GitLab's paths and usernames, which it compares without case, have no others.
std::string LowerCase(std::string_view text);

// A target as GitLab knows it: what a decision rests on and what the ledger keeps.
struct ResolvedTarget {
  std::string instance;
  TargetKind kind = TargetKind::kUser;
  std::int64_t id = 0;
  std::string path;  // Canonical: the full path, or the username.

  bool operator==(const ResolvedTarget&) const = default;
};

std::string ToText(const ResolvedTarget& target);

// What GitLab says of a target now.
struct TargetFacts {
  ResolvedTarget target;
  // Of users alone:
  bool active = true;      // Neither blocked nor deactivated, banned or locked.
  bool bot = false;        // A project's, group's or service account's user.
  bool is_admin = false;   // An instance administrator.
  bool is_issuer = false;  // The user whose credential the broker itself holds.
};

}  // namespace tokenbroker
