#include "server/telemetry/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <array>
#include <mutex>

#include "server/base/version.h"
#include "server/telemetry/series_table.h"

namespace tokenbroker {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;

// The closed sets of label values: what is none of them becomes "other".
constexpr std::array<std::string_view, 10> kMethods = {
    "CreateToken", "GetToken",    "ListTokens",        "RevokeToken", "GetCaller",
    "CheckAccess", "ExportAudit", "ListUnknownTokens", "AdoptTokens", "RevokeUnknownTokens"};
constexpr std::array<std::string_view, 17> kCodes = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};
constexpr std::array<std::string_view, 6> kOperations = {"mint",        "revoke",  "get_token",
                                                         "list_tokens", "resolve", "issuer"};
constexpr std::array<std::string_view, 9> kUpstreamOutcomes = {
    "done", "refused", "unknown", "rate_limited", "not_found", "unavailable", "issuer_dead", "not_sent", "cancelled"};
constexpr std::array<std::string_view, 6> kDecisionReasons = {"GRANTED",       "NOT_GRANTED",      "QUOTA_EXCEEDED",
                                                              "RATE_EXCEEDED", "TARGET_FORBIDDEN", "TARGET_NOT_FOUND"};
constexpr std::array<std::string_view, 6> kStates = {"PENDING", "ACTIVE",  "REVOKING",
                                                     "REVOKED", "EXPIRED", "ABANDONED"};
constexpr std::array<std::string_view, 3> kAttempts = {"proved", "retry", "parked"};
constexpr std::array<std::string_view, 3> kLooks = {"nothing", "found", "failed"};
constexpr std::array<std::string_view, 5> kAuthenticationFailures = {
    "CERTIFICATE_EXPIRED", "CERTIFICATE_REVOKED", "IDENTITY_INVALID", "TOKEN_INVALID", "UNKNOWN_CALLER"};
constexpr std::array<std::string_view, 12> kHandshakeFailures = {
    "tls_version",      "no_certificate", "untrusted", "expired", "not_yet_valid", "unknown_caller",
    "rejected_by_peer", "not_tls",        "no_http2",  "closed",  "timeout",       "other"};
constexpr std::array<std::string_view, 12> kJwtFaults = {
    "MALFORMED",    "HEADER_REFUSED",  "ALGORITHM_REFUSED", "ISSUER_UNKNOWN", "KEYS_MISSING",  "KEY_UNKNOWN",
    "KEY_MISMATCH", "SIGNATURE_WRONG", "AUDIENCE_WRONG",    "EXPIRED",        "NOT_YET_VALID", "CLAIMS_INVALID"};
constexpr std::array<std::string_view, 3> kJwtFetches = {"done", "failed", "unusable"};
constexpr std::array<std::string_view, 3> kFindings = {"dead", "twin", "unknown"};
constexpr std::array<std::string_view, 2> kCommitOutcomes = {"done", "failed"};
constexpr std::array<std::string_view, 2> kDecisionOutcomes = {"allowed", "denied"};
constexpr std::array<std::string_view, 3> kFiles = {"tls", "gitlab_credential", "policy"};
constexpr std::array<std::string_view, 1> kDangers = {"allow_admin_targets"};

std::string Known(Words words, std::string_view word) {
  return std::string(std::find(words.begin(), words.end(), word) == words.end() ? "other" : word);
}

// An issuer's key file has a label of its own: issuers are in the configuration, 16 at most.
std::string FilesLabel(std::string_view files) {
  return files.starts_with("jwt_keys:") ? std::string(files) : Known(kFiles, files);
}

const Histogram::BucketBoundaries kLatency = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2,
                                              0.5,   1,     2,     5,    10,   30,   60};
const Histogram::BucketBoundaries kCommit = {0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5};
const Histogram::BucketBoundaries kBatch = {1, 2, 4, 8, 16, 32, 64, 128, 256};
const Histogram::BucketBoundaries kLag = {0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 1.5, 2, 5, 10, 60, 600, 3600, 86400};

double Seconds(Duration duration) { return static_cast<double>(duration.count()) / 1e6; }

// The tables of those that every call touches.
SeriesTable<Counter> CountersOf(Family<Counter>& family, const char* first, Words first_words, const char* second,
                                Words second_words) {
  return {first_words, second_words, [&family, first, second](std::string a, std::string b) -> Counter& {
            prometheus::Labels labels = {{first, std::move(a)}};
            if (second != nullptr) labels.emplace(second, std::move(b));
            return family.Add(labels);
          }};
}

