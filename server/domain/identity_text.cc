#include "server/domain/identity_text.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace tokenbroker {
namespace {

bool IsLowerOrDigit(char each) {
  return absl::ascii_islower(static_cast<unsigned char>(each)) || absl::ascii_isdigit(static_cast<unsigned char>(each));
}
bool IsPathCharacter(char each) {
  return absl::ascii_isalnum(static_cast<unsigned char>(each)) || each == '.' || each == '_' || each == '-';
}

// Whether every part between `separator`s passes `test`.
template <typename Test>
bool AllParts(std::string_view text, char separator, Test test) {
  while (true) {
    const std::size_t end = text.find(separator);
    if (!test(text.substr(0, end))) return false;
    if (end == std::string_view::npos) return true;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

bool IsTrustDomain(std::string_view text) {
  return !text.empty() && text.size() <= 255 && std::all_of(text.begin(), text.end(), [](char each) {
    return IsLowerOrDigit(each) || each == '.' || each == '_' || each == '-';
  });
}

bool IsSpiffeId(std::string_view text) {
  constexpr std::string_view kScheme = "spiffe://";
  if (text.size() > 2048 || !text.starts_with(kScheme)) return false;
  text.remove_prefix(kScheme.size());
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos || !IsTrustDomain(text.substr(0, slash))) return false;
  return AllParts(text.substr(slash + 1), '/', [](std::string_view segment) {
    return !segment.empty() && segment != "." && segment != ".." &&
           std::all_of(segment.begin(), segment.end(), IsPathCharacter);
  });
}

bool IsDnsName(std::string_view text) {
  return text.size() <= 253 && AllParts(text, '.', [](std::string_view label) {
           return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
                  std::all_of(label.begin(), label.end(),
                              [](char each) { return IsLowerOrDigit(each) || each == '-'; });
         });
}

}  // namespace tokenbroker
