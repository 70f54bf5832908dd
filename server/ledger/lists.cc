#include "server/ledger/lists.h"

#include <algorithm>
#include <array>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/ledger/strand.h"
#include "server/ledger/token_rows.h"
#include "server/ledger/token_terms.h"

namespace tokenbroker {
namespace {

constexpr std::array<TokenState, 6> kStates = {TokenState::kPending, TokenState::kActive,  TokenState::kRevoking,
                                               TokenState::kRevoked, TokenState::kExpired, TokenState::kAbandoned};
// Behind every id.
constexpr char kAfterIds[] = "~";

struct Key {
  ListPosition place;
  std::int64_t row = 0;
};

// A range of an index.
struct Run {
  std::string owner;
  std::string value;           // The state, or the term.
  bool closed = false;         // Of terms alone.
  std::vector<Key> keys = {};  // What has been read of it, the next one last.
  std::optional<ListPosition> read_to = std::nullopt;
  bool ended = false;
};

bool Precedes(const ListPosition& a, const ListPosition& b, const ListOrder& order) {
  return order.descending ? std::tie(a.time, a.id) > std::tie(b.time, b.id)
                          : std::tie(a.time, a.id) < std::tie(b.time, b.id);
}

// Where the query's time terms and position let the order begin and end.
struct Range {
  ListPosition begin;  // Excluded.
  WallTime end;        // Included.
};

Range RangeOf(const ListQuery& query) {
  WallTime first = FromMicros(std::numeric_limits<std::int64_t>::min());
  WallTime last = FromMicros(std::numeric_limits<std::int64_t>::max());
  for (const TokenTerm& term : query.terms) {
    const auto* time = std::get_if<TimeTerm>(&term);
    if (time == nullptr || time->field != query.order.by) continue;
    first = std::max(first, time->first.value_or(first));
    last = std::min(last, time->last.value_or(last));
  }
  Range range = query.order.descending ? Range{{last, kAfterIds}, first} : Range{{first, ""}, last};
  if (query.after.has_value() && Precedes(range.begin, *query.after, query.order)) range.begin = *query.after;
  return range;
}

// The states that rows may have whose token the query can match.
std::vector<TokenState> StatesOf(const ListQuery& query) {
  const auto shown = [&](TokenState state) {
    if (!query.show_closed && IsClosed(state)) return false;
    return std::all_of(query.terms.begin(), query.terms.end(), [&](const TokenTerm& term) {
      const auto* wanted = std::get_if<StateTerm>(&term);
      return wanted == nullptr || (state == wanted->state) != wanted->negated;
    });
  };
  std::vector<TokenState> states;
  for (const TokenState state : kStates) {
    // A PENDING row whose revocation was asked for shows as REVOKING.
    if (shown(state) || (state == TokenState::kPending && shown(TokenState::kRevoking))) states.push_back(state);
  }
  return states;
}

// Whose tokens the query can match; every owner in the ledger if it names none.
absl::StatusOr<std::vector<std::string>> OwnersOf(SqliteDb& db, const ListQuery& query) {
  std::optional<std::string> only = query.owner;
  for (const TokenTerm& term : query.terms) {
    const auto* owner = std::get_if<OwnerTerm>(&term);
    if (owner == nullptr) continue;
    if (only.has_value() && *only != owner->owner) return std::vector<std::string>();
    only = owner->owner;
  }
  if (only.has_value()) return std::vector<std::string>{*only};
  std::vector<std::string> owners;
  for (std::string last;;) {
    absl::StatusOr<Statement> select = db.Prepare(OwnerStatement());
    if (!select.ok()) return select.status();
    const absl::StatusOr<bool> row = select->Bind(1, last).Step();
    if (!row.ok()) return row.status();
    if (!*row) return owners;
    last = select->Text(0);
    owners.push_back(last);
  }
}

bool ByTerms(const ListQuery& query) { return query.order.by == TimeField::kCreateTime && HasIndexedTerm(query.terms); }

absl::StatusOr<std::vector<Run>> RunsOf(SqliteDb& db, const ListQuery& query) {
  const absl::StatusOr<std::vector<std::string>> owners = OwnersOf(db, query);
  if (!owners.ok()) return owners.status();
  const std::vector<TokenState> states = StatesOf(query);
  std::vector<Run> runs;
  if (!ByTerms(query)) {
    for (const std::string& owner : *owners) {
      for (const TokenState state : states) runs.push_back({owner, std::string(NameOf(state))});
    }
    return runs;
  }
  const absl::StatusOr<std::vector<std::string>> terms = TermsFor(db, query.terms);
  if (!terms.ok()) return terms.status();
  for (const std::string& owner : *owners) {
    for (const std::string& term : *terms) {
      for (const bool closed : {false, true}) {
        const bool any =
            std::any_of(states.begin(), states.end(), [closed](TokenState state) { return IsClosed(state) == closed; });
        if (any) runs.push_back({owner, term, closed});
      }
    }
  }
  return runs;
}

class Merge {
 public:
  Merge(SqliteDb& db, const ListQuery& query, std::vector<Run> runs)
      : db_(db), order_(query.order), statement_(RunStatement(query)), range_(RangeOf(query)), runs_(std::move(runs)) {
    // Few runs are read in one piece, many in small ones.
    const int page = query.limit + 1;
    piece_ = std::max(8, std::min(page, 2 * page / std::max(1, static_cast<int>(runs_.size()))));
  }

