#include "server/domain/caller_rule.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace tokenbroker {
namespace {

bool IsNameCharacter(char each) {
  return absl::ascii_islower(static_cast<unsigned char>(each)) ||
         absl::ascii_isdigit(static_cast<unsigned char>(each)) || each == '.' || each == '-';
}
bool AreNameCharacters(std::string_view text) { return std::all_of(text.begin(), text.end(), IsNameCharacter); }

}  // namespace

bool IsCallerName(std::string_view text) { return !text.empty() && text.size() <= 64 && AreNameCharacters(text); }

absl::StatusOr<CallerName> CallerName::Parse(std::string_view text) {
  const auto bad = [] {
    return absl::InvalidArgumentError(
        "must be 1 to 64 characters of [a-z0-9.-], where '{name}' may stand for a capture");
  };
  CallerName out;
  out.text_ = std::string(text);
  std::string_view rest = text;
  for (std::size_t open = rest.find('{'); open != rest.npos; open = rest.find('{')) {
    const std::size_t close = rest.find('}');
    if (close == rest.npos || close < open) return bad();
    Part part{std::string(rest.substr(0, open)), std::string(rest.substr(open + 1, close - open - 1))};
    if (!AreNameCharacters(part.text) || !IsCaptureName(part.capture)) return bad();
    if (!out.parts_.empty() && part.text.find('.') == std::string::npos) {
      return absl::InvalidArgumentError("two captures need a '.' between them, so that no two callers have one name");
    }
    out.parts_.push_back(std::move(part));
    rest.remove_prefix(close + 1);
  }
  out.last_text_ = std::string(rest);
  if (!AreNameCharacters(rest) || (out.parts_.empty() && !IsCallerName(rest))) return bad();
  return out;
}

std::optional<std::string> CallerName::Make(const Captures& captures) const {
  std::string name;
  for (const Part& part : parts_) {
    const auto caught = captures.find(part.capture);
    if (caught == captures.end()) return std::nullopt;
    const std::string& text = caught->second;
    if (!std::all_of(text.begin(), text.end(), [&](char each) { return MayHold(each); })) return std::nullopt;
    name += part.text + text;
  }
  name += last_text_;
  if (!IsCallerName(name)) return std::nullopt;
  return name;
}

bool CallerName::MayHold(char character) const {
  return IsNameCharacter(character) && (parts_.size() < 2 || character != '.');
}

bool CallerName::MayEqual(const CallerName& other) const {
  if (!is_template()) return other.is_template() ? other.MayEqual(*this) : text_ == other.text_;
  const std::string_view begin = parts_.front().text;
  const std::string_view end = last_text_;
  if (!other.is_template()) {
    const std::string_view text = other.text_;
    return text.size() > begin.size() + end.size() && text.starts_with(begin) && text.ends_with(end);
  }
  const std::string_view other_begin = other.parts_.front().text;
  const std::string_view other_end = other.last_text_;
  return (begin.starts_with(other_begin) || other_begin.starts_with(begin)) &&
         (end.ends_with(other_end) || other_end.ends_with(end));
}

}  // namespace tokenbroker
