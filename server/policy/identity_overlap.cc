// Two patterns overlap if a text solves them both. Each pair of segments is an equation `before place after = before
// place after`, in which a place is an unknown text; captures make one unknown of several places. The lengths follow
// from each other up to one free number for each group of unknowns that hang together. For each such number, the
// equation is an alignment, character by character: positions that must be equal become one class, and every class must
// be left with a character. Lengths above twice that of all literal text only repeat what shorter ones said: a
// solution longer than that has a period, and loses one.

#include "server/policy/identity_overlap.h"

#include <algorithm>
#include <bitset>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

namespace tokenbroker {
namespace {

using Place = TextPattern::Place;
using Segment = TextPattern::Segment;
using Characters = std::bitset<256>;

unsigned char Byte(char character) { return static_cast<unsigned char>(character); }

struct Unknown {
  Characters may_take;
  bool is_capture = false;
  // length = length of the group's root + offset.
  int root = 0;
  int offset = 0;
  std::string text;  // Once it is solved.
};

struct Side {
  std::string_view before, after;
  int unknown = -1;  // None: the segment is `before`.

  bool operator==(const Side&) const = default;
  int literal() const { return static_cast<int>(before.size() + after.size()); }
};

struct Equation {
  Side left, right;

  bool operator==(const Equation&) const = default;
};

// The classes of positions that must hold one character.
class Positions {
 public:
  int Add(const Characters& may_take) {
    parents_.push_back(static_cast<int>(parents_.size()));
    may_take_.push_back(may_take);
    possible_ = possible_ && may_take.any();
    return parents_.back();
  }
  int Find(int at) {
    while (parents_[at] != at) at = parents_[at] = parents_[parents_[at]];
    return at;
  }
  void Join(int a, int b) {
    a = Find(a);
    b = Find(b);
    if (a == b) return;
    parents_[b] = a;
    may_take_[a] &= may_take_[b];
    possible_ = possible_ && may_take_[a].any();
  }
  // Whether every class has a character left.
  bool possible() const { return possible_; }
  char Choose(int at) {
    const Characters& left = may_take_[Find(at)];
    for (int each = 'x'; each <= 'z'; ++each) {
      if (left[each]) return static_cast<char>(each);
    }
    int each = 'a';
    while (!left[each]) each = (each + 1) % 256;
    return static_cast<char>(each);
  }

 private:
  std::vector<int> parents_;
  std::vector<Characters> may_take_;
  bool possible_ = true;
};

class Overlap {
 public:
  Overlap(const NamedIdentity& left, const NamedIdentity& right) : left_(left), right_(right) {}

  // False if the two can already be told apart by the literal text of some segment.
  bool Add(const TextPattern& left, const TextPattern& right);
  bool Solve();
  // What `pattern`, which was added on the left, matches.
  std::string TextOf(const TextPattern& pattern);
  std::optional<std::string> LeftName() { return NameOf(left_, false); }
  std::optional<std::string> RightName() { return NameOf(right_, true); }

 private:
  // Unknowns by side and name; a '*' has no name, but a place of its own.
  using Key = std::tuple<bool, std::string, const Segment*>;

  Side SideOf(const NamedIdentity& identity, bool is_right, PatternKind kind, const Segment& segment);
  std::optional<std::string> NameOf(const NamedIdentity& identity, bool is_right) const;
  bool RelateLengths(const Equation& equation);
  bool SolveGroup(int root);
  bool TryLength(int root, int length, const std::vector<const Equation*>& equations);
  void Align(const Equation& equation, const std::map<int, int>& starts, int length, Positions& positions) const;

