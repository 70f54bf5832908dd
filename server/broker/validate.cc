#include "server/broker/validate.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <set>
#include <utility>
#include <vector>

#include "server/base/error.h"
#include "server/base/time_text.h"
#include "server/domain/expiry.h"
#include "server/domain/marker.h"
#include "server/domain/scope.h"

namespace tokenbroker {
namespace {

constexpr std::size_t kMaxScopes = 16;
constexpr std::size_t kMaxLabels = 16;
constexpr std::size_t kMaxDisplayName = 80;
constexpr std::size_t kMaxPurpose = 120;
constexpr std::size_t kMaxPath = 1024;

class Violations {
 public:
  void Add(std::string field, std::string description) { all_.emplace_back(std::move(field), std::move(description)); }

  absl::Status ToStatus() && {
    if (all_.empty()) return absl::OkStatus();
    const auto& [field, description] = all_.front();
    std::string message = field + ": " + description;
    if (all_.size() > 1) message += " (and " + std::to_string(all_.size() - 1) + " more)";
    Error error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID", message);
    for (const auto& [name, what] : all_) {
      Error more = std::move(error).Field(name, what);
      error = std::move(more);
    }
    return error;
  }

 private:
  std::vector<std::pair<std::string, std::string>> all_;
};

// Decodes UTF-8 that protobuf has checked already.
std::vector<char32_t> CodePoints(std::string_view text) {
  std::vector<char32_t> points;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xc0) == 0x80 && !points.empty()) {
      points.back() = points.back() << 6 | (byte & 0x3f);
    } else {
      points.push_back(byte < 0x80 ? byte : byte < 0xe0 ? byte & 0x1f : byte < 0xf0 ? byte & 0x0f : byte & 0x07);
    }
  }
  return points;
}

// Controls, and the invisible marks that turn the direction of a text or break its line.
bool IsControl(char32_t point) {
  return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x2028 || point == 0x2029 ||
         (point >= 0x202a && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069) || point == 0xfeff;
}

bool IsSpace(char32_t point) {
  return point == ' ' || point == 0xa0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200b) || point == 0x202f ||
         point == 0x205f || point == 0x3000;
}

