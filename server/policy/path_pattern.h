#pragma once
// Patterns over the full paths of projects and groups, compared without case, as GitLab compares paths.

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tokenbroker {

// Whether `text` is a full path at GitLab: segments of [A-Za-z0-9_.-] with single slashes between them, none of them
// "." or "..", none beginning with '-', and no ".git" at the end. With `stars`, '*' may stand anywhere in a segment.
bool IsFullPath(std::string_view text, bool stars);

// "acme/payments", "acme/pay-*", "acme/teams/**": '*' stands for any characters within one segment, none included; a
// last segment "**" for one or more whole segments. Immutable and thread-safe.
class PathPattern {
 public:
  // The error's message says what is wrong, without the field's name. `least_segments`: 2 for projects, 1 for groups.
  static absl::StatusOr<PathPattern> Parse(std::string_view text, std::size_t least_segments);

  // Takes time in proportion to the product of the lengths at most, whatever the pattern.
  bool Matches(std::string_view path) const;

  const std::string& text() const { return text_; }  // As written.

 private:
  PathPattern() = default;

  std::string text_;
  std::vector<std::string> segments_;  // Lower case, without a last "**".
  bool everything_below_ = false;      // Whether "**" stood last.
};

}  // namespace tokenbroker
