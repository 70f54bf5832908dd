// Filters, order and pages of the token lists.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/gitlab_sim/call.h"
#include "tests/gitlab_sim/state.h"

namespace tokenbroker::gitlab_sim {

// GitLab's search in a name, not looking at case: every word of three characters or more (a quoted phrase is one
// word) must be contained; without such a word the name must equal the text; a blank text matches everything.
bool SearchMatches(const std::string& name, const std::string& search);

class TokenFilter {
 public:
  // Reads the filters from the parameters; what Grape refuses is reported to `checks`.
  static TokenFilter Read(ParamChecks* checks);

  bool Matches(const State& state, const Token& token) const;
  // Sorts by `sort`; unknown values are ignored as GitLab does, and ids order what is left.
  void Sort(std::vector<Token>* tokens) const;

 private:
  std::optional<std::string> state_;
  std::optional<bool> revoked_;
  std::optional<TimePoint> created_before_, created_after_, last_used_before_, last_used_after_;
  std::optional<std::chrono::sys_days> expires_before_, expires_after_;
  std::string search_;
  std::string sort_;
};

// The tokens that a list shows, in its order: those of `ids` (null: of the whole instance) that the filter lets
// through, read from a replica that lags by Settings::list_lag.
std::vector<Token> SelectTokens(const State& state, const TokenFilter& filter, const std::vector<int64_t>* ids);

// One page with the headers that go with it. `declared` are the route's parameters with their defaults, which Link
// carries beside the caller's. Checks page and per_page.
HttpResponse Page(const Call& call, size_t total, const std::vector<std::pair<std::string, std::string>>& declared,
                  const std::function<std::string(size_t index)>& item);

}  // namespace tokenbroker::gitlab_sim
