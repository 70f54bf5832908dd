#pragma once
// Who may call, as the policy describes it.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/domain/text_pattern.h"

namespace tokenbroker {

// 1 to 64 characters of [a-z0-9.-].
bool IsCallerName(std::string_view text);

// A caller's name, or a template from which captures make one: "payments", "team-{team}". Different captures never make
// one name: with more than one capture, there is a '.' between each two, and none in what they caught. Immutable.
class CallerName {
 public:
  struct Part {
    std::string text;  // Before the capture.
    std::string capture;
  };

  // The error's message says what is wrong, without the field's name.
  static absl::StatusOr<CallerName> Parse(std::string_view text);

  bool is_template() const { return !parts_.empty(); }
  const std::string& text() const { return text_; }  // As written.
  const std::vector<Part>& parts() const { return parts_; }
  const std::string& last_text() const { return last_text_; }  // After the last capture.

  // Nothing, if what they make is no caller's name.
  std::optional<std::string> Make(const Captures& captures) const;
  // Whether a capture of this name may hold the character.
  bool MayHold(char character) const;
  // Whether some name could be made by both, as far as their beginnings and ends tell.
  bool MayEqual(const CallerName& other) const;

 private:
  CallerName() = default;

  std::string text_;
  std::vector<Part> parts_;
  std::string last_text_;
};

// What a token must say.
struct JwtRule {
  std::string issuer;  // Compared exactly.
  std::optional<TextPattern> subject;
  std::map<std::string, TextPattern> claims;
};

// One way to recognise a caller: everything that is set must be shown, and a capture is one text throughout.
struct IdentityRule {
  std::optional<TextPattern> certificate;  // kSpiffe or kDns.
  std::optional<JwtRule> jwt;
};

struct CallerRule {
  CallerName name;
  std::vector<IdentityRule> identities;
};

}  // namespace tokenbroker