  // The next key in the order; nothing at the end.
  absl::StatusOr<std::optional<Key>> Next() {
    Run* best = nullptr;
    for (Run& run : runs_) {
      if (run.keys.empty() && !run.ended) {
        const absl::Status read = Read(run);
        if (!read.ok()) return read;
      }
      if (run.keys.empty()) continue;
      if (best == nullptr || Precedes(run.keys.back().place, best->keys.back().place, order_)) best = &run;
    }
    if (best == nullptr) return std::optional<Key>();
    Key key = std::move(best->keys.back());
    best->keys.pop_back();
    return std::optional(std::move(key));
  }

 private:
  absl::Status Read(Run& run) {
    absl::StatusOr<Statement> select = db_.Prepare(statement_);
    if (!select.ok()) return select.status();
    const ListPosition& from = run.read_to.has_value() ? *run.read_to : range_.begin;
    select->Bind(1, run.owner).Bind(2, run.value).Bind(3, run.closed);
    select->Bind(4, from.time).Bind(5, from.id).Bind(6, range_.end).Bind(7, piece_);
    for (;;) {
      const absl::StatusOr<bool> row = select->Step();
      if (!row.ok()) return row.status();
      if (!*row) break;
      run.keys.push_back({{select->Time(0), select->Text(1)}, select->Int(2)});
    }
    run.ended = run.keys.size() < static_cast<std::size_t>(piece_);
    if (!run.keys.empty()) run.read_to = run.keys.back().place;
    std::reverse(run.keys.begin(), run.keys.end());
    return absl::OkStatus();
  }

