#pragma once
// How Compile says what is wrong with a policy.

#include <string>
#include <string_view>

#include "server/base/error.h"

namespace tokenbroker {

inline absl::Status PolicyFault(const std::string& field, const std::string& what) {
  return Error(absl::StatusCode::kInvalidArgument, "POLICY_INVALID", field + ": " + what).Field(field, what);
}
inline std::string ItemOf(const std::string& list, int index) { return list + "[" + std::to_string(index) + "]"; }
inline std::string InQuotes(std::string_view text) { return "'" + std::string(text) + "'"; }

}  // namespace tokenbroker
