#include "client/tokenctl/output.h"

#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "client/tokenctl/printable.h"
#include "client/tokenctl/words.h"
#include "server/base/time_text.h"

namespace tokenbroker::tokenctl {
namespace {

std::string Joined(const auto& texts, const char* separator) {
  std::string all;
  for (const auto& text : texts) all += (all.empty() ? "" : separator) + std::string(text);
  return all;
}

WallTime TimeOf(const google::protobuf::Timestamp& time) {
  return WallTime(seconds(time.seconds())) + Duration(time.nanos() / 1000);
}

std::size_t Width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

Duration ToDuration(const google::protobuf::Duration& proto) {
  return seconds(proto.seconds()) + Duration(proto.nanos() / 1000);
}

// What else a grant asks of a token or allows of them, in the policy's own words; "-" if nothing.
std::string LimitsText(const v1::Grant& grant, WallTime now) {
  std::vector<std::string> limits;
  if (grant.has_min_ttl()) limits.push_back("min_ttl " + FormatDuration(ToDuration(grant.min_ttl())));
  if (!grant.display_name().empty()) limits.push_back("display_name " + grant.display_name());
  const std::map<std::string, std::string> labels(grant.required_labels().begin(), grant.required_labels().end());
  for (const auto& [key, value] : labels) limits.push_back("label " + key + "=" + value);
  if (grant.max_active() != 0) limits.push_back("max_active " + std::to_string(grant.max_active()));
  if (grant.creates_per_minute() != 0) {
    limits.push_back("creates_per_minute " + std::to_string(grant.creates_per_minute()));
  }
  if (grant.has_not_after()) limits.push_back("not_after " + Describe(grant.not_after(), true, now));
  if (grant.has_max_chain_age()) {
    limits.push_back("max_chain_age " + FormatDuration(ToDuration(grant.max_chain_age())));
  }
  return limits.empty() ? "-" : Joined(limits, ", ");
}

// Each part of a token that a caller chooses, in an order of its own.
std::vector<std::pair<std::string, std::string>> SpecRows(const v1::Token& token) {
  const std::map<std::string, std::string> labels(token.labels().begin(), token.labels().end());
  std::string label_text;
  for (const auto& [key, value] : labels) absl::StrAppend(&label_text, label_text.empty() ? "" : ", ", key, "=", value);
  std::string end = FormatDuration(seconds(token.ttl().seconds()));
  if (token.has_expire_time()) end = "until " + FormatRfc3339(TimeOf(token.expire_time()));
  // The instance that is meant, if it is not named, is known to the broker alone.
  v1::Target target = token.target();
  target.clear_instance();
  return {{"target", TargetWord(target)},
          {"scopes", Joined(token.scopes(), ", ")},
          {"access level", token.access_level() == 0 ? "-" : AccessLevelWord(token.access_level())},
          {"ttl", end},
          {"display name", token.display_name()},
          {"labels", label_text.empty() ? "-" : label_text}};
}

}  // namespace

google::protobuf::Timestamp ToTimestamp(WallTime time) {
  // The part below a second is counted forward from the second, also before 1970.
  const auto whole = std::chrono::floor<seconds>(time.time_since_epoch());
  google::protobuf::Timestamp proto;
  proto.set_seconds(whole.count());
  proto.set_nanos(static_cast<std::int32_t>((time.time_since_epoch() - whole).count() * 1000));
  return proto;
}

std::string FromNow(WallTime time, WallTime now) {
  const bool past = time <= now;
  Duration distance = past ? now - time : time - now;
  if (distance >= hours(24)) {
    distance -= distance % hours(1);
  } else if (distance >= minutes(1)) {
    distance -= distance % minutes(1);
  }
  const std::string text = FormatDuration(distance);
  return past ? text + " ago" : "in " + text;
}

std::string Describe(const google::protobuf::Timestamp& time, bool is_set, WallTime now) {
  if (!is_set) return "-";
  // Whole seconds: nobody reads more.
  const WallTime shown = WallTime(seconds(time.seconds()));
  return FormatRfc3339(shown) + " (" + FromNow(TimeOf(time), now) + ")";
}

std::string Columns(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::vector<std::string>> cells;
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    auto& line = cells.emplace_back();
    for (const std::string& cell : row) {
      line.push_back(Printable(cell));
      if (widths.size() < line.size()) widths.push_back(0);
      widths[line.size() - 1] = std::max(widths[line.size() - 1], Width(line.back()));
    }
  }
  std::string text;
  for (const auto& line : cells) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      text += line[i];
      if (i + 1 < line.size()) text += std::string(widths[i] - Width(line[i]) + 2, ' ');
    }
    text += '\n';
  }
  return text;
}