SeriesTable<Histogram> LatenciesOf(Family<Histogram>& family, const char* label, Words words) {
  return {words, {}, [&family, label](std::string word, const std::string&) -> Histogram& {
            return family.Add({{label, std::move(word)}}, kLatency);
          }};
}

}  // namespace

struct Metrics::Families {
  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();

  Family<Counter>& CounterFamily(const char* name, const char* help) {
    return BuildCounter().Name(name).Help(help).Register(*registry);
  }
  Family<Gauge>& GaugeFamily(const char* name, const char* help) {
    return BuildGauge().Name(name).Help(help).Register(*registry);
  }
  Family<Histogram>& HistogramFamily(const char* name, const char* help) {
    return BuildHistogram().Name(name).Help(help).Register(*registry);
  }

  Family<Counter>& rpc_requests =
      CounterFamily("tokenbroker_rpc_requests_total", "Calls that ended, by method and gRPC code.");
  Family<Histogram>& rpc_duration =
      HistogramFamily("tokenbroker_rpc_duration_seconds", "From a call's arrival to its answer.");
  Family<Counter>& upstream_requests =
      CounterFamily("tokenbroker_upstream_requests_total", "Requests to GitLab, by operation and outcome.");
  Family<Histogram>& upstream_duration =
      HistogramFamily("tokenbroker_upstream_duration_seconds", "From sending a request to GitLab to its end.");
  Gauge& upstream_in_flight =
      GaugeFamily("tokenbroker_upstream_in_flight", "Operations that hold a slot for GitLab now.").Add({});
  Gauge& upstream_waiting =
      GaugeFamily("tokenbroker_upstream_waiting", "Operations that wait for a slot for GitLab now.").Add({});
  Gauge& upstream_circuit_open =
      GaugeFamily("tokenbroker_upstream_circuit_open",
                  "1 while GitLab does not respond and is sent one request a second, else 0.")
          .Add({});
  Gauge& upstream_failing_targets =
      GaugeFamily("tokenbroker_upstream_failing_targets",
                  "Targets whose requests are held back, since they have no response though GitLab responds.")
          .Add({});
  Gauge& upstream_skew = GaugeFamily("tokenbroker_upstream_skew_seconds", "GitLab's clock minus the broker's.").Add({});
  Gauge& issuer_alive =
      GaugeFamily("tokenbroker_issuer_alive", "1 while the issuer's credential is not known to be dead.").Add({});
  Gauge& issuer_expire_time =
      GaugeFamily("tokenbroker_issuer_expire_time_seconds",
                  "Unix time at which the issuer's credential ends; 0 if it is not known or never.")
          .Add({});
  Family<Counter>& ledger_commits =
      CounterFamily("tokenbroker_ledger_commits_total", "Transactions of the ledger, by outcome.");
  Histogram& ledger_commit_duration =
      HistogramFamily("tokenbroker_ledger_commit_duration_seconds", "From a transaction's begin to its durable end.")
          .Add({}, kCommit);
  Histogram& ledger_batch_size =
      HistogramFamily("tokenbroker_ledger_batch_size", "Operations that shared one transaction.").Add({}, kBatch);
  Family<Counter>& decisions =
      CounterFamily("tokenbroker_decisions_total", "Decisions of the policy, by outcome and reason.");
  Family<Counter>& audit_mode_decisions = CounterFamily(
      "tokenbroker_audit_mode_decisions_total",
      "Decisions that the policy's rules in audit mode would have changed, by what they would have been.");
  Family<Gauge>& tokens = GaugeFamily("tokenbroker_tokens", "Tokens in the ledger, by state.");
  Gauge& tokens_parked =
      GaugeFamily("tokenbroker_tokens_parked", "Tokens whose death GitLab's answers do not prove.").Add({});
  Histogram& revocation_lag =
      HistogramFamily("tokenbroker_revocation_lag_seconds", "From a token's expire_time to the proof of its death.")
          .Add({}, kLag);
  Family<Counter>& revocation_attempts =
      CounterFamily("tokenbroker_revocation_attempts_total", "Attempts to prove a token dead, by outcome.");
  Family<Counter>& unrecorded_deletions =
      CounterFamily("tokenbroker_unrecorded_deletions_total",
                    "Deletions of due tokens at GitLab while the ledger could not be written, by outcome.");
  Family<Counter>& looks =
      CounterFamily("tokenbroker_looks_total", "Looks for what a lost answer left at GitLab, by outcome.");
  Counter& late_orphans = CounterFamily("tokenbroker_late_orphans_total",
                                        "Tokens found alive at GitLab after their intent had been closed as abandoned.")
                              .Add({});
  Counter& family_alarms = CounterFamily("tokenbroker_family_alarms_total",
                                         "Tokens that went on extending themselves after five rounds of revocation.")
                               .Add({});
  Family<Counter>& authentication_failures =
      CounterFamily("tokenbroker_authentication_failures_total", "Calls whose caller was not recognised, by reason.");
  Family<Counter>& jwt_refusals =
      CounterFamily("tokenbroker_jwt_refusals_total", "Bearer tokens that were refused, by reason.");
  Family<Counter>& jwt_key_fetches =
      CounterFamily("tokenbroker_jwt_key_fetches_total", "Fetches of an issuer's keys, by outcome.");
  Family<Gauge>& jwt_keys = GaugeFamily("tokenbroker_jwt_keys", "Keys in force, by issuer.");
  Family<Gauge>& jwt_keys_time =
      GaugeFamily("tokenbroker_jwt_keys_time_seconds",
                  "Unix time at which an issuer's keys were last fetched, or found unchanged; 0 before the first.");
  Family<Gauge>& files_good = GaugeFamily(
      "tokenbroker_files_good", "1 if the newest contents of these files serve, 0 while the last good ones do.");
  Family<Gauge>& files_good_time =
      GaugeFamily("tokenbroker_files_good_time_seconds", "When a good set of these files was last taken, unix time.");
  Gauge& certificate_end =
      GaugeFamily("tokenbroker_certificate_expire_time_seconds", "When the server's own certificate ends, unix time.")
          .Add({});
  Counter& log_lines_dropped =
      CounterFamily("tokenbroker_log_lines_dropped_total", "Log lines that were dropped because nobody took them.")
          .Add({});
  Gauge& clock_difference =
      GaugeFamily("tokenbroker_clock_difference_seconds",
                  "The host's wall clock minus the ledger's, which follows a step only if GitLab's clock agrees.")
          .Add({});
  Gauge& reconcile_skipped =
      GaugeFamily("tokenbroker_reconcile_skipped",
                  "Lists, rows and targets that the last walk through GitLab skipped, since their requests failed.")
          .Add({});
  Gauge& policy_loaded =
      GaugeFamily("tokenbroker_policy_loaded", "1 while a policy is in force, 0 while all is denied.").Add({});
  Counter& policy_load_failures =
      CounterFamily("tokenbroker_policy_load_failures_total", "Policy files that could not be taken up.").Add({});
  Family<Gauge>& policy_info = GaugeFamily("tokenbroker_policy_info",
                                           "1 for the policy in force, by its version and the hash of its documents.");
  std::mutex mutex;  // Of the next one.
  Gauge* policy_in_force = nullptr;
  Counter& connections_refused =
      CounterFamily("tokenbroker_connections_refused_total", "Connections closed at once, since too many were open.")
          .Add({});
  Family<Counter>& handshake_failures =
      CounterFamily("tokenbroker_tls_handshake_failures_total", "TLS handshakes of peers that failed, by reason.");
  Gauge& policy_load_time =
      GaugeFamily("tokenbroker_policy_load_time_seconds", "Unix time at which the policy in force was loaded.").Add({});
  Gauge& upstream_restored =
      GaugeFamily("tokenbroker_upstream_restored",
                  "1 once GitLab is known to have been restored from a backup: each DELETE follows a GET since.")
          .Add({});
  Family<Counter>& reconcile_walks =
      CounterFamily("tokenbroker_reconcile_walks_total", "Walks of the reconciler through GitLab, by outcome.");
  Gauge& reconcile_walk_time =
      GaugeFamily("tokenbroker_reconcile_walk_time_seconds",
                  "Unix time at which the newest complete walk of the reconciler began; 0 before the first.")
          .Add({});
  Family<Counter>& reconcile_findings =
      CounterFamily("tokenbroker_reconcile_findings_total", "What the reconciler met with at GitLab, by finding.");
  Gauge& reconcile_unknown = GaugeFamily("tokenbroker_reconcile_unknown_tokens",
                                         "Living tokens that bear the broker's tag and that no row explains.")
                                 .Add({});
  Gauge& reconcile_moved =
      GaugeFamily("tokenbroker_reconcile_moved_targets", "Targets of active tokens that are elsewhere now, or gone.")
          .Add({});
  Gauge& denied_by_target =
      GaugeFamily("tokenbroker_reconcile_denied_target_tokens",
                  "Active tokens that the policy would deny for what their target is now: elsewhere, an administrator, "
                  "blocked.")
          .Add({});
  Gauge& reconcile_unproved = GaugeFamily("tokenbroker_reconcile_unproved_tokens",
                                          "Active tokens of which GitLab's answers prove neither life nor death.")
                                  .Add({});
  Family<Gauge>& danger = GaugeFamily("tokenbroker_danger", "1 for each switch under danger that is on.");
  SeriesTable<Counter> rpc_requests_by = CountersOf(rpc_requests, "method", kMethods, "code", kCodes);
  SeriesTable<Histogram> rpc_duration_by = LatenciesOf(rpc_duration, "method", kMethods);
  SeriesTable<Counter> upstream_requests_by =
      CountersOf(upstream_requests, "operation", kOperations, "outcome", kUpstreamOutcomes);
  SeriesTable<Histogram> upstream_duration_by = LatenciesOf(upstream_duration, "operation", kOperations);
  SeriesTable<Counter> ledger_commits_by = CountersOf(ledger_commits, "outcome", kCommitOutcomes, nullptr, {});
  SeriesTable<Counter> jwt_refusals_by = CountersOf(jwt_refusals, "reason", kJwtFaults, nullptr, {});
  SeriesTable<Counter> audit_mode_decisions_by =
      CountersOf(audit_mode_decisions, "would_have", kDecisionOutcomes, nullptr, {});
  SeriesTable<Counter> decisions_by = CountersOf(decisions, "outcome", kDecisionOutcomes, "reason", kDecisionReasons);
  Family<Gauge>& build_info = GaugeFamily("tokenbroker_build_info", "Always 1; the version is the label.");
};

