#pragma once
// Names in a policy that the server's configuration gives.

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/nearest.h"
#include "server/policy/policy_fault.h"

namespace tokenbroker {

// Says that `name` is not among `names`, and which is meant; empty if it is one of them.
inline std::string UnknownName(const std::string& kind, const std::string& name,
                               const std::vector<std::string>& names) {
  if (std::find(names.begin(), names.end(), name) != names.end()) return "";
  std::string text = "unknown " + kind + " " + InQuotes(name) + ", so that the rule would match nothing";
  const std::vector<std::string_view> words(names.begin(), names.end());
  const std::string_view near = NearestWord(words, name);
  if (!near.empty()) return text + "; did you mean " + InQuotes(near) + "?";
  text += "; the configuration has ";
  for (std::size_t i = 0; i < names.size(); ++i) text += (i == 0 ? "" : ", ") + InQuotes(names[i]);
  return names.empty() ? text + "none" : text;
}

}  // namespace tokenbroker