std::string TokenText(const v1::Token& token, WallTime now) {
  std::vector<std::vector<std::string>> rows;
  const auto add = [&rows](const char* name, const std::string& value) {
    if (!value.empty()) rows.push_back({name, value});
  };
  add("name", token.name());
  if (token.state() != v1::TOKEN_STATE_UNSPECIFIED) add("state", StateWord(token));
  add("display name", token.display_name());
  add("purpose", token.purpose());
  add("target", TargetWord(token.target()));
  add("scopes", Joined(token.scopes(), ", "));
  if (token.access_level() != 0) add("access level", AccessLevelWord(token.access_level()));
  if (token.has_ttl()) add("ttl", FormatDuration(seconds(token.ttl().seconds())));
  if (token.has_expire_time()) add("expires", Describe(token.expire_time(), true, now));
  for (const auto& [key, value] : token.labels()) add("label", std::string(key).append("=").append(value));
  add("owner", token.owner());
  add("predecessor", token.predecessor());
  add("successor", token.successor());
  if (token.has_create_time()) add("created", Describe(token.create_time(), true, now));
  if (token.has_revoke_time()) add("revoked", Describe(token.revoke_time(), true, now));
  if (token.has_last_used_time()) add("last used", Describe(token.last_used_time(), true, now));
  if (token.has_reconcile_time()) add("compared", Describe(token.reconcile_time(), true, now));
  if (token.upstream().id() != 0) {
    add("at GitLab", "id " + std::to_string(token.upstream().id()) + ", user " +
                         std::to_string(token.upstream().user_id()) + ", ends by " + token.upstream().expire_date());
    add("GitLab's name", token.upstream().name());
  }
  return Columns(rows);
}

std::string TokenTable(const std::vector<v1::Token>& tokens, WallTime now) {
  if (tokens.empty()) return "No tokens.\n";
  std::vector<std::vector<std::string>> rows = {{"NAME", "STATE", "TARGET", "SCOPES", "EXPIRES", "DISPLAY NAME"}};
  for (const v1::Token& token : tokens) {
    rows.push_back({token.name(), StateWord(token), TargetWord(token.target()), Joined(token.scopes(), ","),
                    Describe(token.expire_time(), token.has_expire_time(), now), token.display_name()});
  }
  return Columns(rows);
}

std::string CallerText(const v1::Caller& caller, WallTime now) {
  std::string text = Columns(
      {{"caller", caller.name()}, {"identity", caller.identity()}, {"policy version", caller.policy_version()}});
  if (caller.grants().empty()) return text + "No grants: tokens of this caller can be read and revoked, none made.\n";
  std::vector<std::vector<std::string>> rows = {
      {"ROLE", "VERBS", "TARGETS", "SCOPES", "LEVEL", "TTL", "SELF-EXTENDING", "LIMITS"}};
  for (const v1::Grant& grant : caller.grants()) {
    rows.push_back({grant.role(), Joined(grant.verbs(), ","), Joined(grant.targets(), ","), Joined(grant.scopes(), ","),
                    grant.max_access_level() == 0 ? "-" : AccessLevelWord(grant.max_access_level()),
                    grant.has_max_ttl() ? FormatDuration(ToDuration(grant.max_ttl())) : "-",
                    grant.self_extending() ? "yes" : "no", LimitsText(grant, now)});
  }
  return text + "\n" + Columns(rows);
}

std::string AccessText(const v1::Token& asked, const v1::CheckAccessResponse& answer) {
  const std::string ids = "decision " + answer.decision_id() + ", policy version " + answer.policy_version();
  if (answer.allowed()) {
    std::string rule = answer.rule().place();
    if (!answer.rule().position().empty()) rule += " (" + answer.rule().position() + ")";
    return Printable("Allowed by the role " + answer.rule().role() + ": " + rule + "; " + ids + ".") + "\n";
  }
  const std::string denied =
      Printable("Denied: " + answer.message() + ". Reason " + answer.reason() + "; " + ids + ".") + "\n";
  if (!answer.has_closest()) return denied + "No request that is close to it would be allowed.\n";
  std::vector<std::vector<std::string>> rows = {{"FIELD", "ASKED", "ALLOWED"}};
  const std::vector<std::pair<std::string, std::string>> before = SpecRows(asked);
  const std::vector<std::pair<std::string, std::string>> after = SpecRows(answer.closest());
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i].second != after[i].second) rows.push_back({before[i].first, before[i].second, after[i].second});
  }
  return denied + "The closest request that would be allowed:\n\n" + Columns(rows);
}

absl::StatusOr<std::string> Json(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  // Programs find every list, number and map, the empty ones too.
  options.always_print_primitive_fields = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  if (!status.ok()) {
    Wipe(text);
    return absl::InternalError("the response cannot be written as JSON: " + std::string(status.message()));
  }
  return text;
}

absl::StatusOr<std::string> JsonUnder(const std::string& name, const google::protobuf::Message& message) {
  absl::StatusOr<std::string> json = Json(message);
  if (!json.ok()) return json.status();
  // Line ends inside a text are escaped: each one here begins a line of the object.
  while (json->ends_with('\n')) json->pop_back();
  return "{\n \"" + name + "\": " + absl::StrReplaceAll(*json, {{"\n", "\n "}}) + "\n}\n";
}

absl::Status WriteAll(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return absl::UnknownError(std::strerror(errno));
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status WriteOut(std::string_view text) { return WriteAll(STDOUT_FILENO, text); }

void WriteError(std::string_view text) { WriteAll(STDERR_FILENO, text).IgnoreError(); }

WallTime WallNow() { return WallTime(duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch())); }

}  // namespace tokenbroker::tokenctl