  const NamedIdentity& left_;
  const NamedIdentity& right_;
  std::map<Key, int> keys_;
  std::vector<Unknown> unknowns_;
  std::vector<Equation> equations_;
  std::map<int, int> known_lengths_;  // Of roots.
};

bool Overlap::Add(const TextPattern& left, const TextPattern& right) {
  if (left.segments().size() != right.segments().size()) return false;
  for (std::size_t i = 0; i < left.segments().size(); ++i) {
    const Segment& a = left.segments()[i];
    const Segment& b = right.segments()[i];
    if (a.separator != b.separator) return false;
    const std::size_t begin = std::min(a.before.size(), b.before.size());
    if (a.place == Place::kNone && b.place == Place::kNone) {
      if (a.before != b.before) return false;
      continue;
    }
    if (a.before.compare(0, begin, b.before, 0, begin) != 0) return false;
    Equation equation{SideOf(left_, false, left.kind(), a), SideOf(right_, true, right.kind(), b)};
    // A pattern may say the same in many segments.
    if (std::find(equations_.begin(), equations_.end(), equation) == equations_.end()) {
      equations_.push_back(std::move(equation));
    }
  }
  return true;
}

Side Overlap::SideOf(const NamedIdentity& identity, bool is_right, PatternKind kind, const Segment& segment) {
  Side side{segment.before, segment.after, -1};
  if (segment.place == Place::kNone) return side;
  const bool is_capture = segment.place == Place::kCapture;
  const auto [known, is_new] = keys_.try_emplace(Key(is_right, segment.capture, is_capture ? nullptr : &segment),
                                                 static_cast<int>(unknowns_.size()));
  side.unknown = known->second;
  if (is_new) {
    Unknown unknown;
    unknown.may_take.set();
    unknown.is_capture = is_capture;
    unknown.root = known->second;
    unknowns_.push_back(std::move(unknown));
  }
  const auto& parts = identity.name.parts();
  const bool is_in_name = is_capture && std::any_of(parts.begin(), parts.end(), [&](const CallerName::Part& part) {
                            return part.capture == segment.capture;
                          });
  for (int each = 0; each < 256; ++each) {
    const char character = static_cast<char>(each);
    if (!TextPattern::MayTake(kind, segment.place, character) || (is_in_name && !identity.name.MayHold(character))) {
      unknowns_[side.unknown].may_take.reset(each);
    }
  }
  return side;
}

// length(left) - length(right) is what the literal texts leave.
bool Overlap::RelateLengths(const Equation& equation) {
  const auto& [left, right] = equation;
  if (left.unknown < 0 || right.unknown < 0) {
    const Side& open = left.unknown < 0 ? right : left;
    const Side& closed = left.unknown < 0 ? left : right;
    const Unknown& unknown = unknowns_[open.unknown];
    const int length = closed.literal() - open.literal() - unknown.offset;
    return known_lengths_.try_emplace(unknown.root, length).first->second == length;
  }
  const int difference = right.literal() - left.literal();
  const Unknown a = unknowns_[left.unknown];
  const Unknown b = unknowns_[right.unknown];
  if (a.root == b.root) return a.offset - b.offset == difference;
  // root(a) + a.offset = root(b) + b.offset + difference.
  const int shift = b.offset + difference - a.offset;
  for (Unknown& each : unknowns_) {
    if (each.root != a.root) continue;
    each.root = b.root;
    each.offset += shift;
  }
  const auto known = known_lengths_.find(a.root);
  if (known == known_lengths_.end()) return true;
  const int length = known->second - shift;
  known_lengths_.erase(known);
  return known_lengths_.try_emplace(b.root, length).first->second == length;
}

bool Overlap::Solve() {
  for (const Equation& equation : equations_) {
    if (!RelateLengths(equation)) return false;
  }
  for (int i = 0; i < static_cast<int>(unknowns_.size()); ++i) {
    if (unknowns_[i].root == i && !SolveGroup(i)) return false;
  }
  return true;
}

bool Overlap::SolveGroup(int root) {
  std::vector<const Equation*> equations;
  int literal = 0;
  for (const Equation& each : equations_) {
    const int unknown = std::max(each.left.unknown, each.right.unknown);
    if (unknowns_[unknown].root != root) continue;
    equations.push_back(&each);
    literal += each.left.literal() + each.right.literal();
  }
  int shortest = 0;
  for (const Unknown& each : unknowns_) {
    if (each.root == root) shortest = std::min(shortest, each.offset);
  }
  shortest = 1 - shortest;  // The root's length, with which the shortest of the group has one character.
  const auto known = known_lengths_.find(root);
  if (known != known_lengths_.end()) return known->second >= shortest && TryLength(root, known->second, equations);
  for (int length = shortest; length <= shortest + 2 * literal + 2; ++length) {
    if (TryLength(root, length, equations)) return true;
  }
  return false;
}

bool Overlap::TryLength(int root, int length, const std::vector<const Equation*>& equations) {
  Positions positions;
  std::map<int, int> starts;
  for (int i = 0; i < static_cast<int>(unknowns_.size()); ++i) {
    const Unknown& unknown = unknowns_[i];
    if (unknown.root != root) continue;
    const int size = length + unknown.offset;
    for (int j = 0; j < size; ++j) {
      Characters may_take = unknown.may_take;
      // IsSafeCapture, as far as single characters go.
      if (unknown.is_capture && j == 0) may_take.reset('-').reset('.');
      if (unknown.is_capture && j == size - 1) may_take.reset('.');
      const int at = positions.Add(may_take);
      if (j == 0) starts.emplace(i, at);
    }
  }
  for (const Equation* each : equations) {
    Align(*each, starts, length, positions);
    if (!positions.possible()) return false;
  }
  for (const auto& [i, start] : starts) {
    std::string text;
    for (int j = 0; j < length + unknowns_[i].offset; ++j) text += positions.Choose(start + j);
    if (unknowns_[i].is_capture && !IsSafeCapture(text)) return false;
    unknowns_[i].text = std::move(text);
  }
  return true;
}

void Overlap::Align(const Equation& equation, const std::map<int, int>& starts, int length,
                    Positions& positions) const {
  // A side's positions; literal text has positions of its own, with one character to choose from.
  const auto lay_out = [&](const Side& side) {
    std::vector<int> out;
    const auto add = [&](std::string_view text) {
      for (const char each : text) out.push_back(positions.Add(Characters().set(Byte(each))));
    };
    add(side.before);
    if (side.unknown >= 0) {
      const int start = starts.at(side.unknown);
      for (int j = 0; j < length + unknowns_[side.unknown].offset; ++j) out.push_back(start + j);
    }
    add(side.after);
    return out;
  };
  const std::vector<int> left = lay_out(equation.left);
  const std::vector<int> right = lay_out(equation.right);
  for (std::size_t i = 0; i < left.size(); ++i) positions.Join(left[i], right[i]);
}

std::string Overlap::TextOf(const TextPattern& pattern) {
  std::string text;
  for (const Segment& segment : pattern.segments()) {
    text += segment.before;
    if (segment.place != Place::kNone) {
      text += unknowns_[keys_.at(Key(false, segment.capture, segment.place == Place::kAny ? &segment : nullptr))].text;
    }
    text += segment.after;
    if (segment.separator != '\0') text += segment.separator;
  }
  return text;
}

// A capture that only one of the two speaks of may catch what it likes.
std::optional<std::string> Overlap::NameOf(const NamedIdentity& identity, bool is_right) const {
  if (!identity.name.is_template()) return identity.name.text();
  Captures captures;
  for (const CallerName::Part& part : identity.name.parts()) {
    const auto known = keys_.find(Key(is_right, part.capture, nullptr));
    captures.emplace(part.capture, known == keys_.end() ? "x" : unknowns_[known->second].text);
  }
  return identity.name.Make(captures);
}

}  // namespace

std::optional<std::string> FindOverlap(const NamedIdentity& left, const NamedIdentity& right) {
  Overlap overlap(left, right);
  std::vector<std::pair<std::string, const TextPattern*>> shared;
  const auto add = [&](const std::string& what, const TextPattern& a, const TextPattern& b) {
    shared.emplace_back(what, &a);
    return overlap.Add(a, b);
  };
  const auto& a = left.rule;
  const auto& b = right.rule;
  if (a.certificate.has_value() && b.certificate.has_value()) {
    if (a.certificate->kind() != b.certificate->kind()) return std::nullopt;
    const char* what = a.certificate->kind() == PatternKind::kDns ? "dns:" : "";
    if (!add(what, *a.certificate, *b.certificate)) return std::nullopt;
  }
  if (a.jwt.has_value() && b.jwt.has_value()) {
    if (a.jwt->issuer != b.jwt->issuer) return std::nullopt;
    if (a.jwt->subject.has_value() && b.jwt->subject.has_value() && !add("sub ", *a.jwt->subject, *b.jwt->subject)) {
      return std::nullopt;
    }
    for (const auto& [claim, pattern] : a.jwt->claims) {
      const auto other = b.jwt->claims.find(claim);
      if (other != b.jwt->claims.end() && !add(claim + " ", pattern, other->second)) return std::nullopt;
    }
  }
  if (shared.empty() || !overlap.Solve()) return std::nullopt;
  if (!overlap.LeftName().has_value() || !overlap.RightName().has_value()) return std::nullopt;
  std::string text;
  for (const auto& [what, pattern] : shared) {
    text += (text.empty() ? "" : ", ") + what + overlap.TextOf(*pattern);
  }
  return text;
}

}  // namespace tokenbroker