Metrics::Metrics() : families_(std::make_unique<Families>()) {
  families_->build_info.Add({{"version", kVersion}}).Set(1);
  // A series that appears only with the first failure hides the step from 0 to 1.
  for (const std::string_view reason : kAuthenticationFailures) {
    families_->authentication_failures.Add({{"reason", std::string(reason)}});
  }
  for (const std::string_view reason : kHandshakeFailures) {
    families_->handshake_failures.Add({{"reason", std::string(reason)}});
  }
  for (const std::string_view fault : kJwtFaults) families_->jwt_refusals.Add({{"reason", std::string(fault)}});
  for (const std::string_view state : kStates) families_->tokens.Add({{"state", std::string(state)}});
}

Metrics::~Metrics() = default;

std::shared_ptr<prometheus::Registry> Metrics::registry() const { return families_->registry; }

void Metrics::RpcEnded(std::string_view method, std::string_view code, Duration took) {
  families_->rpc_requests_by.At(method, code).Increment();
  families_->rpc_duration_by.At(method).Observe(Seconds(took));
}

void Metrics::UpstreamEnded(std::string_view operation, std::string_view outcome, Duration took) {
  families_->upstream_requests_by.At(operation, outcome).Increment();
  families_->upstream_duration_by.At(operation).Observe(Seconds(took));
}

