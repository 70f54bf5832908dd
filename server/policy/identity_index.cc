#include "server/policy/identity_index.h"

#include <algorithm>
#include <set>
#include <utility>

namespace tokenbroker {
namespace {

using Segment = TextPattern::Segment;

bool IsOpen(const Segment& segment) { return segment.place != TextPattern::Place::kNone; }

TextEdges EdgesOf(const Segment& segment) {
  return IsOpen(segment) ? TextEdges::Open(segment.before, segment.after) : TextEdges::Literal(segment.before);
}

bool AgreeAtEdges(std::string_view a, std::string_view b) { return a.starts_with(b) || b.starts_with(a); }
bool AgreeAtEnds(std::string_view a, std::string_view b) { return a.ends_with(b) || b.ends_with(a); }

// False: no text matches both.
bool MightBeEqual(const Segment& a, const Segment& b) {
  if (!IsOpen(a) && !IsOpen(b)) return a.before == b.before;
  if (IsOpen(a) && IsOpen(b)) return AgreeAtEdges(a.before, b.before) && AgreeAtEnds(a.after, b.after);
  const Segment& open = IsOpen(a) ? a : b;
  const std::string& text = IsOpen(a) ? b.before : a.before;
  return text.size() > open.before.size() + open.after.size() && text.starts_with(open.before) &&
         text.ends_with(open.after);
}

std::string ShapeOf(const TextPattern& pattern) {
  std::string shape;
  for (const Segment& segment : pattern.segments()) {
    if (segment.separator != '\0') shape += segment.separator;
  }
  return shape;
}

}  // namespace

IdentityIndex::IdentityIndex(const std::vector<const IdentityRule*>& identities) {
  std::map<std::map<std::string, std::string>, int> known;
  std::map<std::string, std::vector<int>> by_part;  // Groups.
  for (int i = 0; i < static_cast<int>(identities.size()); ++i) {
    parts_.push_back(PartsOf(*identities[static_cast<std::size_t>(i)]));
    std::map<std::string, std::string> shapes;
    for (const auto& [name, part] : parts_.back()) shapes.emplace(name, part.shape);
    const auto [found, is_new] = known.try_emplace(shapes, static_cast<int>(groups_.size()));
    if (is_new) {
      groups_.emplace_back();
      for (const auto& [name, part] : parts_.back()) {
        groups_.back().columns[name].resize(part.pattern->segments().size());
        by_part[name].push_back(found->second);
      }
      groups_.back().shapes = std::move(shapes);
    }
    Group& group = groups_[static_cast<std::size_t>(found->second)];
    group.members.push_back(i);
    group_of_.push_back(found->second);
    for (const auto& [name, part] : parts_.back()) {
      std::vector<AffixIndex>& columns = group.columns[name];
      for (std::size_t j = 0; j < columns.size(); ++j) columns[j].Add(EdgesOf(part.pattern->segments()[j]), i);
    }
  }
  for (Group& group : groups_) {
    for (auto& [name, columns] : group.columns) {
      for (AffixIndex& column : columns) column.Finish();
    }
    std::set<int> others;
    for (const auto& [name, shape] : group.shapes) {
      for (const int other : by_part[name]) {
        if (MayMeet(group.shapes, groups_[static_cast<std::size_t>(other)].shapes)) others.insert(other);
      }
    }
    may_meet_.emplace_back(others.begin(), others.end());
  }
}

// A certificate of one kind and a token of one issuer are all that a peer shows at a time; parts that only one of two
// identities has tell nothing.
IdentityIndex::Parts IdentityIndex::PartsOf(const IdentityRule& identity) {
  Parts parts;
  const auto add = [&parts](const std::string& name, const TextPattern& pattern) {
    parts.emplace(name, Part{&pattern, ShapeOf(pattern)});
  };
  if (identity.certificate.has_value()) {
    add(identity.certificate->kind() == PatternKind::kDns ? "dns" : "spiffe", *identity.certificate);
  }
  if (identity.jwt.has_value()) {
    if (identity.jwt->subject.has_value()) add("sub " + identity.jwt->issuer, *identity.jwt->subject);
    for (const auto& [claim, pattern] : identity.jwt->claims) {
      add("claim " + identity.jwt->issuer + '\n' + claim, pattern);
    }
  }
  return parts;
}

// Whether they compare something in common, and nothing with a different number of segments.
bool IdentityIndex::MayMeet(const std::map<std::string, std::string>& left,
                            const std::map<std::string, std::string>& right) {
  return std::all_of(left.begin(), left.end(), [&](const auto& each) {
    const auto other = right.find(each.first);
    return other == right.end() || other->second == each.second;
  });
}

std::vector<int> IdentityIndex::FindInGroup(const Group& group, int at) const {
  std::vector<int> best = group.members;
  for (const auto& [name, part] : parts_[static_cast<std::size_t>(at)]) {
    const auto columns = group.columns.find(name);
    if (columns == group.columns.end()) continue;
    for (std::size_t j = 0; j < columns->second.size(); ++j) {
      if (best.empty()) return best;
      columns->second[j].Find(EdgesOf(part.pattern->segments()[j]), best.size(), &best);
    }
  }
  return best;
}

bool IdentityIndex::MightOverlap(int left, int right) const {
  const Parts& a = parts_[static_cast<std::size_t>(left)];
  const Parts& b = parts_[static_cast<std::size_t>(right)];
  return std::all_of(a.begin(), a.end(), [&](const auto& each) {
    const auto other = b.find(each.first);
    if (other == b.end()) return true;
    const std::vector<Segment>& one = each.second.pattern->segments();
    const std::vector<Segment>& two = other->second.pattern->segments();
    return std::equal(one.begin(), one.end(), two.begin(), two.end(), MightBeEqual);
  });
}

std::vector<int> IdentityIndex::FindBefore(int at) {
  std::vector<int> out;
  const int own = group_of_[static_cast<std::size_t>(at)];
  for (const int group : may_meet_[static_cast<std::size_t>(own)]) {
    for (const int other : FindInGroup(groups_[static_cast<std::size_t>(group)], at)) {
      if (other >= at) continue;
      ++compared_pairs_;
      if (MightOverlap(other, at)) out.push_back(other);
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace tokenbroker
