#include "tests/gitlab_sim/listing.h"

#include <algorithm>
#include <map>

#include "tests/gitlab_sim/calendar.h"
#include "tests/gitlab_sim/errors.h"
#include "tests/gitlab_sim/json_text.h"

namespace tokenbroker::gitlab_sim {
namespace {

constexpr size_t kShortestWord = 3;
constexpr size_t kLargestPage = 100;
constexpr size_t kTotalsShownUpTo = 10'000;

// GitLab counts characters, not bytes.
size_t Characters(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::vector<std::string> SearchWords(const std::string& text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    if (text[at] == ' ') {
      ++at;
      continue;
    }
    const bool quoted = text[at] == '"' && text.find('"', at + 1) != std::string::npos;
    const size_t start = quoted ? at + 1 : at;
    const size_t end = std::min(text.find(quoted ? '"' : ' ', start), text.size());
    words.push_back(text.substr(start, end - start));
    at = quoted ? end + 1 : end;
  }
  return words;
}

template <typename T>
int Compare(const T& a, const T& b) {
  return a < b ? -1 : (b < a ? 1 : 0);
}

}  // namespace

bool SearchMatches(const std::string& name, const std::string& search) {
  const std::string wanted = Lower(search);
  if (wanted.find_first_not_of(' ') == std::string::npos) return true;
  const std::string text = Lower(name);
  bool any_word = false;
  for (const std::string& word : SearchWords(wanted)) {
    if (Characters(word) < kShortestWord) continue;
    any_word = true;
    if (text.find(word) == std::string::npos) return false;
  }
  return any_word || text == wanted;
}

TokenFilter TokenFilter::Read(ParamChecks* checks) {
  TokenFilter out;
  out.revoked_ = checks->Boolean("revoked");
  out.state_ = checks->OneOf("state", {"active", "inactive"});
  out.created_before_ = checks->Time("created_before");
  out.created_after_ = checks->Time("created_after");
  out.last_used_before_ = checks->Time("last_used_before");
  out.last_used_after_ = checks->Time("last_used_after");
  out.expires_before_ = checks->Date("expires_before");
  out.expires_after_ = checks->Date("expires_after");
  out.search_ = checks->Text("search").value_or("");
  out.sort_ = checks->Text("sort").value_or("");
  return out;
}

bool TokenFilter::Matches(const State& state, const Token& token) const {
  const auto today = DayOf(state.Now());
  if (revoked_ && token.revoked != *revoked_) return false;
  if (state_ == "active" && !token.ActiveAt(state.Now())) return false;
  if (state_ == "inactive") {
    // Up to 18.x a token is in neither list on the day on which it expires.
    const bool newest = state.version().AtLeast(19, 0);
    const bool expired = token.expires_at && (newest ? *token.expires_at <= today : *token.expires_at < today);
    if (!token.revoked && !expired) return false;
  }
  if (created_before_ && token.created_at > *created_before_) return false;
  if (created_after_ && token.created_at < *created_after_) return false;
  if (last_used_before_ && (!token.last_used_at || *token.last_used_at > *last_used_before_)) return false;
  if (last_used_after_ && (!token.last_used_at || *token.last_used_at < *last_used_after_)) return false;
  if (expires_before_ && (!token.expires_at || *token.expires_at >= *expires_before_)) return false;
  if (expires_after_ && (!token.expires_at || *token.expires_at < *expires_after_)) return false;
  return SearchMatches(token.name, search_);
}

void TokenFilter::Sort(std::vector<Token>* tokens) const {
  using Comparison = int (*)(const Token&, const Token&);
  static const std::map<std::string, Comparison> kColumns = {
      {"created", [](const Token& a, const Token& b) { return Compare(a.created_at, b.created_at); }},
      {"expires", [](const Token& a, const Token& b) { return Compare(a.expires_at, b.expires_at); }},
      {"last_used", [](const Token& a, const Token& b) { return Compare(a.last_used_at, b.last_used_at); }},
      {"name", [](const Token& a, const Token& b) { return Compare(a.name, b.name); }},
  };
  Comparison column = [](const Token&, const Token&) { return 0; };
  bool descending = false;
  const size_t underscore = sort_.rfind('_');
  if (underscore != std::string::npos) {
    const auto found = kColumns.find(sort_.substr(0, underscore));
    const std::string direction = sort_.substr(underscore + 1);
    if (found != kColumns.end() && (direction == "asc" || direction == "desc")) {
      column = found->second;
      descending = direction == "desc";
    }
  }
  std::sort(tokens->begin(), tokens->end(), [&](const Token& a, const Token& b) {
    const int order = column(a, b);
    const int with_id = order != 0 ? order : Compare(a.id, b.id);
    return descending ? with_id > 0 : with_id < 0;
  });
}

std::vector<Token> SelectTokens(const State& state, const TokenFilter& filter, const std::vector<int64_t>* ids) {
  const TimePoint seen = state.Now() - state.settings().list_lag;
  const bool lags = state.settings().list_lag.count() > 0;
  std::vector<Token> out;
  const auto consider = [&](const Token& token) {
    if (lags && token.created_at > seen) return;
    if (lags && token.revoked && token.revoked_at > seen) {
      Token older = token;
      older.revoked = false;
      if (filter.Matches(state, older)) out.push_back(older);
    } else if (filter.Matches(state, token)) {
      out.push_back(token);
    }
  };
  if (ids == nullptr) {
    for (const auto& [id, token] : state.tokens()) consider(token);
  } else {
    for (const int64_t id : *ids) consider(state.tokens().at(id));
  }
  filter.Sort(&out);
  return out;
}

HttpResponse Page(const Call& call, size_t total, const std::vector<std::pair<std::string, std::string>>& declared,
                  const std::function<std::string(size_t index)>& item) {
  ParamChecks checks(call.params);
  const int64_t page = checks.Integer("page").value_or(1);
  const int64_t asked = checks.Integer("per_page").value_or(20);
  if (!checks.ok()) return GrapeError(400, checks.error());
  if (page < 1) return GrapeError(400, "page does not have a valid value");
  if (asked == 0) return GrapeError(400, "per_page has a value not allowed");
  if (asked < 0) return GrapeError(400, "per_page does not have a valid value");
  const size_t per_page = std::min(static_cast<size_t>(asked), kLargestPage);
  const size_t pages = std::max<size_t>(1, (total + per_page - 1) / per_page);
  const auto at = static_cast<size_t>(page);

  std::vector<std::string> items;
  for (size_t i = (at - 1) * per_page; i < std::min(total, at * per_page); ++i) items.push_back(item(i));
  HttpResponse out = Json(200, JsonArray(items));

  std::map<std::string, std::string> query(declared.begin(), declared.end());
  for (const auto& [name, param] : call.params.all()) {
    if (param.type == Param::Type::kText) query[name] = param.text;
  }
  query["per_page"] = std::to_string(per_page);
  const auto link = [&](size_t number, const std::string& rel) {
    query["page"] = std::to_string(number);
    std::string text;
    for (const auto& [name, value] : query) {
      text += (text.empty() ? "?" : "&") + PercentEncode(name) + "=" + PercentEncode(value);
    }
    return "<" + call.base_url + PathOf(call.request->target) + text + ">; rel=\"" + rel + "\"";
  };
  const bool totals = !call.state->settings().omit_totals && total <= kTotalsShownUpTo;
  const bool has_next = at * per_page < total;
  std::string links;
  if (at > 1) links += link(at - 1, "prev") + ", ";
  if (has_next) links += link(at + 1, "next") + ", ";
  links += link(1, "first");
  if (totals) links += ", " + link(pages, "last");
  out.headers.emplace_back("Link", links);
  out.headers.emplace_back("X-Next-Page", has_next ? std::to_string(at + 1) : "");
  out.headers.emplace_back("X-Page", std::to_string(at));
  out.headers.emplace_back("X-Per-Page", std::to_string(per_page));
  out.headers.emplace_back("X-Prev-Page", at > 1 ? std::to_string(at - 1) : "");
  if (totals) {
    out.headers.emplace_back("X-Total", std::to_string(total));
    out.headers.emplace_back("X-Total-Pages", std::to_string(pages));
  }
  return out;
}

}  // namespace tokenbroker::gitlab_sim
