#pragma once
// Which tokens a list shows and in which order: terms without the language that callers write them in, and what each
// means for one token. Pure.

#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "server/domain/target.h"
#include "server/domain/token.h"

namespace tokenbroker {

enum class TimeField { kCreateTime, kExpireTime };
// "create_time", "expire_time".
std::string_view NameOf(TimeField field);
WallTime TimeOf(const Token& token, TimeField field);

// The state as readers see it, or any other one.
struct StateTerm {
  TokenState state = TokenState::kActive;
  bool negated = false;
};
struct OwnerTerm {
  std::string owner;  // The caller's name.
};
// The target as it was when the token was made: by its id, or by its path without regard to case. An empty instance
// stands for any.
struct TargetTerm {
  Target target;
};
// The token has this very scope; what a scope implies does not count.
struct ScopeTerm {
  std::string scope;
};
// The token has this label, with this value if one is given.
struct LabelTerm {
  std::string key;
  std::optional<std::string> value;
};
// The time lies from `first` to `last`, both included; nothing: no bound.
struct TimeTerm {
  TimeField field = TimeField::kCreateTime;
  std::optional<WallTime> first, last;
};

using TokenTerm = std::variant<StateTerm, OwnerTerm, TargetTerm, ScopeTerm, LabelTerm, TimeTerm>;

bool Matches(const TokenTerm& term, const Token& token);
// Whether all of them hold.
bool Matches(std::span<const TokenTerm> terms, const Token& token);

// Tokens of one time are in the order of their ids, in the same direction.
struct ListOrder {
  TimeField by = TimeField::kCreateTime;
  bool descending = true;
  bool operator==(const ListOrder&) const = default;
};

// A place in such an order: behind the token that has these.
struct ListPosition {
  WallTime time;
  TokenId id;
  bool operator==(const ListPosition&) const = default;
};

}  // namespace tokenbroker
