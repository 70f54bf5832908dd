#include "server/base/error.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tokenbroker {
namespace {

// Each detail is a payload of its own, told apart by the prefix of its URL: no encoding of ours to get wrong.
constexpr std::string_view kReason = "tokenbroker/reason";
constexpr std::string_view kRetry = "tokenbroker/retry_micros";
constexpr std::string_view kFieldPrefix = "tokenbroker/field/";
constexpr std::string_view kMetaPrefix = "tokenbroker/meta/";
constexpr std::string_view kPrecondition = "tokenbroker/precondition";
constexpr std::string_view kQuota = "tokenbroker/quota";

absl::string_view Absl(std::string_view text) { return {text.data(), text.size()}; }

void Attach(absl::Status& status, std::string_view url, std::string_view value) {
  status.SetPayload(Absl(url), absl::Cord(Absl(value)));
}

std::optional<std::string> Read(const absl::Status& status, std::string_view url) {
  const absl::optional<absl::Cord> cord = status.GetPayload(Absl(url));
  if (!cord.has_value()) return std::nullopt;
  return std::string(*cord);
}

// The payloads under `prefix`, sorted by the rest of their URL.
std::vector<std::pair<std::string, std::string>> ReadAll(const absl::Status& status, std::string_view prefix) {
  std::vector<std::pair<std::string, std::string>> found;
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& value) {
    const std::string_view name(url.data(), url.size());
    if (name.starts_with(prefix)) found.emplace_back(name.substr(prefix.size()), std::string(value));
  });
  std::sort(found.begin(), found.end());
  return found;
}

// Cuts the first `count` parts of a text separated by the unit separator, which no detail contains.
std::vector<std::string> Split(const std::string& text, std::size_t count) {
  std::vector<std::string> parts;
  std::size_t at = 0;
  while (parts.size() + 1 < count) {
    const std::size_t end = text.find('\x1f', at);
    if (end == std::string::npos) break;
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  parts.push_back(text.substr(at));
  parts.resize(count);
  return parts;
}

}  // namespace

Error::Error(absl::StatusCode code, std::string_view reason, std::string_view message) : status_(code, Absl(message)) {
  Attach(status_, kReason, reason);
}

Error&& Error::Field(std::string_view field, std::string_view description) && {
  const std::string url = absl::StrCat(Absl(kFieldPrefix), absl::StrFormat("%06d", fields_++));
  Attach(status_, url, absl::StrCat(Absl(field), "\x1f", Absl(description)));
  return std::move(*this);
}

Error&& Error::RetryAfter(Duration delay) && {
  Attach(status_, kRetry, absl::StrCat(std::max<std::int64_t>(0, delay.count())));
  return std::move(*this);
}

Error&& Error::Meta(std::string_view key, std::string_view value) && {
  status_ = WithMeta(std::move(status_), key, value);
  return std::move(*this);
}

absl::Status WithMeta(absl::Status status, std::string_view key, std::string_view value) {
  Attach(status, absl::StrCat(Absl(kMetaPrefix), Absl(key)), value);
  return status;
}

Error&& Error::Precondition(std::string_view type, std::string_view subject, std::string_view description) && {
  Attach(status_, kPrecondition, absl::StrCat(Absl(type), "\x1f", Absl(subject), "\x1f", Absl(description)));
  return std::move(*this);
}

Error&& Error::Quota(std::string_view subject, std::string_view description) && {
  Attach(status_, kQuota, absl::StrCat(Absl(subject), "\x1f", Absl(description)));
  return std::move(*this);
}

std::string ReasonOf(const absl::Status& status) { return Read(status, kReason).value_or(""); }

std::vector<FieldViolation> FieldsOf(const absl::Status& status) {
  std::vector<FieldViolation> fields;
  for (const auto& [order, text] : ReadAll(status, kFieldPrefix)) {
    std::vector<std::string> parts = Split(text, 2);
    fields.push_back({std::move(parts[0]), std::move(parts[1])});
  }
  return fields;
}

std::optional<Duration> RetryAfterOf(const absl::Status& status) {
  const std::optional<std::string> text = Read(status, kRetry);
  if (!text.has_value()) return std::nullopt;
  std::int64_t micros = 0;
  std::from_chars(text->data(), text->data() + text->size(), micros);
  return Duration(micros);
}

std::vector<std::pair<std::string, std::string>> MetaOf(const absl::Status& status) {
  return ReadAll(status, kMetaPrefix);
}

std::optional<PreconditionViolation> PreconditionOf(const absl::Status& status) {
  const std::optional<std::string> text = Read(status, kPrecondition);
  if (!text.has_value()) return std::nullopt;
  std::vector<std::string> parts = Split(*text, 3);
  return PreconditionViolation{std::move(parts[0]), std::move(parts[1]), std::move(parts[2])};
}

std::optional<QuotaViolation> QuotaOf(const absl::Status& status) {
  const std::optional<std::string> text = Read(status, kQuota);
  if (!text.has_value()) return std::nullopt;
  std::vector<std::string> parts = Split(*text, 2);
  return QuotaViolation{std::move(parts[0]), std::move(parts[1])};
}

}  // namespace tokenbroker
