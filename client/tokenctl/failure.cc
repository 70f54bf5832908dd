#include "client/tokenctl/failure.h"

#include <string_view>

#include "absl/strings/match.h"
#include "client/tokenctl/output.h"
#include "client/tokenctl/printable.h"
#include "server/base/time_text.h"

namespace tokenbroker::tokenctl {
namespace {

// A member of TokenClientOptions and how it is given here.
struct Source {
  std::string_view option, flag, variable;
};
constexpr Source kSources[] = {
    {"address", "--address HOST:PORT", "TOKENBROKER_ADDRESS"},        {"ca_file", "--ca FILE", "TOKENBROKER_CA"},
    {"certificate_file", "--cert FILE", "TOKENBROKER_CERT"},          {"key_file", "--key FILE", "TOKENBROKER_KEY"},
    {"bearer_file", "--bearer-file FILE", "TOKENBROKER_BEARER_FILE"},
};

struct Advice {
  std::string_view reason, text;
};
constexpr Advice kAdvice[] = {
    {"NOT_GRANTED",
     "`tokenctl explain` with the same options shows the closest request that would be allowed, `tokenctl whoami` all "
     "that may be asked for; the broker's operator can grant more."},
    {"UNKNOWN_CALLER",
     "Ask the broker's operator to add the identity of the certificate (--cert) or of the token (--bearer-file) to a "
     "caller."},
    {"CERTIFICATE_EXPIRED", "Renew the certificate (--cert) and its key (--key)."},
    {"CERTIFICATE_REVOKED", "The certificate's authority has revoked it: have another one issued (--cert, --key)."},
    {"TOO_MANY_CALLS", "Wait for other calls of this caller to end, or make fewer at a time."},
    {"REQUEST_ID_REUSED", "Leave --request-id out, or give one that was never used for another token."},
    {"TOKEN_EXISTS",
     "Its secret was shown once and cannot be shown again: if it is lost, revoke that token and create another without "
     "this --request-id."},
    {"TARGET_NOT_FOUND", "Check the spelling of --user or --project."},
    {"TOKEN_NOT_FOUND", "`tokenctl list --show-closed` shows the tokens of this caller."},
    {"EXPIRATION_TOO_FAR", "Ask for a shorter --ttl or an earlier --expire-time."},
    {"DEADLINE_TOO_SHORT", "Give a longer --timeout."},
    {"ISSUER_NOT_ALLOWED", "Tell the broker's operator: its own GitLab credential may not do this."},
    {"ISSUER_DEAD", "Tell the broker's operator: its own GitLab credential does not work any more."},
    {"PAGE_TOKEN_INVALID", "Start again without --page-token."},
};

std::string Sentence(std::string text) {
  while (!text.empty() && text.back() == ' ') text.pop_back();
  if (text.empty()) return text;
  const char last = text.back();
  return last == '.' || last == '?' || last == '!' ? text : text + ".";
}

std::string_view Headline(const absl::Status& failure) {
  switch (failure.code()) {
    case absl::StatusCode::kPermissionDenied:
      return "denied";
    case absl::StatusCode::kUnauthenticated:
      return "the broker does not accept who we say we are";
    case absl::StatusCode::kNotFound:
      return "not found";
    case absl::StatusCode::kUnavailable:
      return "unavailable";
    case absl::StatusCode::kDeadlineExceeded:
      return "too slow";
    case absl::StatusCode::kResourceExhausted:
      return "out of quota";
    case absl::StatusCode::kInvalidArgument:
      return "the request is not valid";
    case absl::StatusCode::kAlreadyExists:
      return "made already";
    case absl::StatusCode::kAborted:
      return "the outcome is open";
    case absl::StatusCode::kFailedPrecondition:
      return "not possible now";
    default:
      return "failed";
  }
}

std::string Repeat(const CallError& error) {
  std::string text = "Repeat the call with --request-id " + error.request_id;
  if (error.retry_after.has_value()) text += " after " + FormatDuration(*error.retry_after + milliseconds(999));
  return text + "; that cannot make a second live token.";
}

std::string NextStep(const absl::Status& failure, const CallError& error, const Shared& shared) {
  for (const Advice& advice : kAdvice) {
    if (advice.reason == error.reason) return std::string(advice.text);
  }
  const bool open_end = absl::IsAborted(failure) || absl::IsDeadlineExceeded(failure);
  if (open_end && !error.request_id.empty()) return Repeat(error);
  if (absl::IsDeadlineExceeded(failure)) return "Give a longer --timeout than " + FormatDuration(shared.timeout) + ".";
  if (absl::IsInvalidArgument(failure))
    return std::string("Correct it and call again") + (shared.creates ? "; nothing was made." : ".");
  if (error.retry_after.has_value()) {
    return "Try again after " + FormatDuration(*error.retry_after + milliseconds(999)) + ".";
  }
  if (absl::IsUnavailable(failure) && error.reason.empty()) {
    return "Check that a broker listens at " + shared.connection.address +
           " (--address), that --ca is the authority of its certificate, and that it accepts the authority of --cert.";
  }
  if (absl::IsUnavailable(failure) || absl::IsResourceExhausted(failure)) {
    return shared.creates ? "Nothing was made; try again later." : "Try again later.";
  }
  return "";
}

// One sentence for what is wrong with our own options and files.
std::string LocalParagraph(const absl::Status& failure, const CallError& error) {
  std::string text = "tokenctl: " + std::string(failure.message());
  for (const auto& [key, value] : error.metadata) {
    for (const Source& source : kSources) {
      if (key != "option" || value != source.option) continue;
      text += "; give " + std::string(source.flag) + " or set " + std::string(source.variable);
    }
  }
  return text + ".";
}

}  // namespace

std::string Paragraph(const absl::Status& failure, const Shared& shared) {
  const CallError error = CallErrorOf(failure);
  if (error.reason.starts_with("CLIENT_")) return Printable(LocalParagraph(failure, error));

  std::string text = "tokenctl: " + std::string(Headline(failure)) + ": " + Sentence(std::string(failure.message()));
  // The message often has the first field and its description already.
  const auto is_said = [&failure](const std::string& description) {
    return absl::StrContains(failure.message(), description);
  };
  for (const FieldViolation& violation : error.fields) {
    if (is_said(violation.field) && is_said(violation.description)) continue;
    text += " Field " + violation.field + ": " + Sentence(violation.description);
  }
  if (error.precondition.has_value() && !is_said(error.precondition->description)) {
    text += " " + Sentence(error.precondition->subject + ": " + error.precondition->description);
  }
  text += error.reason.empty() ? " Code " : " Reason " + error.reason + ", code ";
  text += absl::StatusCodeToString(failure.code());
  for (const auto& [key, value] : error.metadata) text.append(", ").append(key).append(" ").append(value);
  text += ".";
  const std::string next = NextStep(failure, error, shared);
  if (!next.empty()) text += " " + next;
  return Printable(text);
}

ExitCode ExitCodeOf(const absl::Status& failure) {
  if (CallErrorOf(failure).reason.starts_with("CLIENT_")) return kBadUsage;
  switch (failure.code()) {
    case absl::StatusCode::kOk:
      return kDone;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return kDenied;
    case absl::StatusCode::kNotFound:
      return kNotFound;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
      return kUnavailable;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return kInvalidArgument;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kFailedPrecondition:
      return kConflict;
    default:
      return kOther;
  }
}

int Report(const absl::Status& failure, const Shared& shared) {
  WriteError(Paragraph(failure, shared) + "\n");
  return ExitCodeOf(failure);
}

}  // namespace tokenbroker::tokenctl
