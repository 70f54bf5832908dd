#include "server/policy/path_pattern.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "server/domain/target.h"

namespace tokenbroker {
namespace {

std::vector<std::string_view> SplitPath(std::string_view path) {
  std::vector<std::string_view> segments;
  while (true) {
    const std::size_t slash = path.find('/');
    segments.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

bool IsPathCharacter(char each) {
  return absl::ascii_isalnum(static_cast<unsigned char>(each)) || each == '_' || each == '-' || each == '.';
}

bool IsSegment(std::string_view segment, bool stars) {
  if (segment.empty() || segment.front() == '-' || segment == "." || segment == "..") return false;
  return std::all_of(segment.begin(), segment.end(),
                     [&](char each) { return IsPathCharacter(each) || (stars && each == '*'); });
}

bool IsCaptureName(std::string_view name) {
  return !name.empty() && name.size() <= 32 && name.front() >= 'a' && name.front() <= 'z' &&
         std::all_of(name.begin(), name.end(), [](char each) {
           return (each >= 'a' && each <= 'z') || (each >= '0' && each <= '9') || each == '_';
         });
}

// Calls `literal` and `capture` for the pieces of a text, in order, until one of them is false. False as well if braces
// do not enclose a name each.
template <typename Literal, typename Capture>
bool ForPieces(std::string_view text, const Literal& literal, const Capture& capture) {
  while (!text.empty()) {
    const std::size_t open = text.find_first_of("{}");
    if (open != 0 && !literal(text.substr(0, open))) return false;
    if (open == std::string_view::npos) return true;
    const std::size_t close = text.find('}', open);
    if (text[open] == '}' || close == std::string_view::npos) return false;
    const std::string_view name = text.substr(open + 1, close - open - 1);
    if (!IsCaptureName(name) || !capture(name)) return false;
    text.remove_prefix(close + 1);
  }
  return true;
}

// The text with captures filled in; nothing if one is unknown.
std::optional<std::string> Fill(std::string_view text, const CapturedTexts& captured) {
  std::string filled;
  const bool known = ForPieces(
      text,
      [&](std::string_view piece) {
        filled += piece;
        return true;
      },
      [&](std::string_view name) {
        const std::string* const caught = captured.Find(name);
        if (caught == nullptr) return false;
        filled += *caught;
        return true;
      });
  if (!known) return std::nullopt;
  return filled;
}

// The text with a letter in place of each capture, to see whether it is well-formed; nothing if a brace is not.
std::optional<std::string> WithoutCaptures(std::string_view text) {
  std::string plain;
  const bool good = ForPieces(
      text,
      [&](std::string_view piece) {
        plain += piece;
        return true;
      },
      [&](std::string_view) {
        plain += 'x';
        return true;
      });
  if (!good) return std::nullopt;
  return plain;
}

PathPattern::Segment SegmentOf(std::string_view text) {
  return {LowerCase(text), text.find('*') != text.npos, text.find('{') != text.npos};
}

constexpr char kBraces[] = "'{' and '}' enclose the name of a capture: 1 to 32 characters of [a-z0-9_], a letter first";

}  // namespace

bool IsFullPath(std::string_view text, bool stars) {
  if (text.size() > 1024 || LowerCase(text).ends_with(".git")) return false;
  const std::vector<std::string_view> segments = SplitPath(text);
  return std::all_of(segments.begin(), segments.end(),
                     [&](std::string_view segment) { return IsSegment(segment, stars); });
}

// The usual two-pointer walk: on a mismatch, go back to the last star and let it take one character more.
bool GlobMatches(std::string_view pattern, std::string_view text) {
  std::size_t at = 0;
  std::size_t in = 0;
  std::size_t star = std::string_view::npos;
  std::size_t star_text = 0;
  while (in < text.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = at++;
      star_text = in;
    } else if (at < pattern.size() && pattern[at] == text[in]) {
      ++at;
      ++in;
    } else if (star != std::string_view::npos) {
      at = star + 1;
      in = ++star_text;
    } else {
      return false;
    }
  }
  return std::all_of(pattern.begin() + static_cast<std::ptrdiff_t>(at), pattern.end(),
                     [](char each) { return each == '*'; });
}

CapturedTexts::CapturedTexts(const std::map<std::string, std::string>& captures) {
  for (const auto& [name, text] : captures) {
    if (!text.empty() && std::all_of(text.begin(), text.end(), IsPathCharacter)) {
      texts_.emplace_back(name, LowerCase(text));
    }
  }
}

const std::string* CapturedTexts::Find(std::string_view name) const {
  for (const auto& [known, text] : texts_) {
    if (known == name) return &text;
  }
  return nullptr;
}

absl::StatusOr<PathPattern> PathPattern::Parse(std::string_view text, std::size_t least_segments) {
  PathPattern out;
  out.text_ = std::string(text);
  std::string_view rest = text;
  if (rest.ends_with("/**")) {
    out.everything_below_ = true;
    rest.remove_suffix(3);
  }
  const std::vector<std::string_view> segments = SplitPath(rest);
  if (text == "**" ||
      std::any_of(segments.begin(), segments.end(), [](auto each) { return each.find("**") != each.npos; })) {
    return absl::InvalidArgumentError("'**' may only be the last segment, as in 'acme/teams/**'");
  }
  const std::optional<std::string> plain = WithoutCaptures(rest);
  if (!plain.has_value()) return absl::InvalidArgumentError(kBraces);
  if (!IsFullPath(*plain, true)) {
    return absl::InvalidArgumentError("is not a full path: segments of [A-Za-z0-9_.*-] with '/' between them");
  }
  for (const std::string_view segment : segments) out.segments_.push_back(SegmentOf(segment));
  if (out.everything_below_) {
    const bool two = segments.size() >= 2 && !out.segments_[0].has_star && !out.segments_[1].has_star;
    if (!two && (out.segments_[0].has_star || !out.segments_[0].has_capture)) {
      return absl::InvalidArgumentError(
          "'**' needs two segments without '*' at the beginning, as in 'acme/teams/**', or a capture, as in "
          "'{team}/**'");
    }
  } else if (segments.size() < least_segments) {
    return absl::InvalidArgumentError("a project's full path has two segments at least: 'group/project'");
  }
  if (std::all_of(rest.begin(), rest.end(), [](char each) { return each >= '0' && each <= '9'; })) {
    return absl::InvalidArgumentError("GitLab takes digits alone for an id; a pattern is a path");
  }
  return out;
}

absl::StatusOr<PathPattern> PathPattern::ParseAccount(std::string_view text) {
  const std::optional<std::string> plain = WithoutCaptures(text);
  if (!plain.has_value()) return absl::InvalidArgumentError(kBraces);
  const std::size_t colon = plain->rfind(':');
  const std::string_view name = std::string_view(*plain).substr(colon == std::string::npos ? 0 : colon + 1);
  if (colon == std::string::npos || !IsFullPath(std::string_view(*plain).substr(0, colon), false) ||
      !IsFullPath(name, false) || name.find('/') != name.npos) {
    return absl::InvalidArgumentError("must be 'group/path:username' or a numeric id");
  }
  PathPattern out;
  out.text_ = std::string(text);
  for (const std::string_view segment : SplitPath(text)) out.segments_.push_back(SegmentOf(segment));
  return out;
}

bool SegmentIs(const PathPattern::Segment& segment, std::string_view text, const CapturedTexts& captured) {
  if (!segment.has_capture) return segment.text == text;
  const auto take = [&text](std::string_view piece) {
    if (!text.starts_with(piece)) return false;
    text.remove_prefix(piece.size());
    return true;
  };
  const bool taken = ForPieces(segment.text, take, [&](std::string_view name) {
    const std::string* const caught = captured.Find(name);
    return caught != nullptr && take(*caught);
  });
  return taken && text.empty();
}

bool PathPattern::Matches(std::string_view path, const CapturedTexts& captured) const {
  std::string_view rest = path;
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    const std::size_t slash = rest.find('/');
    const std::string_view text = rest.substr(0, slash);
    const Segment& segment = segments_[i];
    if (!segment.has_star) {
      if (!SegmentIs(segment, text, captured)) return false;
    } else if (!segment.has_capture) {
      if (!GlobMatches(segment.text, text)) return false;
    } else {
      const std::optional<std::string> filled = Fill(segment.text, captured);  // What was caught has no star.
      if (!filled.has_value() || !GlobMatches(*filled, text)) return false;
    }
    const bool last = i + 1 == segments_.size();
    if (slash == std::string_view::npos) return last && !everything_below_;
    if (last) return everything_below_;
    rest.remove_prefix(slash + 1);
  }
  return false;
}

std::optional<std::string> PathPattern::OnlyPath(const CapturedTexts& captured) const {
  const bool star = std::any_of(segments_.begin(), segments_.end(), [](const Segment& each) { return each.has_star; });
  if (star || everything_below_) return std::nullopt;
  return Fill(text_, captured);
}

std::vector<std::string> PathPattern::CaptureNames() const {
  std::vector<std::string> names;
  ForPieces(
      text_, [](std::string_view) { return true; },
      [&](std::string_view name) {
        names.emplace_back(name);
        return true;
      });
  return names;
}

}  // namespace tokenbroker
