#pragma once
// Patterns over the full paths of projects, groups and service accounts, compared without case, as GitLab compares
// paths. What a caller's identity captured may stand in them.

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace tokenbroker {

// Whether `text` is a full path at GitLab: segments of [A-Za-z0-9_.-] with single slashes between them, none of them
// "." or "..", none beginning with '-', and no ".git" at the end. With `stars`, '*' may stand anywhere in a segment.
bool IsFullPath(std::string_view text, bool stars);

// Whether the whole text is what the pattern says; '*' stands for any characters, none included. Takes time in
// proportion to the product of the lengths at most.
bool GlobMatches(std::string_view pattern, std::string_view text);

// What a caller's captures put into patterns: literal text in lower case. A text that cannot be a part of a path's
// segment is left out, so that a pattern which names it matches nothing.
class CapturedTexts {
 public:
  CapturedTexts() = default;
  // `captures` must outlive it.
  explicit CapturedTexts(const std::map<std::string, std::string>& captures);

  // Null if there is none.
  const std::string* Find(std::string_view name) const;

 private:
  std::vector<std::pair<std::string_view, std::string>> texts_;
};

// "acme/payments", "acme/pay-*", "acme/teams/**", "{team}/tools": '*' stands for any characters within one segment,
// none included; a last segment "**" for one or more whole segments; "{name}" for what the caller captured under that
// name. Immutable and thread-safe.
class PathPattern {
 public:
  struct Segment {
    std::string text;  // Lower case; captures as "{name}".
    bool has_star = false;
    bool has_capture = false;
  };

  // The error's message says what is wrong, without the field's name. `least_segments`: 2 for projects, 1 for groups.
  // "**" needs two segments without a star in front of it, or a first one with a capture.
  static absl::StatusOr<PathPattern> Parse(std::string_view text, std::size_t least_segments);
  // A service account, "group/path:username", without stars.
  static absl::StatusOr<PathPattern> ParseAccount(std::string_view text);

  // `path` is in lower case.
  bool Matches(std::string_view path, const CapturedTexts& captured) const;
  // The one path that it matches, as written; nothing if a star or an unknown capture is in it.
  std::optional<std::string> OnlyPath(const CapturedTexts& captured) const;

  const std::string& text() const { return text_; }                   // As written.
  const std::vector<Segment>& segments() const { return segments_; }  // Without a last "**".
  bool everything_below() const { return everything_below_; }         // Whether "**" stood last.
  std::vector<std::string> CaptureNames() const;

 private:
  PathPattern() = default;

  std::string text_;
  std::vector<Segment> segments_;
  bool everything_below_ = false;
};

// Whether a segment without stars, captures filled in, is the text.
bool SegmentIs(const PathPattern::Segment& segment, std::string_view text, const CapturedTexts& captured);

}  // namespace tokenbroker
