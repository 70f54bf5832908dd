#pragma once
// What the commands print: tables for people, protobuf's JSON mapping for programs.

#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/secret.h"
#include "tokenbroker/v1/token.pb.h"
#include "tokenbroker/v1/token_service.pb.h"

namespace tokenbroker::tokenctl {

google::protobuf::Timestamp ToTimestamp(WallTime time);

// "in 59m", "12s ago": the two largest units at most.
std::string FromNow(WallTime time, WallTime now);
// "2026-11-25T08:26:43Z (in 59m)"; "-" if it is not set.
std::string Describe(const google::protobuf::Timestamp& time, bool is_set, WallTime now);

// Columns that stand under each other; cells are made printable. The first row is the head.
std::string Columns(const std::vector<std::vector<std::string>>& rows);

// One token, a line for each thing that is set.
std::string TokenText(const v1::Token& token, WallTime now);
// A line for each token.
std::string TokenTable(const std::vector<v1::Token>& tokens, WallTime now);
// Who the caller is, and a line for each grant with all its limits.
std::string CallerText(const v1::Caller& caller, WallTime now);
// What the policy says to `asked`, and in which fields the closest request that it would allow differs.
std::string AccessText(const v1::Token& asked, const v1::CheckAccessResponse& answer);

// Indented, ends with a newline; empty lists, zeros and empty maps are printed too. No message with a secret may be
// given: none is printed as JSON.
absl::StatusOr<std::string> Json(const google::protobuf::Message& message);
// The same as the only member, `name`, of an object.
absl::StatusOr<std::string> JsonUnder(const std::string& name, const google::protobuf::Message& message);

// Writes all of `text` to a descriptor, or says why not.
absl::Status WriteAll(int descriptor, std::string_view text);

// Straight to the descriptor, so that no buffer but ours holds what was written. Complete, or a status that says why
// not.
absl::Status WriteOut(std::string_view text);
void WriteError(std::string_view text);

WallTime WallNow();

}  // namespace tokenbroker::tokenctl
