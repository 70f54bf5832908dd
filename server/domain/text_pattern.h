#pragma once
// Texts with open places, as identities are written in a policy: "spiffe://example.org/ns/{team}/sa/*".

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tokenbroker {

// What a pattern describes decides what separates its segments, and what an open place takes.
enum class PatternKind {
  kSpiffe,  // '/'; matched against well-formed SPIFFE ids alone.
  kDns,     // '.'; matched against well-formed host names in lower case alone; '*' has no place in it.
  kJwt,     // '/' and ':', which texts in tokens are made of: "system:serviceaccount:{namespace}:deploy".
};

// What captures caught, by their names.
using Captures = std::map<std::string, std::string>;

// Whether a caught text may become a segment of a target's path: characters of [A-Za-z0-9_.-], no '-' or '.' at the
// beginning, no '.', ".git" or ".atom" at the end.
bool IsSafeCapture(std::string_view text);
// The name of a capture: 1 to 32 characters of [a-z0-9_], the first one a letter.
bool IsCaptureName(std::string_view text);

// A segment has one open place at most, so that a text matches in one way or not at all. "{name}" is a capture and
// takes what is safe in a path (IsSafeCapture); '*' takes what the kind allows; both at least one character, never a
// separator. A capture named twice must catch the same text. Immutable and thread-safe.
class TextPattern {
 public:
  enum class Place { kNone, kAny, kCapture };
  struct Segment {
    std::string before;  // The whole text, if there is no open place.
    Place place = Place::kNone;
    std::string capture;  // Its name.
    std::string after;
    char separator = '\0';  // What follows the segment; none after the last one.

    bool operator==(const Segment&) const = default;
  };

  // The error's message says what is wrong, without the field's name.
  static absl::StatusOr<TextPattern> Parse(PatternKind kind, std::string_view text);

  // Adds what is caught to `captures`, where a name may have its text already; on false there may be some of it.
  bool Matches(std::string_view text, Captures& captures) const;

  bool is_literal() const { return is_literal_; }
  PatternKind kind() const { return kind_; }
  const std::string& text() const { return text_; }  // As written; a host name in lower case, if it is literal.
  const std::vector<Segment>& segments() const { return segments_; }

  // Whether an open place of this kind may take the character.
  static bool MayTake(PatternKind kind, Place place, char character);

 private:
  TextPattern() = default;

  PatternKind kind_ = PatternKind::kSpiffe;
  std::string text_;
  bool is_literal_ = true;
  std::string begin_,
      end_;  // What stands before the first open place and after the last, so that most texts fail early.
  std::vector<Segment> segments_;
};

}  // namespace tokenbroker
