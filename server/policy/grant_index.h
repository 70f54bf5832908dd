#pragma once
// Grants or denies, found by the target that they may be about: a decision looks at few of them, however many there
// are. Filled and used by the engine alone.

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "server/domain/target.h"
#include "server/policy/path_pattern.h"

namespace tokenbroker {

struct CompiledGrant;

// What is known of a target.
struct SoughtTarget {
  explicit SoughtTarget(const Target& written);
  explicit SoughtTarget(const ResolvedTarget& known);

  TargetKind kind;
  std::optional<std::int64_t> id;
  std::string path;  // In lower case; a user's is the name. Empty: not known.
};

// Positions of path patterns, by the beginning that all they match has in common.
class PathTrie {
 public:
  using Positions = std::vector<std::uint32_t>;

  PathTrie();
  PathTrie(PathTrie&&) noexcept;
  PathTrie& operator=(PathTrie&&) noexcept;
  ~PathTrie();

  void Add(const PathPattern& pattern, std::uint32_t position);
  // Adds the positions of all patterns that match, and of few others.
  void Find(std::string_view path, const CapturedTexts& captured, Positions& found) const;

 private:
  struct Node;
  std::unique_ptr<Node> root_;
};

// Immutable and thread-safe.
class GrantIndex {
 public:
  using Grants = std::vector<std::shared_ptr<const CompiledGrant>>;

  GrantIndex() = default;
  explicit GrantIndex(Grants grants);

  const Grants& all() const { return grants_; }

  // Shows those that may be about the target, in the order of all(), until `visit` is false: those that match by what
  // is known of it; with `maybe` also those that could match by what is not. Few others are shown.
  template <typename Visit>
  void ForEach(const SoughtTarget& target, const CapturedTexts& captured, bool maybe, const Visit& visit) const {
    if (grants_.empty()) return;
    if (maybe && NeedsFacts(target)) {
      for (const std::uint32_t each : of_kind_[static_cast<std::size_t>(target.kind)]) {
        if (!visit(*grants_[each])) return;
      }
      return;
    }
    for (const std::uint32_t each : About(target, captured)) {
      if (!visit(*grants_[each])) return;
    }
  }

 private:
  using Positions = PathTrie::Positions;  // In grants_, ascending.
  using ById = std::unordered_map<std::int64_t, Positions>;

  static bool NeedsFacts(const SoughtTarget& target);
  Positions About(const SoughtTarget& target, const CapturedTexts& captured) const;

  Grants grants_;
  Positions everywhere_;              // Without any target: about all.
  std::array<Positions, 4> of_kind_;  // With a target of this kind, and those of everywhere_.
  std::array<ById, 4> by_id_;
  std::array<PathTrie, 4> by_path_;
};

}  // namespace tokenbroker
