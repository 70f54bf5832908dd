#pragma once
// Between the public API's messages and the house's own nouns. What a message cannot say (a field that must not be set,
// a duration out of protobuf's range) is refused here; what a request may not say, the broker refuses.

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "server/broker/broker.h"
#include "tokenbroker/v1/token.pb.h"
#include "tokenbroker/v1/token_service.pb.h"

namespace tokenbroker {

// INVALID_ARGUMENT, reason FIELD_INVALID, with every field that is wrong.
absl::StatusOr<CreateRequest> ToCreateRequest(const v1::CreateTokenRequest& request);
absl::StatusOr<AccessQuestion> ToAccessQuestion(const v1::CheckAccessRequest& request);
// The id in "tokens/{id}"; FIELD_INVALID for `name` if it is none.
absl::StatusOr<TokenId> ToTokenId(const std::string& name);
ListRequest ToListRequest(const v1::ListTokensRequest& request);

void FromTime(WallTime time, google::protobuf::Timestamp& out);
// Nothing if it is none of protobuf's years 1 to 9999.
std::optional<WallTime> ToTime(const google::protobuf::Timestamp& time);
void FromTarget(const ResolvedTarget& target, v1::Target& out);
void FromToken(const Token& token, v1::Token& out);
void FromSpec(const CreateRequest& spec, v1::Token& out);
void FromCallerView(const CallerView& view, v1::Caller& out);
void FromAccessAnswer(const AccessAnswer& answer, v1::CheckAccessResponse& out);

}  // namespace tokenbroker