bool HasControl(std::string_view text) {
  const std::vector<char32_t> points = CodePoints(text);
  return std::any_of(points.begin(), points.end(), IsControl);
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

void CheckDisplayName(std::string_view name, Violations& violations) {
  constexpr char kField[] = "token.display_name";
  const std::vector<char32_t> points = CodePoints(name);
  if (points.empty()) return violations.Add(kField, "is required: 1 to 80 characters");
  if (points.size() > kMaxDisplayName) {
    violations.Add(kField, "has " + std::to_string(points.size()) + " characters; at most 80 are allowed");
  }
  if (std::any_of(points.begin(), points.end(), IsControl)) violations.Add(kField, "contains a control character");
  if (IsSpace(points.front()) || IsSpace(points.back())) {
    violations.Add(kField, "begins or ends with white space, which is not allowed");
  }
  // GitLab's search ignores case, so the marker must not be imitated in capitals either.
  if (Lower(name).find(kMarkerStem) != std::string::npos) {
    violations.Add(kField, "contains \"[tb:\", which marks the broker's own tokens");
  }
}

// One segment of a GitLab path: letters, digits, '_', '-' and '.'; not beginning with '-', not '.' or '..'.
bool IsPathSegment(std::string_view segment) {
  if (segment.empty() || segment.front() == '-' || segment == "." || segment == "..") return false;
  return std::all_of(segment.begin(), segment.end(),
                     [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.'; });
}

// Why a full path is none, or nothing.
std::string PathProblem(std::string_view path, std::size_t min_segments) {
  if (path.size() > kMaxPath) return "is longer than 1024 bytes";
  if (path.find('%') != std::string_view::npos) return "contains '%': write the path as it is, not encoded";
  if (path.ends_with('/')) return "ends with '/'";
  if (Lower(path).ends_with(".git")) return "ends with \".git\": write the path without it";
  std::size_t segments = 0;
  for (std::string_view rest = path;;) {
    const std::size_t slash = rest.find('/');
    if (!IsPathSegment(rest.substr(0, slash))) {
      return "is not a full path: segments of letters, digits, '_', '-' and '.', separated by '/'";
    }
    ++segments;
    if (slash == std::string_view::npos) break;
    rest.remove_prefix(slash + 1);
  }
  if (segments < min_segments) return "is not a full path: a project's has its group or user before a '/'";
  return "";
}

void CheckTarget(const Target& target, std::string_view instance, Violations& violations) {
  if (!target.instance.empty() && target.instance != instance) {
    violations.Add("token.target.instance", "is unknown; this broker serves \"" + std::string(instance) + "\"");
  }
  const std::string field = "token.target." + std::string(NameOf(target.kind));
  if (target.ref.empty()) return violations.Add(field, "is required: a numeric id or a path");
  if (target.id().has_value()) {
    if (*target.id() == 0) violations.Add(field, "is 0; ids begin at 1");
    return;
  }
  std::string problem;
  if (target.kind == TargetKind::kUser) {
    if (!IsPathSegment(target.ref) || target.ref.size() > 255) {
      problem = "is neither a numeric id nor a username (letters, digits, '_', '-' and '.')";
    }
  } else if (target.kind == TargetKind::kServiceAccount) {
    const std::size_t colon = target.ref.rfind(':');
    if (colon == std::string::npos || !IsPathSegment(std::string_view(target.ref).substr(colon + 1))) {
      problem = "is neither a numeric id nor \"group/path:username\"";
    } else {
      problem = PathProblem(std::string_view(target.ref).substr(0, colon), 1);
    }
  } else {
    problem = PathProblem(target.ref, target.kind == TargetKind::kProject ? 2 : 1);
  }
  if (!problem.empty()) violations.Add(field, problem);
}

// A caller's text in an error: short, and without what could spoil a terminal.
std::string Quoted(std::string_view text) {
  std::string shown;
  for (const char c : text.substr(0, 64)) {
    const auto byte = static_cast<unsigned char>(c);
    shown += byte < 0x20 || byte >= 0x7f ? '?' : c;
  }
  if (text.size() > 64) shown += "...";
  return '\'' + shown + '\'';
}

void CheckScopes(const CreateRequest& request, Violations& violations) {
  const std::vector<std::string>& scopes = request.scopes;
  if (scopes.empty()) return violations.Add("token.scopes", "is required: 1 to 16 scopes");
  if (scopes.size() > kMaxScopes) {
    violations.Add("token.scopes", "has " + std::to_string(scopes.size()) + " scopes; at most 16 are allowed");
  }
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < scopes.size(); ++i) {
    const std::string field = "token.scopes[" + std::to_string(i) + "]";
    const std::string& scope = scopes[i];
    if (!seen.insert(scope).second) {
      violations.Add(field, Quoted(scope) + " is there twice");
    } else if (!IsKnownScope(scope)) {
      const std::string_view near = NearestScope(scope);
      violations.Add(field, "unknown scope " + Quoted(scope) +
                                (near.empty() ? "" : "; did you mean '" + std::string(near) + "'?"));
    } else if (!ScopeFits(scope, request.target.kind)) {
      violations.Add(
          field, Quoted(scope) + " is not a scope of a " + std::string(NameOf(request.target.kind)) + " access token");
    }
  }
}

void CheckLevel(const CreateRequest& request, Violations& violations) {
  constexpr char kField[] = "token.access_level";
  const bool has_level = request.target.kind == TargetKind::kProject || request.target.kind == TargetKind::kGroup;
  if (!has_level && request.access_level != 0) {
    violations.Add(kField, "must be 0: only project and group tokens have one");
  } else if (has_level && !IsAccessLevel(request.access_level)) {
    violations.Add(kField, request.access_level == 0
                               ? "is required for project and group tokens: 10, 15, 20, 25, 30, 40 or 50"
                               : std::to_string(request.access_level) +
                                     " is no access level; allowed are 10, 15, 20, 25, 30, 40 and 50");
  }
}

bool IsLabelKey(std::string_view key) {
  return !key.empty() && key.size() <= 63 && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '/' || c == '-';
  });
}

