#pragma once
// The grants of one caller, found by the target that they may be about: a decision looks at few of them, however many
// there are. Filled and used by the engine alone.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "server/domain/target.h"

namespace tokenbroker {

struct CompiledGrant;

// Immutable and thread-safe.
class GrantIndex {
 public:
  using Grants = std::vector<std::shared_ptr<const CompiledGrant>>;

  GrantIndex() = default;
  explicit GrantIndex(Grants grants);

  const Grants& all() const { return grants_; }

  // The first grant, in the order of all(), that may be about this target (as written, or as GitLab knows it) and that
  // `accepts` takes; null if there is none. It is asked about few others.
  template <typename AnyTarget, typename Accepts>
  const CompiledGrant* First(const AnyTarget& target, const Accepts& accepts) const {
    const std::optional<Positions> about = About(target);
    const std::size_t count = about.has_value() ? about->size() : grants_.size();
    for (std::size_t i = 0; i < count; ++i) {
      const CompiledGrant& grant = *grants_[about.has_value() ? (*about)[i] : i];
      if (accepts(grant)) return &grant;
    }
    return nullptr;
  }

 private:
  using Positions = std::vector<std::uint32_t>;  // In grants_, ascending.
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  // Nothing: it may be any of them.
  std::optional<Positions> About(const Target& written) const;
  std::optional<Positions> About(const ResolvedTarget& facts) const;
  Positions AtOrAbove(const std::string& place) const;

  Grants grants_;
  // By the place up to which all targets of a pattern are the same.
  std::unordered_map<std::string, Positions, Hash, std::equal_to<>> by_place_;
};

}  // namespace tokenbroker
