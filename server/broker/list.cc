// Listing tokens: from the ledger alone, the caller's own and those that a grant lets it read.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/broker/core.h"
#include "server/broker/filter_parser.h"

namespace tokenbroker {
namespace {

constexpr int kDefaultPage = 50;
constexpr int kMostInAPage = 1000;
constexpr int kMostRows = 1000;

// What a page token is bound to. No part but the last can hold a zero byte, or be mistaken for another.
std::string ContextOf(const Caller& caller, const ListRequest& request) {
  std::string context = caller.name;
  context += '\0';
  context += request.show_closed ? '1' : '0';
  context += request.order_by;
  context += '\0';
  context += request.filter;
  return context;
}

absl::StatusOr<ListQuery> QueryOf(Core& core, const Caller& caller, const ListRequest& request) {
  if (request.page_size < 0) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID", "page_size: is negative")
        .Field("page_size", "must be from 0 (which means 50) to 1000");
  }
  absl::StatusOr<std::vector<TokenTerm>> terms = ParseFilter(request.filter);
  if (!terms.ok()) return terms.status();
  const absl::StatusOr<ListOrder> order = ParseOrderBy(request.order_by, *terms);
  if (!order.ok()) return order.status();
  ListQuery query;
  query.caller = caller.name;
  query.show_closed = request.show_closed;
  query.terms = *std::move(terms);
  query.order = *order;
  query.limit = request.page_size == 0 ? kDefaultPage : std::min(request.page_size, kMostInAPage);
  query.max_rows = kMostRows;
  if (!request.page_token.empty()) {
    query.after = core.pages.Open(request.page_token, ContextOf(caller, request));
    if (!query.after.has_value()) {
      return Error(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID",
                   "page_token: is not the next_page_token of this caller's last page with the same fields")
          .Field("page_token",
                 "must be the next_page_token of the page before, with all else unchanged; begin again without one");
    }
  }
  // One snapshot judges the whole page. Who may read nothing of others' does not even touch their rows.
  const std::shared_ptr<const Policy> policy = core.parts.policies.Current();
  if (policy->HasVerbAnywhere(caller, Verb::kRead)) {
    query.visible = [policy, caller, now = core.parts.ledger.Now()](const Token& token) {
      return token.owner == caller.name || JudgeAccess(*policy, caller, Verb::kRead, token, now).status.ok();
    };
  } else {
    query.owner = caller.name;
  }
  return query;
}

}  // namespace

Task<absl::StatusOr<ListPage>> ListTokens(Core* core, Caller caller, ListRequest request) {
  absl::StatusOr<ListQuery> query = QueryOf(*core, caller, request);
  if (!query.ok()) co_return query.status();
  absl::StatusOr<TokenList> list = co_await core->parts.ledger.List(*std::move(query));
  if (!list.ok()) co_return list.status();
  ListPage page;
  page.tokens = std::move(list->tokens);
  if (list->next.has_value()) page.next_page_token = core->pages.Seal(*list->next, ContextOf(caller, request));
  co_return page;
}

}  // namespace tokenbroker