  SqliteDb& db_;
  const ListOrder order_;
  const std::string statement_;
  const Range range_;
  std::vector<Run> runs_;
  int piece_;
};

ListPosition PlaceOf(const Token& token, const ListOrder& order) { return {TimeOf(token, order.by), token.id}; }

// The token, if the list is to show it.
absl::StatusOr<std::optional<Token>> Load(SqliteDb& db, const Key& key, const ListQuery& query) {
  absl::StatusOr<TokenRecord> record = LoadTokenRow(db, key.row);
  if (!record.ok()) return record.status();
  Token& token = record->token;
  const bool shown = Matches(query.terms, token) && (!query.visible || query.visible(token));
  return shown ? std::optional(std::move(token)) : std::nullopt;
}

// False once the list is full: only a token that would be shown tells that there is more.
bool Add(const ListQuery& query, Token token, TokenList& list) {
  const std::size_t bytes = MessageBytes(token);
  const bool is_too_large = !list.tokens.empty() && list.bytes + bytes > query.max_bytes;
  if (is_too_large || list.tokens.size() == static_cast<std::size_t>(query.limit)) {
    list.next = PlaceOf(list.tokens.back(), query.order);
    return false;
  }
  list.bytes += bytes;
  list.tokens.push_back(std::move(token));
  return true;
}

// Whether a term has an index, but in the order of the other time alone.
bool OtherOrderServesBetter(const ListQuery& query) {
  if (ByTerms(query)) return false;
  if (HasIndexedTerm(query.terms)) return true;
  return std::any_of(query.terms.begin(), query.terms.end(), [&](const TokenTerm& term) {
    const auto* time = std::get_if<TimeTerm>(&term);
    return time != nullptr && time->field != query.order.by;
  });
}

// The list by way of the other order, sorted here: nothing if that would take more rows than the query may look at.
absl::StatusOr<std::optional<TokenList>> ListFew(SqliteDb& db, const ListQuery& query) {
  ListQuery other = query;
  other.order.by = query.order.by == TimeField::kCreateTime ? TimeField::kExpireTime : TimeField::kCreateTime;
  other.after.reset();
  other.limit = query.max_rows;
  absl::StatusOr<std::vector<Run>> runs = RunsOf(db, other);
  if (!runs.ok()) return runs.status();
  Merge merge(db, other, *std::move(runs));
  std::vector<Key> keys;
  for (;;) {
    absl::StatusOr<std::optional<Key>> key = merge.Next();
    if (!key.ok()) return key.status();
    if (!key->has_value()) break;
    if (keys.size() == static_cast<std::size_t>(query.max_rows)) return std::optional<TokenList>();
    keys.push_back(**std::move(key));
  }
  std::vector<Token> tokens;
  for (const Key& key : keys) {
    absl::StatusOr<std::optional<Token>> token = Load(db, key, query);
    if (!token.ok()) return token.status();
    if (!token->has_value()) continue;
    const bool behind = !query.after.has_value() || Precedes(*query.after, PlaceOf(**token, query.order), query.order);
    if (behind) tokens.push_back(**std::move(token));
  }
  std::sort(tokens.begin(), tokens.end(), [&](const Token& a, const Token& b) {
    return Precedes(PlaceOf(a, query.order), PlaceOf(b, query.order), query.order);
  });
  TokenList list;
  for (Token& token : tokens) {
    if (!Add(query, std::move(token), list)) break;
  }
  return std::optional(std::move(list));
}

}  // namespace

std::string RunStatement(const ListQuery& query) {
  const std::string time(NameOf(query.order.by));
  const char* direction = query.order.descending ? " DESC" : "";
  const std::string_view where = ByTerms(query) ? "token_terms WHERE owner = ?1 AND term = ?2 AND closed = ?3"
                                                : "tokens WHERE owner = ?1 AND state = ?2";
  return absl::StrCat("SELECT ", time, ", id, row FROM ", std::string(where), " AND (", time, ", id) ",
                      query.order.descending ? "<" : ">", " (?4, ?5) AND ", time,
                      query.order.descending ? " >=" : " <=", " ?6 ORDER BY ", time, direction, ", id", direction,
                      " LIMIT ?7");
}

std::string_view OwnerStatement() { return "SELECT owner FROM tokens WHERE owner > ? ORDER BY owner LIMIT 1"; }

absl::StatusOr<TokenList> ListRows(Transaction& transaction, const ListQuery& query) {
  if (OtherOrderServesBetter(query)) {
    absl::StatusOr<std::optional<TokenList>> few = ListFew(transaction.db, query);
    if (!few.ok()) return few.status();
    if (few->has_value()) return **std::move(few);
  }
  absl::StatusOr<std::vector<Run>> runs = RunsOf(transaction.db, query);
  if (!runs.ok()) return runs.status();
  Merge merge(transaction.db, query, *std::move(runs));
  TokenList list;
  ListPosition last;
  for (int rows = 0;; ++rows) {
    const absl::StatusOr<std::optional<Key>> key = merge.Next();
    if (!key.ok()) return key.status();
    if (!key->has_value()) return list;
    if (rows == query.max_rows) {
      list.next = last;
      return list;
    }
    absl::StatusOr<std::optional<Token>> token = Load(transaction.db, **key, query);
    if (!token.ok()) return token.status();
    last = (*key)->place;
    if (token->has_value() && !Add(query, **std::move(token), list)) return list;
  }
}

}  // namespace tokenbroker
