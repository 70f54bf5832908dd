#include "tests/gitlab_sim/token_rules.h"

#include <cstddef>

#include "tests/gitlab_sim/calendar.h"

namespace tokenbroker::gitlab_sim {
namespace {

constexpr size_t kLongestDescription = 255;
constexpr int kDaysAfterRotate = 7;

std::chrono::sys_days LatestDate(const State& state) {
  return DayOf(state.Now()) + std::chrono::days(state.settings().max_lifetime_days);
}

}  // namespace

TokenRequest ReadTokenRequest(const State& state, ParamChecks* checks, const std::vector<std::string>& allowed_scopes,
                              bool commas) {
  TokenRequest out;
  out.name = checks->RequiredText("name");
  // The description came with 17.7; before that it is an undeclared parameter.
  if (state.version().AtLeast(17, 7)) out.description = checks->Text("description");
  out.scopes = checks->RequiredList("scopes", allowed_scopes, commas);
  out.expires_at = checks->Date("expires_at");
  return out;
}

std::vector<std::string> TokenProblems(const State& state, const TokenRequest& request, bool expiry_enforced) {
  std::vector<std::string> out;
  if (request.name.find_first_not_of(" \t\r\n") == std::string::npos) out.emplace_back("Name can't be blank");
  if (request.scopes.empty()) out.emplace_back("Scopes can't be blank");
  if (request.description && request.description->size() > kLongestDescription) {
    out.emplace_back("Description is too long (maximum is 255 characters)");
  }
  // The words are off by one: that very date is accepted. There is no lower bound: a date of today or before gives a
  // token that is born dead.
  if (expiry_enforced && request.expires_at && *request.expires_at > LatestDate(state)) {
    out.push_back("Expires at must be before " + DateText(LatestDate(state)));
  }
  return out;
}

std::string Sentence(const std::vector<std::string>& parts) {
  if (parts.empty()) return "";
  std::string out = parts.front();
  for (size_t i = 1; i < parts.size(); ++i) {
    const bool last = i + 1 == parts.size();
    out += last ? (parts.size() > 2 ? ", and " : " and ") : ", ";
    out += parts[i];
  }
  return out;
}

Token& MakeToken(State* state, int64_t user_id, const TokenRequest& request, bool expiry_enforced) {
  TokenSeed seed;
  seed.user_id = user_id;
  seed.name = request.name;
  seed.scopes = request.scopes;
  seed.description = request.description;
  Token& token = state->AddToken(seed);
  token.expires_at = request.expires_at;
  if (!token.expires_at && expiry_enforced) token.expires_at = LatestDate(*state);
  if (token.expires_at) *token.expires_at -= std::chrono::days(state->settings().shorten_expiry_days);
  return token;
}

RotateResult RotateToken(State* state, int64_t token_id, std::optional<std::chrono::sys_days> expires_at,
                         bool expiry_enforced) {
  RotateResult out;
  Token& old = *state->FindToken(token_id);
  TokenRequest request{
      .name = old.name, .scopes = old.scopes, .expires_at = expires_at, .description = old.description};
  if (!request.expires_at && expiry_enforced) {
    request.expires_at = DayOf(state->Now()) + std::chrono::days(kDaysAfterRotate);
  }
  out.problems = TokenProblems(*state, request, expiry_enforced);
  if (!out.problems.empty()) return out;
  state->Revoke(&old);
  const bool impersonation = old.impersonation;
  out.successor = &MakeToken(state, old.user_id, request, expiry_enforced);
  out.successor->previous_id = token_id;
  out.successor->impersonation = impersonation;
  return out;
}

}  // namespace tokenbroker::gitlab_sim
