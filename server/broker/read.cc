// Reading tokens: from the ledger alone.

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "server/base/error.h"
#include "server/broker/core.h"

namespace tokenbroker {
namespace {

constexpr int kDefaultPage = 50;
constexpr int kMostInAPage = 1000;

// The answer for a token that never was, and for one that is none of the caller's business: equal to the byte.
absl::Status NoSuchToken(const TokenId& id) {
  return Error(absl::StatusCode::kNotFound, "TOKEN_NOT_FOUND", ResourceName(id) + " does not exist")
      .Meta("token", ResourceName(id));
}

// A page token is "<micros>.<id>.<0|1 show_closed>.<caller>" in base64: opaque to callers, and useless to another one.
// It grants nothing: a list is always of the caller's own tokens.
std::string MakePageToken(const Caller& caller, const ListRequest& request, const Token& last) {
  const std::string text = std::to_string(MicrosOf(last.create_time)) + '.' + last.id + '.' +
                           (request.show_closed ? '1' : '0') + '.' + caller.name;
  std::string token;
  absl::WebSafeBase64Escape(text, &token);
  return token;
}

absl::StatusOr<std::pair<WallTime, TokenId>> ReadPageToken(const Caller& caller, const ListRequest& request) {
  const Error wrong(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID",
                    "page_token: is not the next_page_token of this caller's last page with the same fields");
  const auto refuse = [&]() -> absl::Status {
    return Error(wrong).Field("page_token", "must be the next_page_token of the page before, with all else unchanged");
  };
  std::string text;
  if (request.page_token.size() > 512 || !absl::WebSafeBase64Unescape(request.page_token, &text)) return refuse();
  std::int64_t micros = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), micros);
  if (error != std::errc() || end == text.data() + text.size() || *end != '.') return refuse();
  const std::string rest = text.substr(static_cast<std::size_t>(end + 1 - text.data()));
  const std::size_t dot = rest.find('.');
  if (dot == std::string::npos || !ParseResourceName("tokens/" + rest.substr(0, dot)).has_value()) return refuse();
  const std::string expected = std::string(request.show_closed ? "1" : "0") + '.' + caller.name;
  if (rest.substr(dot + 1) != expected) return refuse();
  return std::pair{FromMicros(micros), rest.substr(0, dot)};
}

// Judged by where the target was when the token was made.
Decision JudgeAccess(const Policy& policy, const Caller& caller, Verb verb, const Token& token) {
  const AccessRequest request = {verb,
                                 {token.target.instance, token.target.kind, std::to_string(token.target.id)},
                                 token.scopes,
                                 token.access_level,
                                 Duration(0)};
  TargetFacts facts;
  facts.target = token.target;
  return policy.Decide(caller, request, facts);
}

}  // namespace

absl::Status Refuse(Core& core, const Caller& caller, std::string_view method, const AccessRequest& request,
                    const Decision& decision, const Policy& policy) {
  const std::string reason = ReasonOf(decision.status);
  core.parts.metrics.Decided(false, reason);
  std::string what = ToText(request.target);
  for (const std::string& scope : request.scopes) what += ' ' + scope;
  core.parts.log.Info("refused", {{"caller", caller.name},
                                  {"method", method},
                                  {"reason", reason},
                                  {"request", what},
                                  {"why", decision.detail},
                                  {"policy", policy.version()}});
  core.parts.ledger.NoteRefusal(
      {caller.name, std::string(method), reason, what + ": " + decision.detail, policy.version()});
  return decision.status;
}

Task<absl::StatusOr<TokenRecord>> FindVisible(Core* core, Caller caller, TokenId id, Verb verb) {
  absl::StatusOr<TokenRecord> record = co_await core->parts.ledger.Get(id);
  if (!record.ok()) {
    if (absl::IsNotFound(record.status())) co_return NoSuchToken(id);
    co_return record.status();
  }
  const Token& token = record->token;
  if (token.owner == caller.name) co_return record;
  const Decision decision = JudgeAccess(*core->parts.policies.Current(), caller, verb, token);
  if (!decision.status.ok()) co_return NoSuchToken(id);
  co_return record;
}

Task<absl::StatusOr<Token>> GetToken(Core* core, Caller caller, TokenId id) {
  absl::StatusOr<TokenRecord> record = co_await FindVisible(core, std::move(caller), std::move(id), Verb::kRead);
  if (!record.ok()) co_return record.status();
  co_return std::move(record->token);
}

Task<absl::StatusOr<ListPage>> ListTokens(Core* core, Caller caller, ListRequest request) {
  if (request.page_size < 0) {
    co_return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID", "page_size: is negative")
        .Field("page_size", "must be from 0 (which means 50) to 1000");
  }
  ListQuery query;
  query.owner = caller.name;
  query.show_closed = request.show_closed;
  query.limit = request.page_size == 0 ? kDefaultPage : std::min(request.page_size, kMostInAPage);
  if (!request.page_token.empty()) {
    absl::StatusOr<std::pair<WallTime, TokenId>> after = ReadPageToken(caller, request);
    if (!after.ok()) co_return after.status();
    query.after = *std::move(after);
  }
  const auto limit = static_cast<std::size_t>(query.limit);
  ++query.limit;  // One more tells whether there is a next page.
  absl::StatusOr<std::vector<Token>> tokens = co_await core->parts.ledger.List(std::move(query));
  if (!tokens.ok()) co_return tokens.status();
  ListPage page;
  page.tokens = *std::move(tokens);
  if (page.tokens.size() > limit) {
    page.tokens.resize(limit);
    page.next_page_token = MakePageToken(caller, request, page.tokens.back());
  }
  co_return page;
}

}  // namespace tokenbroker
