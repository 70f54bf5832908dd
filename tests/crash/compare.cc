#include "tests/crash/compare.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <set>

namespace tokenbroker {
namespace {

using gitlab_sim::TimePoint;
using gitlab_sim::TokenView;

constexpr std::chrono::minutes kSettle(10);

// "tokens/{id}" of the marker "[tb:<broker>:<id>]" at the end of a name.
std::string RowNameOf(const std::string& upstream_name) {
  const std::size_t colon = upstream_name.rfind(':');
  if (colon == std::string::npos || !upstream_name.ends_with("]")) return "";
  return "tokens/" + upstream_name.substr(colon + 1, upstream_name.size() - colon - 2);
}

TimePoint TimeOf(const google::protobuf::Timestamp& time) {
  return TimePoint(std::chrono::milliseconds(time.seconds() * 1000 + time.nanos() / 1'000'000));
}

bool IsFinal(const v1::Token& row) {
  return row.state() == v1::TOKEN_STATE_REVOKED || row.state() == v1::TOKEN_STATE_EXPIRED;
}

class Comparison {
 public:
  explicit Comparison(const Picture& picture) : picture_(picture) {
    for (const v1::Token& row : picture.rows) {
      by_name_[row.name()] = &row;
      if (row.upstream().id() != 0) by_upstream_[row.upstream().id()] = &row;
    }
    for (const TokenView& token : picture.upstream) {
      if (token.previous_id != 0) parent_[token.id] = token.previous_id;
      if (token.live) live_.insert(token.id);
    }
  }

  void Always() {
    for (const TokenView& token : picture_.upstream) {
      if (!token.live) continue;
      const v1::Token* row = Find(by_name_, RowNameOf(token.name));
      if (row == nullptr) Add("I1: no row for", token, nullptr);
      const v1::Token* own = Find(by_upstream_, token.id);
      if (own != nullptr && IsFinal(*own)) Add("I2: alive, but its row is closed:", token, own);
      const v1::Token* origin = own == nullptr ? OriginOf(token.id) : nullptr;
      if (origin != nullptr && IsFinal(*origin))
        Add("I2: a descendant is alive, but the row is closed:", token, origin);
    }
    std::set<std::string> active_requests;
    for (const Delivered& each : picture_.delivered) Check(each, active_requests);
  }

  // What GitLab applied within `settle` is in a caller's hands or dead, or its end is under way.
  void Settled() {
    for (const TokenView& token : picture_.upstream) {
      const v1::Token* row = Find(by_name_, RowNameOf(token.name));
      const TimePoint made = token.created_at - picture_.clock_difference;
      if (!token.live || row == nullptr || made > TimeOf(row->create_time()) + kSettle) continue;
      const v1::Token* own = Find(by_upstream_, token.id);
      if (own == nullptr && OriginOf(token.id) == nullptr) Add("an orphan outlived the look at settle:", token, row);
    }
  }

  void Quiet() {
    for (const TokenView& token : picture_.upstream) {
      if (!token.live) continue;
      const v1::Token* own = Find(by_upstream_, token.id);
      // What a holder made of an ACTIVE token is reported, and ends with it.
      if (own == nullptr) own = OriginOf(token.id);
      if (own == nullptr) {
        Add("I1: in quiet, no row has", token, nullptr);
      } else if (own->state() != v1::TOKEN_STATE_ACTIVE) {
        Add("I4: alive, but its row is not ACTIVE:", token, own);
      }
    }
    for (const v1::Token& row : picture_.rows) {
      if (row.state() == v1::TOKEN_STATE_ACTIVE && !IsLineLive(row.upstream().id())) {
        Add("I4: ACTIVE, but dead at GitLab: " + Text(row));
      }
      if (row.state() == v1::TOKEN_STATE_PENDING || row.state() == v1::TOKEN_STATE_REVOKING) {
        Add("not brought to its end: " + Text(row));
      }
    }
  }

  std::vector<std::string> Take() { return std::move(out_); }

 private:
  template <typename Key>
  static const v1::Token* Find(const std::map<Key, const v1::Token*>& rows, const Key& key) {
    const auto found = rows.find(key);
    return found == rows.end() ? nullptr : found->second;
  }

  // The row of the token that holders made this one of, in however many steps; null if nobody did.
  const v1::Token* OriginOf(std::int64_t id) const {
    for (auto parent = parent_.find(id); parent != parent_.end(); parent = parent_.find(parent->second)) {
      const v1::Token* row = Find(by_upstream_, parent->second);
      if (row != nullptr) return row;
    }
    return nullptr;
  }

  bool IsLineLive(std::int64_t id) const {
    if (live_.contains(id)) return true;
    const auto is_child = [id](const auto& each) { return each.second == id; };
    const auto child = std::find_if(parent_.begin(), parent_.end(), is_child);
    return child != parent_.end() && IsLineLive(child->first);
  }

  static std::string Text(const v1::Token& row) {
    return row.name() + " " + v1::TokenState_Name(row.state()) + " " + v1::RevokeReason_Name(row.revoke_reason()) +
           " upstream " + std::to_string(row.upstream().id());
  }

  void Add(std::string what) { out_.push_back(std::move(what)); }
  void Add(const std::string& what, const TokenView& token, const v1::Token* row) {
    Add(what + " token " + std::to_string(token.id) + " '" + token.name + "'" +
        (row == nullptr ? "" : ", row " + Text(*row)));
  }

  // What was promised to the caller.
  void Check(const Delivered& each, std::set<std::string>& active_requests) {
    const v1::Token* row = Find(by_name_, each.name);
    if (row == nullptr) return Add("a delivered token has no row: " + each.name);
    if (each.revoke_acknowledged && row->state() == v1::TOKEN_STATE_ACTIVE) {
      Add("I3: its revocation was acknowledged: " + Text(*row));
    }
    if (each.secret.empty()) return;  // Its name is all that is known.
    if (row->state() == v1::TOKEN_STATE_ACTIVE && !active_requests.insert(each.request_id).second) {
      Add("two tokens of one request_id are ACTIVE, one is " + Text(*row));
    }
    const TokenView* made = nullptr;
    for (const TokenView& token : picture_.upstream) {
      if (token.secret == each.secret) made = &token;
    }
    if (made == nullptr || made->id != row->upstream().id()) {
      return Add("the delivered secret is not that of the row's token: " + Text(*row));
    }
    const TimePoint now = picture_.now - picture_.clock_difference;
    const bool over = now >= TimeOf(row->expire_time()) - std::chrono::seconds(1);
    if (!each.may_be_ended && !over && !(made->live && row->state() == v1::TOKEN_STATE_ACTIVE)) {
      Add("ended, though nobody asked and its time had not come: " + Text(*row));
    }
  }

  const Picture& picture_;
  std::map<std::string, const v1::Token*> by_name_;
  std::map<std::int64_t, const v1::Token*> by_upstream_;
  std::map<std::int64_t, std::int64_t> parent_;  // Of what a holder made by rotating.
  std::set<std::int64_t> live_;
  std::vector<std::string> out_;
};

}  // namespace

std::vector<std::string> Differences(const Picture& picture, Moment moment) {
  Comparison comparison(picture);
  comparison.Always();
  if (moment != Moment::kAny) comparison.Settled();
  if (moment == Moment::kQuiet) comparison.Quiet();
  return comparison.Take();
}

}  // namespace tokenbroker
