#pragma once
// The language of ListTokensRequest.filter and order_by (proto/tokenbroker/v1/token_service.proto has its reference):
// from text to terms. Pure.

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/domain/token_filter.h"

namespace tokenbroker {

// INVALID_ARGUMENT, reason FIELD_INVALID, for the field `filter`: at which character (from 1) the reading stopped, what
// is there and what may be. An empty text has no terms.
absl::StatusOr<std::vector<TokenTerm>> ParseFilter(std::string_view text);

// The same for the field `order_by`. An empty text means newest first, by expire_time if the filter has a term on it,
// else by create_time.
absl::StatusOr<ListOrder> ParseOrderBy(std::string_view text, const std::vector<TokenTerm>& filter);

}  // namespace tokenbroker
