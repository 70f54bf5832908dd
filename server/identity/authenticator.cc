#include "server/identity/authenticator.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/ascii.h"
#include "server/base/error.h"
#include "server/base/time_text.h"
#include "server/domain/identity_text.h"

namespace tokenbroker {
namespace {

constexpr std::string_view kSpiffeScheme = "spiffe://";

bool HasScheme(std::string_view uri) {
  return uri.size() >= kSpiffeScheme.size() &&
         absl::AsciiStrToLower(absl::string_view(uri.data(), kSpiffeScheme.size())) ==
             absl::string_view(kSpiffeScheme.data(), kSpiffeScheme.size());
}

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char each) { return each > ' ' && each < 0x7f; });
}

// What a bad name says is not repeated: it comes from outside and goes into logs.
absl::Status Invalid(std::string_view what) {
  return Error(absl::StatusCode::kUnauthenticated, "IDENTITY_INVALID",
               "the client certificate cannot identify a caller: " + std::string(what));
}

absl::Status Unknown(std::string_view what) {
  return Error(absl::StatusCode::kPermissionDenied, "UNKNOWN_CALLER", what);
}

bool Contains(const std::vector<std::string>& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

}  // namespace

absl::StatusOr<Caller> Authenticate(const PeerFacts& peer, const std::vector<CallerRule>& rules, WallTime now) {
  if (!peer.not_after.has_value()) {
    return Error(absl::StatusCode::kUnauthenticated, "CERTIFICATE_EXPIRED", "the client certificate has no end");
  }
  if (now >= *peer.not_after) {
    return Error(absl::StatusCode::kUnauthenticated, "CERTIFICATE_EXPIRED",
                 "the client certificate ended at " + FormatRfc3339(*peer.not_after));
  }

  // The SPIFFE standard: a certificate with a SPIFFE id has that URI SAN and no other.
  std::string spiffe;
  for (const std::string& uri : peer.uris) {
    if (!IsPrintable(uri)) return Invalid("a URI in it has a byte that has no place there");
    if (!HasScheme(uri)) continue;
    if (peer.uris.size() > 1) return Invalid("it has a SPIFFE id beside another URI");
    if (!IsSpiffeId(uri)) return Invalid("its SPIFFE id is malformed");
    spiffe = uri;
  }
  std::vector<std::string> names;
  for (const std::string& name : peer.dns_names) {
    if (!IsPrintable(name)) return Invalid("a DNS name in it has a byte that has no place there");
    names.push_back(absl::AsciiStrToLower(name));
  }

  std::optional<Caller> found;
  for (const CallerRule& rule : rules) {
    std::string identity;
    if (!spiffe.empty() && Contains(rule.spiffe_ids, spiffe)) {
      identity = spiffe;
    } else {
      const auto name = std::find_if(names.begin(), names.end(),
                                     [&](const std::string& each) { return Contains(rule.dns_names, each); });
      if (name == names.end()) continue;
      identity = "dns:" + *name;
    }
    if (found.has_value()) return Unknown("the client certificate matches more than one caller of the policy");
    found = Caller{rule.name, std::move(identity)};
  }
  if (!found.has_value()) return Unknown("the client certificate matches no caller of the policy");
  return *std::move(found);
}

}  // namespace tokenbroker
