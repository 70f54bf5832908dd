#include "server/broker/descendants.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "server/broker/made_of.h"
#include "server/broker/steady_clock.h"
#include "server/broker/upstream_clock.h"
#include "server/domain/expiry.h"
#include "server/domain/marker.h"

namespace tokenbroker {
namespace {

constexpr Duration kReadFor = seconds(30);

UpstreamQuery QueryFor(const Token& token, const std::string& marker) {
  UpstreamQuery query;
  query.target = token.target;
  // A project's duplicate has a bot user of its own; and GitLab deletes the bot with its token, then knows no such
  // user.
  if (token.target.kind == TargetKind::kUser) query.user_id = token.target.id;
  query.search = marker;
  query.created_after = token.create_time - kSearchBack;
  query.active_only = true;
  return query;
}

}  // namespace

Task<absl::StatusOr<std::vector<UpstreamToken>>> ListDescendants(BrokerParts parts, std::string broker, Duration settle,
                                                                 SlotRequest request, Token token,
                                                                 std::set<std::int64_t> users) {
  // A row that was adopted, or made for a duplicate, has another row's marker in its token's name.
  const std::string marker = MarkerOf(broker, IdInMarker(token.upstream_name, broker).value_or(token.id));
  UpstreamQuery query = QueryFor(token, marker);
  absl::StatusOr<Slots::Slot> permit = co_await parts.slots.Acquire(CallContext(), std::move(request));
  if (!permit.ok()) co_return permit.status();
  const CallContext call(parts.clock.Boot() + kReadFor);
  absl::StatusOr<std::vector<UpstreamToken>> live = co_await parts.gitlab.ListTokens(call, std::move(query));
  permit->Release();
  // GitLab knows no such user: it has no tokens.
  if (absl::IsNotFound(live.status()) && token.target.kind == TargetKind::kUser &&
      parts.steady_clock->HasSettled(token.create_time, settle)) {
    co_return std::vector<UpstreamToken>();
  }
  if (!live.ok()) co_return live;
  users.insert(token.upstream_user_id);
  const WallTime made = token.create_time + MeasuredSkew(parts).value_or(Duration(0));
  std::erase_if(*live, [&](const UpstreamToken& each) {
    const bool is_near = each.created_at <= made + kDuplicateWithin && each.created_at >= made - kDuplicateWithin;
    return each.id == token.upstream_id || !EndsInMarker(each.name, marker) ||
           (!is_near && !users.contains(each.user_id));
  });
  if (live->empty()) co_return live;
  std::vector<MadeUpstream> found;
  for (const UpstreamToken& each : *live) found.push_back(MadeOf(each));
  const absl::StatusOr<std::vector<std::int64_t>> owned =
      co_await parts.ledger.ActiveAmong(token.target.instance, std::move(found));
  if (!owned.ok()) co_return owned.status();
  std::erase_if(*live, [&](const UpstreamToken& each) {
    return std::find(owned->begin(), owned->end(), each.id) != owned->end();
  });
  co_return live;
}

}  // namespace tokenbroker