void Metrics::SetUpstreamLoad(int in_flight, int waiting) {
  families_->upstream_in_flight.Set(in_flight);
  families_->upstream_waiting.Set(waiting);
}

void Metrics::SetUpstreamSkew(Duration skew) { families_->upstream_skew.Set(Seconds(skew)); }

void Metrics::SetIssuer(bool alive, std::int64_t expire_unix_seconds) {
  families_->issuer_alive.Set(alive ? 1 : 0);
  families_->issuer_expire_time.Set(static_cast<double>(expire_unix_seconds));
}

void Metrics::LedgerCommitted(bool ok, int operations, Duration took) {
  families_->ledger_commits_by.At(ok ? "done" : "failed").Increment();
  families_->ledger_commit_duration.Observe(Seconds(took));
  families_->ledger_batch_size.Observe(operations);
}

void Metrics::Decided(bool allowed, std::string_view reason) {
  families_->decisions_by.At(allowed ? "allowed" : "denied", reason).Increment();
}

void Metrics::WouldHaveDecided(bool allowed) {
  families_->audit_mode_decisions_by.At(allowed ? "allowed" : "denied").Increment();
}

void Metrics::SetTokens(std::string_view state, std::int64_t count) {
  families_->tokens.Add({{"state", Known(kStates, state)}}).Set(static_cast<double>(count));
}

void Metrics::SetUpstreamCircuit(bool is_open, int failing_targets) {
  families_->upstream_circuit_open.Set(is_open ? 1 : 0);
  families_->upstream_failing_targets.Set(failing_targets);
}
void Metrics::SetParked(std::int64_t count) { families_->tokens_parked.Set(static_cast<double>(count)); }

void Metrics::RevocationProved(Duration lag) { families_->revocation_lag.Observe(Seconds(lag)); }

void Metrics::RevocationAttempted(std::string_view outcome) {
  families_->revocation_attempts.Add({{"outcome", Known(kAttempts, outcome)}}).Increment();
}

