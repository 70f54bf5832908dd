#include "server/domain/text_pattern.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "server/domain/identity_text.h"
#include "server/domain/target.h"

namespace tokenbroker {
namespace {

using Place = TextPattern::Place;
using Segment = TextPattern::Segment;

std::string_view SeparatorsOf(PatternKind kind) {
  switch (kind) {
    case PatternKind::kSpiffe:
      return "/";
    case PatternKind::kDns:
      return ".";
    case PatternKind::kJwt:
      break;
  }
  return "/:";
}

bool IsPathCharacter(char each) {
  return absl::ascii_isalnum(static_cast<unsigned char>(each)) || each == '_' || each == '.' || each == '-';
}

absl::StatusOr<Segment> ParseSegment(std::string_view text) {
  Segment out;
  const std::size_t open = text.find_first_of("{*");
  if (text.substr(0, open).find('}') != text.npos) return absl::InvalidArgumentError("a '}' without a '{' before it");
  out.before = std::string(text.substr(0, open));
  if (open == text.npos) return out;
  std::size_t end = open + 1;
  if (text[open] == '*') {
    out.place = Place::kAny;
  } else {
    const std::size_t close = text.find('}', open);
    const std::string_view name = text.substr(open + 1, close == text.npos ? close : close - open - 1);
    if (close == text.npos || !IsCaptureName(name)) {
      return absl::InvalidArgumentError(
          "a capture is '{name}', with a name of 1 to 32 characters of [a-z0-9_] that begins with a letter");
    }
    out.place = Place::kCapture;
    out.capture = std::string(name);
    end = close + 1;
  }
  out.after = std::string(text.substr(end));
  if (out.after.find_first_of("{}*") != std::string::npos) {
    return absl::InvalidArgumentError("a segment has one capture or one '*' at most");
  }
  return out;
}

}  // namespace

bool IsSafeCapture(std::string_view text) {
  if (text.empty() || text.front() == '-' || text.front() == '.' || text.back() == '.') return false;
  if (!std::all_of(text.begin(), text.end(), IsPathCharacter)) return false;
  const std::string lower = LowerCase(text);
  return !lower.ends_with(".git") && !lower.ends_with(".atom");
}

bool IsCaptureName(std::string_view text) {
  return !text.empty() && text.size() <= 32 && absl::ascii_islower(static_cast<unsigned char>(text.front())) &&
         std::all_of(text.begin(), text.end(), [](char each) {
           return absl::ascii_islower(static_cast<unsigned char>(each)) ||
                  absl::ascii_isdigit(static_cast<unsigned char>(each)) || each == '_';
         });
}

bool TextPattern::MayTake(PatternKind kind, Place place, char character) {
  if (place == Place::kCapture && !IsPathCharacter(character)) return false;
  switch (kind) {
    case PatternKind::kSpiffe:
      return IsPathCharacter(character);
    case PatternKind::kDns:
      return character == '-' || (absl::ascii_isalnum(static_cast<unsigned char>(character)) &&
                                  !absl::ascii_isupper(static_cast<unsigned char>(character)));
    case PatternKind::kJwt:
      break;
  }
  return character != '/' && character != ':' && !absl::ascii_iscntrl(static_cast<unsigned char>(character));
}

absl::StatusOr<TextPattern> TextPattern::Parse(PatternKind kind, std::string_view text) {
  TextPattern out;
  out.kind_ = kind;
  out.text_ = std::string(text);
  std::string example;  // What the pattern matches, with "x" in its open places.
  std::string_view rest = text;
  while (true) {
    const std::size_t begin = example.size();
    const std::size_t end = rest.find_first_of(SeparatorsOf(kind));
    absl::StatusOr<Segment> segment = ParseSegment(rest.substr(0, end));
    if (!segment.ok()) return segment.status();
    if (kind == PatternKind::kDns) {
      if (segment->place == Place::kAny) return absl::InvalidArgumentError("'*' has no place in a host name");
      segment->before = LowerCase(segment->before);
      segment->after = LowerCase(segment->after);
    }
    const bool is_open = segment->place != Place::kNone;
    absl::StrAppend(&example, segment->before);
    if (is_open && out.is_literal_) out.begin_ = example;
    if (is_open) example += 'x';
    const std::size_t after = example.size();
    absl::StrAppend(&example, segment->after);
    if (end != rest.npos) {
      segment->separator = rest[end];
      example += rest[end];
    }
    out.is_literal_ = out.is_literal_ && !is_open;
    out.end_ = is_open ? example.substr(after) : out.end_ + example.substr(begin);
    out.segments_.push_back(*std::move(segment));
    if (end == rest.npos) break;
    rest.remove_prefix(end + 1);
  }
  if (out.is_literal_) out.text_ = example;
  switch (kind) {
    case PatternKind::kSpiffe:
      // "spiffe:", "" and the trust domain; and a pattern too short for them is no SPIFFE id.
      if (!IsSpiffeId(example) || std::any_of(out.segments_.begin(), out.segments_.begin() + 3,
                                              [](const Segment& each) { return each.place != Place::kNone; })) {
        return absl::InvalidArgumentError(
            "must have the form spiffe://trust.domain/path, where '{name}' or '*' may stand within a segment of the "
            "path");
      }
      break;
    case PatternKind::kDns:
      if (!IsDnsName(example)) {
        return absl::InvalidArgumentError("must be a host name without wildcards, where '{name}' may stand in a label");
      }
      break;
    case PatternKind::kJwt:
      if (text.empty() || text.size() > 1024 || std::any_of(text.begin(), text.end(), [](char each) {
            return absl::ascii_iscntrl(static_cast<unsigned char>(each));
          })) {
        return absl::InvalidArgumentError("must have 1 to 1024 bytes and no control characters");
      }
      break;
  }
  return out;
}

bool TextPattern::Matches(std::string_view text, Captures& captures) const {
  if (is_literal_) return text == text_;
  if (!text.starts_with(begin_) || !text.ends_with(end_)) return false;
  for (const Segment& segment : segments_) {
    const std::size_t end = text.find_first_of(SeparatorsOf(kind_));
    if (segment.separator != (end == text.npos ? '\0' : text[end])) return false;
    std::string_view piece = text.substr(0, end);
    if (segment.place == Place::kNone) {
      if (piece != segment.before) return false;
    } else {
      if (piece.size() <= segment.before.size() + segment.after.size() || !piece.starts_with(segment.before) ||
          !piece.ends_with(segment.after)) {
        return false;
      }
      piece.remove_prefix(segment.before.size());
      piece.remove_suffix(segment.after.size());
      if (!std::all_of(piece.begin(), piece.end(), [&](char each) { return MayTake(kind_, segment.place, each); })) {
        return false;
      }
      if (segment.place == Place::kCapture) {
        if (!IsSafeCapture(piece)) return false;
        const auto [known, is_new] = captures.try_emplace(segment.capture, piece);
        if (!is_new && known->second != piece) return false;
      }
    }
    if (end == text.npos) return true;  // The last segment, as its separator says.
    text.remove_prefix(end + 1);
  }
  return false;
}

}  // namespace tokenbroker
