#include "server/policy/grant_index.h"

#include <algorithm>
#include <utility>

#include "server/policy/engine.h"

namespace tokenbroker {
namespace {

// A place is a text like "user/42" or "project/acme/payments", in lower case; a target is at the places that are its
// beginnings up to a slash, too.
std::string PlaceOf(TargetKind kind, std::string_view below) {
  std::string place(NameOf(kind));
  return place.append("/").append(LowerCase(below));
}

// The path up to its first segment with a star.
std::string_view LiteralPart(std::string_view path) {
  const std::size_t star = path.find('*');
  if (star == std::string_view::npos) return path;
  const std::size_t slash = path.substr(0, star).rfind('/');
  return slash == std::string_view::npos ? "" : path.substr(0, slash);
}

std::string PlaceOf(const CompiledPattern& pattern) {
  switch (pattern.kind) {
    case TargetKind::kUser:
      return PlaceOf(pattern.kind, std::to_string(*pattern.id));
    case TargetKind::kProject:
    case TargetKind::kGroup: {
      const std::string_view below = LiteralPart(pattern.path->text());
      return below.empty() ? std::string(NameOf(pattern.kind)) : PlaceOf(pattern.kind, below);
    }
    case TargetKind::kServiceAccount:
      break;  // By name or by id, and one may be written where the other is meant.
  }
  return std::string(NameOf(pattern.kind));
}

}  // namespace

GrantIndex::GrantIndex(Grants grants) : grants_(std::move(grants)) {
  for (std::uint32_t i = 0; i < grants_.size(); ++i) {
    for (const CompiledPattern& pattern : grants_[i]->targets) {
      Positions& positions = by_place_[PlaceOf(pattern)];
      if (positions.empty() || positions.back() != i) positions.push_back(i);
    }
  }
}

std::optional<GrantIndex::Positions> GrantIndex::About(const Target& written) const {
  const std::optional<std::int64_t> id = written.id();
  switch (written.kind) {
    case TargetKind::kUser:
      if (!id.has_value()) return std::nullopt;  // Grants name users by id: the facts will tell.
      return AtOrAbove(PlaceOf(written.kind, std::to_string(*id)));
    case TargetKind::kProject:
    case TargetKind::kGroup:
      if (id.has_value()) return std::nullopt;  // Grants name them by path.
      return AtOrAbove(PlaceOf(written.kind, written.ref));
    case TargetKind::kServiceAccount:
      break;
  }
  return std::nullopt;
}

std::optional<GrantIndex::Positions> GrantIndex::About(const ResolvedTarget& facts) const {
  if (facts.kind == TargetKind::kServiceAccount) return std::nullopt;
  const bool user = facts.kind == TargetKind::kUser;
  return AtOrAbove(PlaceOf(facts.kind, user ? std::to_string(facts.id) : facts.path));
}

GrantIndex::Positions GrantIndex::AtOrAbove(const std::string& place) const {
  Positions positions;
  for (std::size_t slash = place.find('/');; slash = place.find('/', slash + 1)) {
    const auto found = by_place_.find(std::string_view(place).substr(0, slash));
    if (found != by_place_.end()) positions.insert(positions.end(), found->second.begin(), found->second.end());
    if (slash == std::string::npos) break;
  }
  std::sort(positions.begin(), positions.end());
  positions.erase(std::unique(positions.begin(), positions.end()), positions.end());
  return positions;
}

}  // namespace tokenbroker
