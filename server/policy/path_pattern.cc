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

bool IsSegment(std::string_view segment, bool stars) {
  if (segment.empty() || segment.front() == '-' || segment == "." || segment == "..") return false;
  return std::all_of(segment.begin(), segment.end(), [&](char each) {
    return absl::ascii_isalnum(static_cast<unsigned char>(each)) || each == '_' || each == '-' || each == '.' ||
           (stars && each == '*');
  });
}

// The usual two-pointer walk: on a mismatch, go back to the last star and let it take one character more.
bool SegmentMatches(std::string_view pattern, std::string_view text) {
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

}  // namespace

bool IsFullPath(std::string_view text, bool stars) {
  if (text.size() > 1024 || LowerCase(text).ends_with(".git")) return false;
  const std::vector<std::string_view> segments = SplitPath(text);
  return std::all_of(segments.begin(), segments.end(),
                     [&](std::string_view segment) { return IsSegment(segment, stars); });
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
  if (!IsFullPath(rest, true)) {
    return absl::InvalidArgumentError("is not a full path: segments of [A-Za-z0-9_.*-] with '/' between them");
  }
  if (out.everything_below_) {
    const auto literal = [](std::string_view segment) { return segment.find('*') == std::string_view::npos; };
    if (segments.size() < 2 || !literal(segments[0]) || !literal(segments[1])) {
      return absl::InvalidArgumentError("'**' needs two segments without '*' at the beginning, as in 'acme/teams/**'");
    }
  } else if (segments.size() < least_segments) {
    return absl::InvalidArgumentError("a project's full path has two segments at least: 'group/project'");
  }
  if (std::all_of(rest.begin(), rest.end(), [](char each) { return each >= '0' && each <= '9'; })) {
    return absl::InvalidArgumentError("GitLab takes digits alone for an id; a pattern is a path");
  }
  for (const std::string_view segment : segments) out.segments_.push_back(LowerCase(segment));
  return out;
}

bool PathPattern::Matches(std::string_view path) const {
  const std::string lower = LowerCase(path);
  const std::vector<std::string_view> segments = SplitPath(lower);
  if (everything_below_ ? segments.size() <= segments_.size() : segments.size() != segments_.size()) return false;
  return std::equal(
      segments_.begin(), segments_.end(), segments.begin(),
      [](const std::string& pattern, std::string_view segment) { return SegmentMatches(pattern, segment); });
}

}  // namespace tokenbroker
