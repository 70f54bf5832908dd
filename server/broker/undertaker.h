#pragma once
// Brings a REVOKING token to its confirmed end at GitLab. What confirms it, each in a response that GitLab itself
// wrote: a 204 on DELETE by id; a GET that shows it revoked; a 404 by id, once the token is `settle` old, while the
// same credential proves on the same route that it would see the token; and GitLab's midnight of its date by GitLab's
// own clock of the last minute. Nothing else does: not a project's 404, a 401, a 403, or absence from a list.
//
// Every token may have live descendants when it ends: a holder of the scope api can rotate any token of the same GitLab
// user, and GitLab copies the name with its marker; deleting the origin does not touch the copy. So after the
// confirmation the live tokens with its marker are listed and revoked, until there are none. Where that list cannot be
// made, GitLab's end of the token closes the row all the same, unless its scopes (api, self_rotate) let it extend
// itself.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/event.h"
#include "server/base/task.h"
#include "server/broker/broker.h"

namespace tokenbroker {

// Runs on the executor alone.
class Undertaker {
 public:
  // `settle`: a 404 confirms nothing before this age of a token.
  Undertaker(BrokerParts parts, std::string broker, Duration settle)
      : parts_(parts), broker_(std::move(broker)), settle_(settle) {}

  // One attempt to prove the token dead, and its result in the ledger: RecordDeath, or RecordAttempt with the time of
  // the next one. A second call for a token that is being worked on waits for the first instead.
  Task<void> Attempt(TokenRecord record);

  // Deletes at GitLab without the ledger, for when it cannot be written. True if GitLab confirmed.
  Task<bool> DeleteOnly(Token token);

 private:
  // The proof, or why there is none.
  Task<absl::StatusOr<Proof>> Bury(Token token);
  // After a restore GitLab's numbers may stand for other tokens: whether this one's does. UPSTREAM_NOT_FOUND if GitLab
  // does not find it, so that it could not be compared.
  Task<absl::StatusOr<bool>> IsAnother(Token token);
  Task<absl::StatusOr<Proof>> ProveWithoutDelete(Token token, absl::Status why);
  // One request to GitLab each, about `token` or `ref`, under its own permit. `continues`: see SlotRequest.
  Task<Ended<GitLab::Deleted>> Delete(Token token, UpstreamRef ref, bool continues);
  Task<absl::StatusOr<std::optional<UpstreamToken>>> Read(Token token, bool continues);
  Task<absl::StatusOr<bool>> ConfirmNotFound(Token token);
  // Revokes what ListDescendants finds until it finds nothing. OK without a list that cannot be made, unless
  // `list_required`.
  Task<absl::Status> RevokeDescendants(Token token, bool list_required);
  bool PastUpstreamMidnight(const Token& token) const;
  Task<void> Record(TokenRecord record, absl::StatusOr<Proof> proof);

  BrokerParts parts_;
  std::string broker_;
  const Duration settle_;
  std::map<TokenId, Event> at_work_;
};

}  // namespace tokenbroker
