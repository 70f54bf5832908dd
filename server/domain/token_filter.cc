#include "server/domain/token_filter.h"

#include <algorithm>

namespace tokenbroker {
namespace {

struct Judge {
  const Token& token;

  bool operator()(const StateTerm& term) const { return (token.state == term.state) != term.negated; }
  bool operator()(const OwnerTerm& term) const { return token.owner == term.owner; }
  bool operator()(const TargetTerm& term) const {
    if (term.target.kind != token.target.kind) return false;
    if (!term.target.instance.empty() && term.target.instance != token.target.instance) return false;
    const std::optional<std::int64_t> id = term.target.id();
    return id.has_value() ? *id == token.target.id : LowerCase(term.target.ref) == LowerCase(token.target.path);
  }
  bool operator()(const ScopeTerm& term) const {
    return std::find(token.scopes.begin(), token.scopes.end(), term.scope) != token.scopes.end();
  }
  bool operator()(const LabelTerm& term) const {
    const auto found = token.labels.find(term.key);
    return found != token.labels.end() && (!term.value.has_value() || found->second == *term.value);
  }
  bool operator()(const TimeTerm& term) const {
    const WallTime time = TimeOf(token, term.field);
    return (!term.first.has_value() || time >= *term.first) && (!term.last.has_value() || time <= *term.last);
  }
};

}  // namespace

std::string_view NameOf(TimeField field) { return field == TimeField::kCreateTime ? "create_time" : "expire_time"; }

WallTime TimeOf(const Token& token, TimeField field) {
  return field == TimeField::kCreateTime ? token.create_time : token.expire_time;
}

bool Matches(const TokenTerm& term, const Token& token) { return std::visit(Judge{token}, term); }

bool Matches(std::span<const TokenTerm> terms, const Token& token) {
  return std::all_of(terms.begin(), terms.end(), [&](const TokenTerm& term) { return Matches(term, token); });
}

}  // namespace tokenbroker
