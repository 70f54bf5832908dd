#include "server/gitlab/answer.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "server/base/error.h"
#include "server/gitlab/json.h"

namespace tokenbroker {
namespace {

constexpr std::size_t kWordsMax = 512;
constexpr std::string_view kRedacted = "[redacted]";
constexpr Duration kDefaultPause = seconds(60);
// After that one request more costs GitLab little, and tells whether the limit is still there.
constexpr Duration kLongestPause = seconds(120);
constexpr Duration kLongestUnmarkedPause = seconds(60);

bool ContainsNoCase(std::string_view text, std::string_view part) {
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
  };
  return std::search(text.begin(), text.end(), part.begin(), part.end(), same) != text.end();
}

bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsTokenCharacter(char c) { return IsLower(c) || IsUpper(c) || IsDigit(c) || c == '_' || c == '-' || c == '.'; }

// "glpat-..." and its like, also behind an instance's prefix: all of GitLab's kinds of tokens begin with "gl".
bool HasTokenKind(std::string_view word) {
  for (std::size_t at = word.find("gl"); at != std::string_view::npos; at = word.find("gl", at + 1)) {
    if (at > 0 && (IsLower(word[at - 1]) || IsUpper(word[at - 1]))) continue;
    std::size_t dash = at + 2;
    while (dash < word.size() && IsLower(word[dash])) ++dash;
    const std::size_t letters = dash - at - 2;
    if (letters >= 1 && letters <= 8 && word.substr(dash).starts_with('-') && word.size() - dash > 8) return true;
  }
  return false;
}

// An administrator may set any prefix, or none. What follows it is random and at least 20 characters long: letters of
// both cases in no order that a word has.
bool LooksRandom(std::string_view word) {
  if (word.size() < 20) return false;
  const bool digit = std::any_of(word.begin(), word.end(), IsDigit);
  const bool lower = std::any_of(word.begin(), word.end(), IsLower);
  const bool upper = std::any_of(word.begin(), word.end(), IsUpper);
  const auto climbs = [](char a, char b) { return IsLower(a) && IsUpper(b); };
  return lower && upper && (digit || std::adjacent_find(word.begin(), word.end(), climbs) != word.end());
}

// How many bytes the character of UTF-8 at the beginning of `text` has; 0 if none is there.
std::size_t CharacterSize(std::string_view text) {
  const auto byte = [text](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const auto follows = [&byte](std::size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf && follows(1)) return 2;
  // No overlong forms, no surrogates, nothing beyond U+10FFFF.
  const bool three = lead >= 0xe0 && lead <= 0xef && follows(1) && follows(2);
  if (three && !(lead == 0xe0 && byte(1) < 0xa0) && !(lead == 0xed && byte(1) > 0x9f)) return 3;
  const bool four = lead >= 0xf0 && lead <= 0xf4 && follows(1) && follows(2) && follows(3);
  if (four && !(lead == 0xf0 && byte(1) < 0x90) && !(lead == 0xf4 && byte(1) > 0x8f)) return 4;
  return 0;
}

std::optional<std::int64_t> Number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string WordsOf(const HttpAnswer& answer, std::string_view issuer) {
  if (const std::optional<ErrorBody> error = ParseError(answer.body)) return Presentable(error->words, issuer);
  if (answer.header("content-type").starts_with("text/html")) return "an HTML page";
  return Presentable(answer.body, issuer);
}

std::string Said(const HttpAnswer& answer, std::string_view issuer) {
  std::string text = "GitLab answered " + std::to_string(answer.status);
  const std::string words = WordsOf(answer, issuer);
  return words.empty() ? text : text + ": " + words;
}

absl::Status Unavailable(std::string_view message) {
  return Error(absl::StatusCode::kUnavailable, "UPSTREAM_UNAVAILABLE", message).RetryAfter(seconds(5));
}

absl::Status NotAllowed(std::string_view message) {
  return Error(absl::StatusCode::kFailedPrecondition, "ISSUER_NOT_ALLOWED", message)
      .Precondition("ISSUER", "gitlab", "the broker's own GitLab credential must be allowed to do this");
}

// A 400 or 422: the issuer may not, or a value is wrong.
absl::Status OfBadRequest(const HttpAnswer& answer, std::string_view issuer) {
  const std::string said = Said(answer, issuer);
  // GitLab source: without a reason it is what a DELETE of somebody else's token gets.
  if (said == "GitLab answered 400: 400 Bad request") return NotAllowed(said);
  constexpr std::array<std::string_view, 6> kMayNot = {"not have permission", "not permitted",
                                                       "cannot delete",       "not eligible",
                                                       "not held by",         "greater the access level"};
  for (const std::string_view words : kMayNot) {
    if (ContainsNoCase(said, words)) return NotAllowed(said);
  }
  Error error(absl::StatusCode::kInvalidArgument, "UPSTREAM_INVALID", said);
  constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kFields = {{
      {"expires", "token.expiration"},
      {"scope", "token.scopes"},
      {"access_level", "token.access_level"},
      {"access level", "token.access_level"},
      {"description", "token.purpose"},
      {"name", "token.display_name"},
  }};
  for (const auto& [word, field] : kFields) {
    if (!ContainsNoCase(said, word)) continue;
    return std::move(error).Field(field, said);
  }
  return error;
}

}  // namespace

std::string Presentable(std::string_view text, std::string_view issuer) {
  std::string shown;
  const auto hides_issuer = [issuer](std::string_view rest) { return !issuer.empty() && rest.starts_with(issuer); };
  while (!text.empty() && shown.size() <= kWordsMax) {
    if (hides_issuer(text)) {
      shown += kRedacted;
      text.remove_prefix(issuer.size());
      continue;
    }
    // A word ends where the issuer begins, so that nothing in front of it hides it.
    std::size_t end = 0;
    while (end < text.size() && IsTokenCharacter(text[end]) && (end == 0 || !hides_issuer(text.substr(end)))) ++end;
    if (end > 0) {
      const std::string_view word = text.substr(0, end);
      shown += HasTokenKind(word) || LooksRandom(word) ? kRedacted : word;
      text.remove_prefix(end);
      continue;
    }
    const std::size_t size = CharacterSize(text);
    const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const bool control = byte(0) < 0x20 || byte(0) == 0x7f || (size == 2 && byte(0) == 0xc2 && byte(1) < 0xa0);
    if (size == 0) {
      shown += '?';
    } else if (control) {
      shown += ' ';
    } else {
      shown += text.substr(0, size);
    }
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
  if (shown.size() > kWordsMax) {
    std::size_t cut = kWordsMax;
    while ((static_cast<unsigned char>(shown[cut]) & 0xc0) == 0x80) --cut;  // Not in the middle of a character.
    shown.resize(cut);
    shown += "...";
  }
  return shown;
}

bool IsFromGitLab(const HttpAnswer& answer) { return !answer.header("x-gitlab-meta").empty(); }

bool IsOk(const HttpAnswer& answer) { return answer.status == 200 && IsFromGitLab(answer); }

bool IsNotFound(const HttpAnswer& answer) { return answer.status == 404 && IsFromGitLab(answer); }

bool SaysMayNot(const HttpAnswer& answer) {
  return IsFromGitLab(answer) && (answer.status == 401 || answer.status == 403);
}

bool IsCertainRefusal(const HttpAnswer& answer) {
  if (answer.status == 0) return !answer.sent;
  if (answer.status == 429) return true;
  return answer.status >= 400 && answer.status < 500 && answer.status != 408 && IsFromGitLab(answer);
}

bool SaysInvalidToken(const HttpAnswer& answer) {
  if (answer.status != 401) return false;
  const std::optional<ErrorBody> error = ParseError(answer.body);
  return error.has_value() && error->invalid_token;
}

std::optional<Date> LatestDateOf(const HttpAnswer& answer) {
  if (!IsFromGitLab(answer) || (answer.status != 400 && answer.status != 422)) return std::nullopt;
  const std::optional<ErrorBody> error = ParseError(answer.body);
  if (!error.has_value()) return std::nullopt;
  constexpr std::string_view kBefore = "must be before ";
  constexpr std::size_t kDateSize = 10;  // "2027-11-24"
  std::string_view words = error->words;
  if (!ContainsNoCase(words, "expires at") && !ContainsNoCase(words, "expires_at")) return std::nullopt;
  std::optional<Date> earliest;
  for (std::size_t at = words.find(kBefore); at != std::string_view::npos; at = words.find(kBefore)) {
    words.remove_prefix(at + kBefore.size());
    const std::optional<Date> date = ParseDate(words.substr(0, kDateSize));
    if (date.has_value() && (!earliest.has_value() || *date < *earliest)) earliest = date;
  }
  return earliest;
}

std::optional<Duration> PauseAsked(const HttpAnswer& answer, WallTime now) {
  const Duration longest = IsFromGitLab(answer) ? kLongestPause : kLongestUnmarkedPause;
  if (answer.status == 429) {
    const std::optional<std::int64_t> after = Number(answer.header("retry-after"));
    const Duration pause =
        after.has_value() ? Duration(seconds(std::clamp<std::int64_t>(*after, 0, 3600))) : kDefaultPause;
    return std::min(pause, longest);
  }
  if (Number(answer.header("ratelimit-remaining")) == 0) {
    const std::optional<std::int64_t> reset = Number(answer.header("ratelimit-reset"));
    if (reset.has_value()) {
      const std::int64_t at = std::clamp<std::int64_t>(*reset, 0, 253'402'300'800);
      return std::clamp<Duration>(FromMicros(at * 1'000'000) - now, Duration(0), longest);
    }
  }
  return std::nullopt;
}

bool LimitsAllRequests(const HttpAnswer& answer) {
  return IsFromGitLab(answer) && answer.header("ratelimit-name").starts_with("throttle_");
}

absl::Status FailureOf(const HttpAnswer& answer, std::string_view issuer, WallTime now) {
  if (answer.cancelled) return absl::CancelledError("the caller left");
  if (answer.status == 0) return Unavailable("GitLab did not answer: " + Presentable(answer.error, issuer));
  const int status = answer.status;
  if (status < 400 && !IsFromGitLab(answer)) {
    return Unavailable("something in front of GitLab answered " + std::to_string(status) +
                       ": the response has no X-Gitlab-Meta header");
  }
  if (status >= 200 && status < 300) {
    return Unavailable("GitLab answered " + std::to_string(status) + ", but with something else than its JSON");
  }
  const std::string said = Said(answer, issuer);
  if (status == 429) {
    return Error(absl::StatusCode::kResourceExhausted, "UPSTREAM_RATE_LIMITED", said)
        .RetryAfter(PauseAsked(answer, now).value_or(kDefaultPause));
  }
  if (status >= 300 && status < 400) {
    return Error(absl::StatusCode::kFailedPrecondition, "TARGET_MOVED",
                 "GitLab redirects this request (" + std::to_string(status) +
                     "): the target was renamed or moved, or the configured URL is not GitLab's own")
        .Precondition("TARGET", "gitlab", "name the target by its id or its new path");
  }
  if (status == 405 && IsFromGitLab(answer) && ContainsNoCase(said, "moved")) {
    return Error(absl::StatusCode::kFailedPrecondition, "TARGET_MOVED", said);
  }
  const bool read_only = ContainsNoCase(said, "read-only");
  if (!IsFromGitLab(answer) || status >= 500 || status == 408 || status == 409 || read_only) return Unavailable(said);
  if (status == 404) return Error(absl::StatusCode::kNotFound, "UPSTREAM_NOT_FOUND", said);
  if (status == 401 || status == 403 || status == 405) return NotAllowed(said);
  return OfBadRequest(answer, issuer);
}

}  // namespace tokenbroker
