#include "server/broker/filter_parser.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "server/base/error.h"
#include "server/base/nearest.h"
#include "server/base/time_text.h"
#include "server/domain/scope.h"

namespace tokenbroker {
namespace {

constexpr std::size_t kMaxTerms = 10;
constexpr std::size_t kMaxLength = 4096;
constexpr std::size_t kMaxQuoted = 64;

constexpr std::array<std::string_view, 7> kFields = {"state", "target",      "scopes",     "labels",
                                                     "owner", "create_time", "expire_time"};
constexpr std::array<TokenState, 6> kStates = {TokenState::kPending, TokenState::kActive,  TokenState::kRevoking,
                                               TokenState::kRevoked, TokenState::kExpired, TokenState::kAbandoned};
constexpr std::array<std::string_view, 4> kKinds = {"user", "project", "group", "service_account"};
constexpr std::string_view kStatePrefix = "TOKEN_STATE_";
constexpr std::string_view kOwnerPrefix = "callers/";

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool IsNameCharacter(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_'; }
bool IsOperatorCharacter(char c) { return c == '=' || c == '!' || c == '<' || c == '>' || c == ':'; }
bool EndsBareValue(char c) { return IsSpace(c) || c == '"' || c == '\'' || c == '(' || c == ')'; }

// As an error shows it: whole characters, and not too many of them.
std::string Quoted(std::string_view text) {
  if (text.size() <= kMaxQuoted) return "\"" + std::string(text) + "\"";
  std::size_t end = kMaxQuoted;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return "\"" + std::string(text.substr(0, end)) + "...\"";
}

std::string DidYouMean(std::string_view word) { return word.empty() ? "" : "; did you mean " + Quoted(word) + "?"; }

template <typename Words>
std::string OneOf(const Words& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : ", ") + std::string(word);
  return text;
}

absl::Status Invalid(std::string_view field, const std::string& what) {
  return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID", std::string(field) + ": " + what)
      .Field(field, what);
}

// What is wrong, and where.
struct Problem {
  std::size_t at;
  std::string what;
};

// Reads from front to back; the first problem ends it.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  const std::optional<Problem>& problem() const { return problem_; }

  std::vector<TokenTerm> ReadAll() {
    std::vector<TokenTerm> terms;
    SkipSpace();
    while (!problem_.has_value() && at_ < text_.size()) {
      if (terms.size() == kMaxTerms) {
        Fail(at_, "has more than 10 terms; at most 10 are allowed");
        break;
      }
      std::optional<TokenTerm> term = ReadTerm();
      if (!term.has_value()) break;
      terms.push_back(*std::move(term));
      ReadAnd();
    }
    return terms;
  }

 private:
  std::nullopt_t Fail(std::size_t at, std::string what) {
    if (!problem_.has_value()) problem_ = Problem{at, std::move(what)};
    return std::nullopt;
  }

  void SkipSpace() {
    while (at_ < text_.size() && IsSpace(text_[at_])) ++at_;
  }

