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
constexpr Duration kDefaultPause = seconds(60);
constexpr Duration kLongestPause = hours(1);

bool ContainsNoCase(std::string_view text, std::string_view part) {
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
  };
  return std::search(text.begin(), text.end(), part.begin(), part.end(), same) != text.end();
}

bool IsTokenCharacter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.';
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
  for (std::size_t i = 0; i < text.size() && shown.size() < kWordsMax;) {
    if (!issuer.empty() && text.substr(i).starts_with(issuer)) {
      shown += "[redacted]";
      i += issuer.size();
      continue;
    }
    // Whatever looks like "glpat-..." (all of GitLab's token kinds begin with "gl"), also behind another prefix.
    std::size_t end = i;
    while (end < text.size() && IsTokenCharacter(text[end])) ++end;
    const std::string_view word = text.substr(i, end - i);
    const std::size_t dash = word.find('-');
    if (word.size() >= 20 && dash != std::string_view::npos && word.find("gl") < word.rfind('-')) {
      shown += "[redacted]";
      i = end;
      continue;
    }
    if (word.empty()) {
      const auto byte = static_cast<unsigned char>(text[i]);
      shown += byte < 0x20 || byte == 0x7f ? ' ' : text[i];
      ++i;
    } else {
      shown += word;
      i = end;
    }
  }
  if (shown.size() > kWordsMax) {
    shown.resize(kWordsMax);
    // Not in the middle of a character.
    while (!shown.empty() && (static_cast<unsigned char>(shown.back()) & 0xc0) == 0x80) shown.pop_back();
    if (!shown.empty() && static_cast<unsigned char>(shown.back()) >= 0xc0) shown.pop_back();
    shown += "...";
  }
  return shown;
}

bool IsFromGitLab(const HttpAnswer& answer) { return !answer.header("x-gitlab-meta").empty(); }

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

std::optional<Duration> PauseAsked(const HttpAnswer& answer, WallTime now) {
  if (answer.status == 429) {
    const std::optional<std::int64_t> after = Number(answer.header("retry-after"));
    const Duration pause =
        after.has_value() ? Duration(seconds(std::clamp<std::int64_t>(*after, 0, 3600))) : kDefaultPause;
    return std::min(pause, kLongestPause);
  }
  if (Number(answer.header("ratelimit-remaining")) == 0) {
    const std::optional<std::int64_t> reset = Number(answer.header("ratelimit-reset"));
    if (reset.has_value()) {
      const std::int64_t at = std::clamp<std::int64_t>(*reset, 0, 253'402'300'800);
      return std::clamp<Duration>(FromMicros(at * 1'000'000) - now, Duration(0), kLongestPause);
    }
  }
  return std::nullopt;
}

absl::Status FailureOf(const HttpAnswer& answer, std::string_view issuer, WallTime now) {
  if (answer.cancelled) return absl::CancelledError("the caller left");
  if (answer.status == 0) return Unavailable("GitLab did not answer: " + Presentable(answer.error, issuer));
  const int status = answer.status;
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
  if (status == 405 && ContainsNoCase(said, "moved")) {
    return Error(absl::StatusCode::kFailedPrecondition, "TARGET_MOVED", said);
  }
  const bool read_only = ContainsNoCase(said, "read-only");
  if (!IsFromGitLab(answer) || status >= 500 || status == 408 || status == 409 || read_only) return Unavailable(said);
  if (status == 404) return Error(absl::StatusCode::kNotFound, "UPSTREAM_NOT_FOUND", said);
  if (status == 401 || status == 403 || status == 405) return NotAllowed(said);
  return OfBadRequest(answer, issuer);
}

}  // namespace tokenbroker