void Metrics::DeletedUnrecorded(bool deleted) {
  families_->unrecorded_deletions.Add({{"outcome", deleted ? "deleted" : "failed"}}).Increment();
}

void Metrics::Looked(std::string_view outcome) {
  families_->looks.Add({{"outcome", Known(kLooks, outcome)}}).Increment();
}

void Metrics::LateOrphan() { families_->late_orphans.Increment(); }

void Metrics::FamilyAlarm() { families_->family_alarms.Increment(); }

void Metrics::AuthenticationFailed(std::string_view reason) {
  families_->authentication_failures.Add({{"reason", Known(kAuthenticationFailures, reason)}}).Increment();
}

void Metrics::JwtRefused(std::string_view reason) { families_->jwt_refusals_by.At(reason).Increment(); }

void Metrics::JwtKeysFetched(const std::string& issuer, std::string_view outcome) {
  families_->jwt_key_fetches.Add({{"issuer", issuer}, {"outcome", Known(kJwtFetches, outcome)}}).Increment();
}

void Metrics::SetJwtKeys(const std::string& issuer, int count, WallTime fetched) {
  families_->jwt_keys.Add({{"issuer", issuer}}).Set(count);
  families_->jwt_keys_time.Add({{"issuer", issuer}}).Set(static_cast<double>(MicrosOf(fetched)) / 1e6);
}

void Metrics::PolicyLoaded(const std::string& version, const std::string& hash, WallTime when) {
  families_->policy_loaded.Set(1);
  families_->policy_load_time.Set(static_cast<double>(MicrosOf(when)) / 1e6);
  const std::lock_guard lock(families_->mutex);
  if (families_->policy_in_force != nullptr) families_->policy_info.Remove(families_->policy_in_force);
  families_->policy_in_force = &families_->policy_info.Add({{"version", version}, {"hash", hash}});
  families_->policy_in_force->Set(1);
}

void Metrics::SetFilesGood(std::string_view files, bool good, WallTime now) {
  families_->files_good.Add({{"files", FilesLabel(files)}}).Set(good ? 1 : 0);
  if (!good) return;
  families_->files_good_time.Add({{"files", FilesLabel(files)}}).Set(static_cast<double>(MicrosOf(now)) / 1e6);
}

void Metrics::SetCertificateEnd(WallTime end) {
  families_->certificate_end.Set(static_cast<double>(MicrosOf(end)) / 1e6);
}

void Metrics::SetLogLinesDropped(std::uint64_t lines) {
  Counter& counter = families_->log_lines_dropped;
  const double more = static_cast<double>(lines) - counter.Value();
  if (more > 0) counter.Increment(more);
}

void Metrics::SetClockDifference(Duration difference) { families_->clock_difference.Set(Seconds(difference)); }

void Metrics::SetReconcileSkipped(std::int64_t count) { families_->reconcile_skipped.Set(static_cast<double>(count)); }

void Metrics::PolicyRefused() { families_->policy_load_failures.Increment(); }

void Metrics::ConnectionRefused() { families_->connections_refused.Increment(); }

void Metrics::HandshakeFailed(std::string_view reason) {
  families_->handshake_failures.Add({{"reason", Known(kHandshakeFailures, reason)}}).Increment();
}

void Metrics::SetUpstreamRestored(bool restored) { families_->upstream_restored.Set(restored ? 1 : 0); }

void Metrics::ReconcileWalked(WallTime began, std::int64_t moved) {
  families_->reconcile_walks.Add({{"outcome", "done"}}).Increment();
  families_->reconcile_walk_time.Set(static_cast<double>(MicrosOf(began)) / 1e6);
  families_->reconcile_moved.Set(static_cast<double>(moved));
}

void Metrics::ReconcileFailed() { families_->reconcile_walks.Add({{"outcome", "failed"}}).Increment(); }

void Metrics::SetUnknownTokens(std::int64_t count) { families_->reconcile_unknown.Set(static_cast<double>(count)); }

void Metrics::SetDeniedByTarget(std::int64_t count) { families_->denied_by_target.Set(static_cast<double>(count)); }

void Metrics::SetReconcileUnproved(std::int64_t count) {
  families_->reconcile_unproved.Set(static_cast<double>(count));
}

void Metrics::ReconcileFound(std::string_view finding) {
  families_->reconcile_findings.Add({{"finding", Known(kFindings, finding)}}).Increment();
}

void Metrics::SetDanger(std::string_view name, bool on) {
  families_->danger.Add({{"switch", Known(kDangers, name)}}).Set(on ? 1 : 0);
}

}  // namespace tokenbroker