  std::string_view ReadWhile(bool (*wanted)(char)) {
    const std::size_t begin = at_;
    while (at_ < text_.size() && wanted(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  // Between two terms; nothing at the end.
  void ReadAnd() {
    const std::size_t end = at_;
    SkipSpace();
    if (at_ == text_.size() || problem_.has_value()) return;
    const std::size_t begin = at_;
    const std::string_view word = ReadWhile(IsNameCharacter);
    if (word != "AND" || begin == end) {
      Fail(begin, "terms are joined by AND; " + Rule(word.empty() ? text_.substr(begin, 1) : word));
      return;
    }
    SkipSpace();
    if (at_ == text_.size()) Fail(begin, "AND must be followed by another term");
  }

  static std::string Rule(std::string_view found) {
    if (found == "OR" || found == "NOT" || found == "(" || found == ")") {
      return Quoted(found) + " is not supported: list once for each alternative";
    }
    return "found " + Quoted(found);
  }

  std::optional<TokenTerm> ReadTerm() {
    const std::size_t begin = at_;
    const std::string_view field = ReadWhile(IsNameCharacter);
    if (field.empty()) {
      return Fail(begin, "a term begins with the name of a field: " + OneOf(kFields) + "; found " +
                             Quoted(text_.substr(begin, 1)));
    }
    if (field == "NOT" || field == "OR" || field == "AND") return Fail(begin, "a term is missing; " + Rule(field));
    if (std::find(kFields.begin(), kFields.end(), field) == kFields.end()) {
      const std::string_view near = NearestWord(kFields, absl::AsciiStrToLower({field.data(), field.size()}));
      return Fail(begin, "unknown field " + Quoted(field) +
                             (near.empty() ? "; the fields are " + OneOf(kFields) : DidYouMean(near)));
    }
    std::string key;
    if (at_ < text_.size() && text_[at_] == '.') {
      if (field != "labels") return Fail(at_, Quoted(field) + " has no parts; only labels.KEY has");
      ++at_;
      std::optional<std::string> read = ReadLabelKey();
      if (!read.has_value()) return std::nullopt;
      key = *std::move(read);
    }
    SkipSpace();
    const std::size_t operator_at = at_;
    const std::string_view op = ReadWhile(IsOperatorCharacter);
    if (op.empty()) return Fail(operator_at, "an operator must follow the field: " + OperatorsOf(field, key));
    SkipSpace();
    const std::size_t value_at = at_;
    std::optional<std::string> value = ReadValue();
    if (!value.has_value()) return std::nullopt;
    return MakeTerm(field, key, {operator_at, std::string(op)}, {value_at, *std::move(value)});
  }

  std::optional<std::string> ReadLabelKey() {
    const std::size_t begin = at_;
    std::optional<std::string> key;
    if (at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\'')) {
      key = ReadValue();
      if (!key.has_value()) return std::nullopt;
    } else {
      key = std::string(ReadWhile([](char c) { return !EndsBareValue(c) && !IsOperatorCharacter(c); }));
    }
    if (key->empty()) return Fail(begin, "a label's key must follow: labels.KEY");
    return key;
  }

  std::optional<std::string> ReadValue() {
    const std::size_t begin = at_;
    if (at_ == text_.size()) return Fail(begin, "a value is missing");
    const char quote = text_[at_];
    if (quote != '"' && quote != '\'') {
      const std::string_view bare = ReadWhile([](char c) { return !EndsBareValue(c); });
      if (bare.empty()) return Fail(begin, "a value is missing; found " + Quoted(text_.substr(begin, 1)));
      return std::string(bare);
    }
    std::string value;
    for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
      if (text_[at_] == '\\') {
        ++at_;
        if (at_ == text_.size()) break;
        if (text_[at_] != '\\' && text_[at_] != '"' && text_[at_] != '\'') {
          return Fail(at_ - 1, "a backslash stands only before a quote or another backslash");
        }
      }
      value += text_[at_];
    }
    if (at_ >= text_.size()) return Fail(begin, "the quote is not closed");
    ++at_;
    return value;
  }

  struct Word {
    std::size_t at;
    std::string text;
  };

  static std::string OperatorsOf(std::string_view field, std::string_view key) {
    if (field == "state") return "state = or state !=";
    if (field == "scopes") return "scopes:SCOPE";
    if (field == "labels") return key.empty() ? "labels:KEY or labels.KEY = \"VALUE\"" : "labels.KEY = \"VALUE\"";
    if (field == "owner" || field == "target") return std::string(field) + " =";
    return std::string(field) + " with =, <, <=, > or >=";
  }

  std::optional<TokenTerm> MakeTerm(std::string_view field, const std::string& key, const Word& op, Word value) {
    const auto wrong_operator = [&] {
      return Fail(op.at, "no operator " + Quoted(op.text) + " here; use " + OperatorsOf(field, key));
    };
    if (field == "state") {
      if (op.text != "=" && op.text != "!=") return wrong_operator();
      return MakeState(value, op.text == "!=");
    }
    if (field == "create_time" || field == "expire_time") {
      const TimeField time = field == "create_time" ? TimeField::kCreateTime : TimeField::kExpireTime;
      constexpr std::array<std::string_view, 5> kComparisons = {"=", "<", "<=", ">", ">="};
      if (std::find(kComparisons.begin(), kComparisons.end(), op.text) == kComparisons.end()) return wrong_operator();
      return MakeTime(time, op.text, value);
    }
    if (field == "scopes") {
      if (op.text != ":") return wrong_operator();
      return MakeScope(std::move(value));
    }
    if (field == "labels") {
      if (op.text != (key.empty() ? ":" : "=")) return wrong_operator();
      if (key.empty()) return LabelTerm{std::move(value.text), std::nullopt};
      return LabelTerm{key, std::move(value.text)};
    }
    if (op.text != "=") return wrong_operator();
    if (field == "target") return MakeTarget(value);
    std::string_view owner = value.text;
    if (owner.starts_with(kOwnerPrefix)) owner.remove_prefix(kOwnerPrefix.size());
    if (owner.empty()) return Fail(value.at, "an owner is a caller: \"callers/NAME\"");
    return OwnerTerm{std::string(owner)};
  }

  std::optional<TokenTerm> MakeState(const Word& value, bool negated) {
    const std::string upper = absl::AsciiStrToUpper(value.text);
    std::string_view name = upper;
    if (name.starts_with(kStatePrefix)) name.remove_prefix(kStatePrefix.size());
    const std::optional<TokenState> state = ParseTokenState(name);
    if (state.has_value()) return StateTerm{*state, negated};
    std::vector<std::string_view> names;
    names.reserve(kStates.size());
    for (const TokenState each : kStates) names.push_back(NameOf(each));
    const std::string_view near = NearestWord(names, name);
    return Fail(value.at, "unknown state " + Quoted(value.text) +
                              (near.empty() ? "; the states are " + OneOf(names) : DidYouMean(near)));
  }

  std::optional<TokenTerm> MakeTime(TimeField field, std::string_view op, const Word& value) {
    const std::optional<WallTime> time = ParseRfc3339(value.text);
    if (!time.has_value()) {
      return Fail(value.at, Quoted(value.text) +
                                " is not a time as RFC 3339 has it, of the years 1 to 9999: \"2026-11-25T06:53:14Z\"");
    }
    TimeTerm term;
    term.field = field;
    if (op == "=" || op == ">=") term.first = time;
    if (op == "=" || op == "<=") term.last = time;
    if (op == ">") term.first = *time + Duration(1);
    if (op == "<") term.last = *time - Duration(1);
    return term;
  }

  std::optional<TokenTerm> MakeScope(Word value) {
    if (IsKnownScope(value.text)) return ScopeTerm{std::move(value.text)};
    return Fail(value.at, "unknown scope " + Quoted(value.text) + DidYouMean(NearestScope(value.text)));
  }

  std::optional<TokenTerm> MakeTarget(const Word& value) {
    constexpr char kForm[] =
        "a target is \"user:42\", \"project:group/name\", \"group:path\" or \"service_account:group/path:name\", with "
        "\"INSTANCE/\" before it for those of one GitLab instance; ids and paths will both do";
    const std::size_t colon = value.text.find(':');
    if (colon == std::string::npos || colon + 1 == value.text.size()) return Fail(value.at, kForm);
    std::string_view word = std::string_view(value.text).substr(0, colon);
    std::string instance;
    if (const std::size_t slash = word.find('/'); slash != std::string_view::npos) {
      instance = word.substr(0, slash);
      word.remove_prefix(slash + 1);
      if (instance.empty()) return Fail(value.at, kForm);
    }
    const std::optional<TargetKind> kind = ParseTargetKind(word);
    if (!kind.has_value()) {
      const std::string_view near = NearestWord(kKinds, word);
      return Fail(value.at,
                  "unknown kind " + Quoted(word) + (near.empty() ? "; " + std::string(kForm) : DidYouMean(near)));
    }
    return TargetTerm{{std::move(instance), *kind, value.text.substr(colon + 1)}};
  }

  const std::string_view text_;
  std::size_t at_ = 0;
  std::optional<Problem> problem_;
};

// Characters, not bytes.
std::size_t CharacterAt(std::string_view text, std::size_t at) {
  const std::string_view before = text.substr(0, at);
  return 1 + static_cast<std::size_t>(std::count_if(
                 before.begin(), before.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

absl::StatusOr<std::vector<TokenTerm>> ParseFilter(std::string_view text) {
  if (text.size() > kMaxLength) return Invalid("filter", "is longer than 4096 bytes");
  Reader reader(text);
  std::vector<TokenTerm> terms = reader.ReadAll();
  if (!reader.problem().has_value()) return terms;
  const auto& [at, what] = *reader.problem();
  return Invalid("filter", "at character " + std::to_string(CharacterAt(text, at)) + ": " + what);
}

absl::StatusOr<ListOrder> ParseOrderBy(std::string_view text, const std::vector<TokenTerm>& filter) {
  constexpr char kRule[] = "must be create_time or expire_time, followed by nothing, \" asc\" or \" desc\"";
  ListOrder order;
  std::vector<std::string_view> words;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = text.find_first_not_of(' ', at);
    if (begin == std::string_view::npos) break;
    at = std::min(text.find(' ', begin), text.size());
    words.push_back(text.substr(begin, at - begin));
  }
  if (words.empty()) {
    const bool expiry = std::any_of(filter.begin(), filter.end(), [](const TokenTerm& term) {
      const auto* time = std::get_if<TimeTerm>(&term);
      return time != nullptr && time->field == TimeField::kExpireTime;
    });
    if (expiry) order.by = TimeField::kExpireTime;
    return order;
  }
  constexpr std::array<std::string_view, 2> kTimes = {"create_time", "expire_time"};
  if (words[0] != kTimes[0] && words[0] != kTimes[1]) {
    return Invalid("order_by", std::string(kRule) + DidYouMean(NearestWord(kTimes, words[0])));
  }
  if (words.size() > 2 || (words.size() == 2 && words[1] != "asc" && words[1] != "desc")) {
    return Invalid("order_by", kRule);
  }
  order.by = words[0] == kTimes[0] ? TimeField::kCreateTime : TimeField::kExpireTime;
  order.descending = words.size() == 2 && words[1] == "desc";
  return order;
}

}  // namespace tokenbroker