void CheckLabels(const CreateRequest& request, Violations& violations) {
  if (request.labels.size() > kMaxLabels) {
    violations.Add("token.labels", "has " + std::to_string(request.labels.size()) + " labels; at most 16 are allowed");
  }
  for (const auto& [key, value] : request.labels) {
    const std::string field = "token.labels[" + Quoted(key) + "]";
    if (!IsLabelKey(key)) violations.Add(field, "the key must be 1 to 63 characters of [a-z0-9._/-]");
    if (CodePoints(value).size() > 128) violations.Add(field, "the value has more than 128 characters");
    if (HasControl(value)) violations.Add(field, "the value contains a control character");
  }
}

void CheckExpiration(const CreateRequest& request, WallTime now, Violations& violations) {
  if (request.ttl.has_value() == request.expire_time.has_value()) {
    violations.Add("token.expiration", "is required: exactly one of ttl and expire_time");
    return;
  }
  const std::string field = request.ttl.has_value() ? "token.ttl" : "token.expire_time";
  const Duration life = request.ttl.has_value() ? *request.ttl : *request.expire_time - now;
  if (life < kMinTtl) {
    violations.Add(field, "leaves the token " + FormatDuration(life) + "; it must live for at least 1m");
  } else if (life > kMaxTtl) {
    violations.Add(field,
                   "leaves the token " + FormatDuration(life) + "; it may live for at most " + FormatDuration(kMaxTtl));
  }
}

}  // namespace

bool IsUuid4(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : std::isxdigit(static_cast<unsigned char>(text[i])) == 0) return false;
  }
  return text[14] == '4' && std::string_view("89abAB").find(text[19]) != std::string_view::npos;
}

absl::Status ValidateCreate(const CreateRequest& request, std::string_view instance, WallTime now) {
  Violations violations;
  CheckDisplayName(request.display_name, violations);
  if (CodePoints(request.purpose).size() > kMaxPurpose) {
    violations.Add("token.purpose", "has more than 120 characters");
  }
  if (HasControl(request.purpose)) violations.Add("token.purpose", "contains a control character");
  CheckTarget(request.target, instance, violations);
  CheckScopes(request, violations);
  CheckLevel(request, violations);
  CheckLabels(request, violations);
  CheckExpiration(request, now, violations);
  if (!request.request_id.empty() && !IsUuid4(request.request_id)) {
    violations.Add("request_id", "is not an UUID of version 4");
  }
  return std::move(violations).ToStatus();
}

absl::Status ValidateTarget(const Target& target, std::string_view instance) {
  Violations violations;
  CheckTarget(target, instance, violations);
  return std::move(violations).ToStatus();
}

std::string DigestOf(std::string_view method, const CreateRequest& request) {
  // Each part with its length in front, so that no two requests give the same text.
  std::string text;
  const auto add = [&text](std::string_view part) { text += std::to_string(part.size()) + ':' + std::string(part); };
  add(method);
  add(request.display_name);
  add(request.purpose);
  add(request.target.instance);
  add(NameOf(request.target.kind));
  add(Lower(request.target.ref));
  std::vector<std::string> scopes = request.scopes;
  std::sort(scopes.begin(), scopes.end());
  add(std::to_string(scopes.size()));
  for (const std::string& scope : scopes) add(scope);
  add(std::to_string(request.access_level));
  add(std::to_string(request.labels.size()));
  for (const auto& [key, value] : request.labels) {
    add(key);
    add(value);
  }
  add(request.ttl.has_value() ? "ttl " + std::to_string(request.ttl->count()) : "");
  add(request.expire_time.has_value() ? "time " + std::to_string(MicrosOf(*request.expire_time)) : "");

  std::array<unsigned char, SHA256_DIGEST_LENGTH> hash{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash.data());
  constexpr char kHex[] = "0123456789abcdef";
  std::string digest;
  for (const unsigned char byte : hash) {
    digest += kHex[byte >> 4];
    digest += kHex[byte & 15];
  }
  return digest;
}

}  // namespace tokenbroker
