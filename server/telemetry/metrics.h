#pragma once
// Every metric of the broker. Each room gets its part by reference and only increments; names, labels and units are
// below. A label's value is one of a closed set of ours, or "other": nothing that a caller or GitLab sends becomes one.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "server/base/clock.h"

namespace prometheus {
class Registry;
}

namespace tokenbroker {

class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // All methods are thread-safe and cheap.

  // tokenbroker_rpc_requests_total{method,code}, tokenbroker_rpc_duration_seconds{method}
  void RpcEnded(std::string_view method, std::string_view code, Duration took);
  // tokenbroker_upstream_requests_total{operation,outcome}, tokenbroker_upstream_duration_seconds{operation}
  // operation: mint, revoke, get_token, list_tokens, resolve, issuer. outcome: done, refused, unknown, rate_limited,
  // ...
  void UpstreamEnded(std::string_view operation, std::string_view outcome, Duration took);
  // tokenbroker_upstream_in_flight, tokenbroker_upstream_waiting, tokenbroker_upstream_skew_seconds
  void SetUpstreamLoad(int in_flight, int waiting);
  void SetUpstreamSkew(Duration skew);
  // tokenbroker_clock_difference_seconds: the host's wall clock minus the ledger's.
  void SetClockDifference(Duration difference);
  // tokenbroker_issuer_alive, tokenbroker_issuer_expire_time_seconds (unix; 0 unknown)
  void SetIssuer(bool alive, std::int64_t expire_unix_seconds);
  // tokenbroker_ledger_commits_total{outcome}, tokenbroker_ledger_commit_duration_seconds,
  // tokenbroker_ledger_batch_size
  void LedgerCommitted(bool ok, int operations, Duration took);
  // tokenbroker_decisions_total{outcome,reason}
  void Decided(bool allowed, std::string_view reason);
  // tokenbroker_audit_mode_decisions_total{would_have}: allowed, denied
  void WouldHaveDecided(bool allowed);
  // tokenbroker_upstream_circuit_open, tokenbroker_upstream_failing_targets
  void SetUpstreamCircuit(bool is_open, int failing_targets);
  // tokenbroker_tokens{state}, tokenbroker_tokens_parked
  void SetTokens(std::string_view state, std::int64_t count);
  void SetParked(std::int64_t count);
  // tokenbroker_revocation_lag_seconds: from expire_time to the proof of death.
  void RevocationProved(Duration lag);
  // tokenbroker_revocation_attempts_total{outcome}: proved, retry, parked
  void RevocationAttempted(std::string_view outcome);
  // tokenbroker_unrecorded_deletions_total{outcome}: deleted, failed: of due tokens while the ledger could not be
  // written.
  void DeletedUnrecorded(bool deleted);
  // tokenbroker_looks_total{outcome}: nothing, found, failed; tokenbroker_late_orphans_total
  void Looked(std::string_view outcome);
  void LateOrphan();
  // tokenbroker_family_alarms_total: a token that goes on extending itself after five rounds.
  void FamilyAlarm();
  // tokenbroker_authentication_failures_total{reason}
  void AuthenticationFailed(std::string_view reason);
  // tokenbroker_jwt_refusals_total{reason}: the faults of server/identity/jwt.h.
  void JwtRefused(std::string_view reason);
  // tokenbroker_jwt_key_fetches_total{issuer,outcome}: done, failed (no answer), unusable (an answer without a key).
  // The issuers are those of the configuration.
  void JwtKeysFetched(const std::string& issuer, std::string_view outcome);
  // tokenbroker_jwt_keys{issuer}, tokenbroker_jwt_keys_time_seconds{issuer} (unix, the last good fetch; 0 before it)
  void SetJwtKeys(const std::string& issuer, int count, WallTime fetched);
  // tokenbroker_policy_loaded, tokenbroker_policy_load_time_seconds, tokenbroker_policy_info{version,hash} (1 for the
  // one in force)
  void PolicyLoaded(const std::string& version, const std::string& hash, WallTime when);
  // tokenbroker_policy_load_failures_total
  void PolicyRefused();
  // tokenbroker_connections_refused_total: over the bound of open ones.
  void ConnectionRefused();
  // tokenbroker_tls_handshake_failures_total{reason}: those of server/rpc/handshake_monitor.h.
  void HandshakeFailed(std::string_view reason);
  // tokenbroker_files_good{files}, tokenbroker_files_good_time_seconds{files} (unix, when a good set was last taken)
  // files: tls, gitlab_credential, policy, "jwt_keys:<issuer>" for each configured file of keys.
  void SetFilesGood(std::string_view files, bool good, WallTime now);
  // tokenbroker_certificate_expire_time_seconds (unix): of the server's own.
  void SetCertificateEnd(WallTime end);
  // tokenbroker_log_lines_dropped_total: because nobody took them.
  void SetLogLinesDropped(std::uint64_t lines);
  // tokenbroker_upstream_restored
  void SetUpstreamRestored(bool restored);
  // tokenbroker_reconcile_walks_total{outcome}: done, failed; tokenbroker_reconcile_walk_time_seconds (unix, its
  // beginning), tokenbroker_reconcile_unknown_tokens, tokenbroker_reconcile_moved_targets
  void ReconcileWalked(WallTime began, std::int64_t moved);
  void ReconcileFailed();
  void SetUnknownTokens(std::int64_t count);
  // tokenbroker_reconcile_skipped: lists, rows and targets that the last walk skipped since their requests failed.
  void SetReconcileSkipped(std::int64_t count);
  // tokenbroker_reconcile_denied_target_tokens: active ones that the policy would deny by what their target is now.
  void SetDeniedByTarget(std::int64_t count);
  // tokenbroker_reconcile_unproved_tokens
  void SetReconcileUnproved(std::int64_t count);
  // tokenbroker_reconcile_findings_total{finding}: dead, twin, unknown
  void ReconcileFound(std::string_view finding);
  // tokenbroker_danger{switch}: 1 for each switch under `danger` that is on.
  void SetDanger(std::string_view name, bool on);

  std::shared_ptr<prometheus::Registry> registry() const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace tokenbroker
