#include "server/ledger/sqlite_ledger.h"

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/ledger/audit_chain.h"
#include "server/ledger/claims.h"
#include "server/ledger/facts.h"
#include "server/ledger/life.h"
#include "server/ledger/lists.h"
#include "server/ledger/lock_file.h"
#include "server/ledger/quota.h"
#include "server/ledger/reads.h"
#include "server/ledger/refusals.h"
#include "server/ledger/restores.h"
#include "server/ledger/schema.h"
#include "server/ledger/sqlite_db.h"
#include "server/ledger/strand.h"
#include "server/ledger/token_rows.h"
#include "server/ledger/unknown_rows.h"
#include "server/ledger/waits.h"
#include "server/ledger/wal_guard.h"

namespace tokenbroker {
namespace {

// Says which operation runs where; what the operations do is in life.cc, claims.cc, lists.cc and reads.cc.
class SqliteLedger final : public Ledger {
 public:
  SqliteLedger(SqliteLedgerOptions options, LockFile lock, std::unique_ptr<SqliteDb> writer,
               std::unique_ptr<SqliteDb> reader, std::unique_ptr<SqliteDb> scanner,
               std::unique_ptr<RestoreWatch> restore_watch, std::int64_t untimely_row, Executor& executor, Clock& clock,
               Random& random, Metrics& metrics)
      : options_(std::move(options)),
        lock_(std::move(lock)),
        clock_(clock),
        random_(random),
        restore_watch_(std::move(restore_watch)),
        untimely_row_(untimely_row),
        writer_({Strand::Kind::kWriter, options_.on_executor}, std::move(writer), std::make_unique<AuditChain>(random),
                executor, clock, metrics),
        reader_({Strand::Kind::kReader, options_.on_executor}, std::move(reader), nullptr, executor, clock, metrics),
        scanner_({Strand::Kind::kScanner, options_.on_executor}, std::move(scanner), nullptr, executor, clock,
                 metrics) {}
  ~SqliteLedger() override { WriteRefusals(/*last=*/true); }

  WallTime Now() const override { return clock_.Now(); }

  Task<absl::StatusOr<DurableIntent>> Begin(IntentSpec spec) override {
    return Intend(clock_.Boot(), writer_.Run<Token>([this, spec = std::move(spec)](Transaction& transaction) {
      return BeginIntent(transaction, rules(), spec);
    }));
  }

  Task<absl::StatusOr<Token>> Activate(TokenId id, MadeUpstream made, WallTime expire_time) override {
    return writer_.Run<Token>([id = std::move(id), made = std::move(made), expire_time, random = &random_,
                               watch = restore_watch_.get()](Transaction& transaction) -> absl::StatusOr<Token> {
      absl::StatusOr<Token> token = ActivateToken(transaction, *random, id, made, expire_time);
      if (!token.ok()) return token;
      const absl::Status noted = watch->Note(transaction, token->target.instance, made.id);
      if (!noted.ok()) return noted;
      return token;
    });
  }

  Task<absl::Status> Abandon(TokenId id, std::string why) override {
    return StatusOf(writer_.Run<Token>([id = std::move(id), why = std::move(why)](Transaction& transaction) {
      return AbandonToken(transaction, id, why);
    }));
  }

  Task<absl::StatusOr<Token>> StartRevoking(TokenId id, RevokeReason reason,
                                            std::optional<MadeUpstream> made) override {
    return writer_.Run<Token>(
        [id = std::move(id), reason, made = std::move(made), random = &random_](Transaction& transaction) {
          return StartRevokingToken(transaction, *random, id, reason, made);
        });
  }

  Task<absl::StatusOr<TokenRecord>> RequestRevocation(TokenId id, std::string caller) override {
    return writer_.Run<TokenRecord>([id = std::move(id), caller = std::move(caller)](Transaction& transaction) {
      return RequestTokenRevocation(transaction, id, caller);
    });
  }

  Task<absl::StatusOr<TokenRecord>> RevokeForPolicy(TokenId id, std::string caller, std::string why) override {
    return writer_.Run<TokenRecord>(
        [id = std::move(id), caller = std::move(caller), why = std::move(why)](Transaction& transaction) {
          return RevokeTokenForPolicy(transaction, id, caller, why);
        });
  }

  Task<absl::StatusOr<Token>> RecordDeath(TokenId id, Proof proof) override {
    return writer_.Run<Token>([id = std::move(id), proof, settle = options_.settle](Transaction& transaction) {
      return RecordTokenDeath(transaction, settle, id, proof);
    });
  }

  Task<absl::Status> RecordAttempt(TokenId id, WallTime next_attempt_time, bool parked, std::string why) override {
    return StatusOf(writer_.Run<Token>(
        [id = std::move(id), next_attempt_time, parked, why = std::move(why)](Transaction& transaction) {
          return RecordFailedAttempt(transaction, id, next_attempt_time, parked, why);
        }));
  }

  Task<absl::StatusOr<std::vector<TokenId>>> RecordLook(TokenId id, WallTime began,
                                                        std::vector<MadeUpstream> found) override {
    return writer_.Run<std::vector<TokenId>>([id = std::move(id), began, found = std::move(found),
                                              settle = options_.settle, random = &random_](Transaction& transaction) {
      return RecordLookResult(transaction, *random, settle, id, began, found);
    });
  }

  Task<absl::StatusOr<std::vector<Stranger>>> RecordSeen(std::string instance, std::vector<SeenToken> seen,
                                                         WallTime listed) override {
    return writer_.Run<std::vector<Stranger>>(
        [instance = std::move(instance), seen = std::move(seen), listed](Transaction& transaction) {
          return RecordSeenTokens(transaction, instance, seen, listed);
        });
  }

  Task<absl::StatusOr<std::vector<std::int64_t>>> RecordUnknown(std::string instance, std::string list, WallTime pass,
                                                                std::vector<UnknownToken> found) override {
    return writer_.Run<std::vector<std::int64_t>>([instance = std::move(instance), list = std::move(list), pass,
                                                   found = std::move(found)](Transaction& transaction) {
      return RecordUnknownTokens(transaction, instance, list, pass, found);
    });
  }

  Task<absl::StatusOr<std::int64_t>> EndPass(std::string instance, WallTime pass,
                                             std::vector<std::string> lists) override {
    return writer_.Run<std::int64_t>(
        [instance = std::move(instance), pass, lists = std::move(lists)](Transaction& transaction) {
          return EndPassOver(transaction, instance, pass, lists);
        });
  }

  Task<absl::StatusOr<UnknownList>> ListUnknown(std::string instance, std::int64_t after, int limit) override {
    return scanner_.Run<UnknownList>([instance = std::move(instance), after, limit](Transaction& transaction) {
      return ListUnknownTokens(transaction, instance, after, limit);
    });
  }

  Task<absl::StatusOr<std::vector<UnknownToken>>> FindUnknown(std::string instance,
                                                              std::vector<std::int64_t> ids) override {
    return reader_.Run<std::vector<UnknownToken>>(
        [instance = std::move(instance), ids = std::move(ids)](Transaction& transaction) {
          return FindUnknownTokens(transaction, instance, ids);
        });
  }

  Task<absl::Status> KeepStray(TokenId id, MadeUpstream made) override {
    return StatusOf(
        writer_.Run<Token>([id = std::move(id), made = std::move(made), random = &random_](Transaction& transaction) {
          return KeepStrayToken(transaction, *random, id, made);
        }));
  }

  Task<absl::StatusOr<std::vector<Token>>> TakeIn(std::vector<TakeInSpec> specs) override {
    return writer_.Run<std::vector<Token>>([specs = std::move(specs), random = &random_](Transaction& transaction) {
      return TakeInTokens(transaction, *random, specs);
    });
  }

  Task<absl::Status> CheckQuota(std::string owner, std::string role, QuotaLimits limits,
                                std::optional<TokenId> gives_way) override {
    return StatusOf(
        reader_.Run<Token>([this, owner = std::move(owner), role = std::move(role), limits,
                            gives_way = std::move(gives_way)](Transaction& transaction) -> absl::StatusOr<Token> {
          const absl::Status room = CheckRoom(transaction, rules(), owner, role, limits, gives_way);
          if (!room.ok()) return room;
          return Token();
        }));
  }

  Task<absl::StatusOr<TokenRecord>> Get(TokenId id) override {
    return reader_.Run<TokenRecord>(
        [id = std::move(id)](Transaction& transaction) { return LoadToken(transaction.db, id); });
  }

  Task<absl::StatusOr<TokenList>> List(ListQuery query) override {
    std::string caller = query.caller;
    return scanner_.Run<TokenList>(
        [query = std::move(query)](Transaction& transaction) { return ListRows(transaction, query); },
        std::move(caller));
  }

  Task<absl::StatusOr<std::optional<RequestRecord>>> FindRequest(std::string caller, RequestKey key) override {
    return reader_.Run<std::optional<RequestRecord>>(
        [caller = std::move(caller), key = std::move(key)](Transaction& transaction) {
          return FindRequestRecord(transaction, caller, key);
        });
  }

  Task<absl::StatusOr<Counts>> Count() override {
    return scanner_.Run<Counts>([](Transaction& transaction) { return CountRows(transaction); });
  }

  Task<absl::StatusOr<std::vector<std::int64_t>>> ActiveAmong(std::string instance,
                                                              std::vector<MadeUpstream> tokens) override {
    return reader_.Run<std::vector<std::int64_t>>(
        [instance = std::move(instance), tokens = std::move(tokens)](Transaction& transaction) {
          return ActiveRowsAmong(transaction, instance, tokens);
        });
  }

  Task<absl::StatusOr<std::vector<TokenRecord>>> ListUnseen(WallTime since, int skip, int limit) override {
    return scanner_.Run<std::vector<TokenRecord>>(
        [since, skip, limit](Transaction& transaction) { return ListUnseenRows(transaction, since, skip, limit); });
  }

  Task<absl::StatusOr<std::vector<ResolvedTarget>>> ActiveTargets(std::optional<ResolvedTarget> after,
                                                                  int limit) override {
    return scanner_.Run<std::vector<ResolvedTarget>>([after = std::move(after), limit](Transaction& transaction) {
      return ListActiveTargets(transaction, after, limit);
    });
  }

  bool UpstreamRestored() const override { return restore_watch_->restored(); }

  Task<absl::StatusOr<std::vector<AuditRecord>>> ReadAudit(AuditQuery query) override {
    std::string caller = query.caller;
    return scanner_.Run<std::vector<AuditRecord>>(
        [query = std::move(query)](Transaction& transaction) { return ReadAuditPage(transaction.db, query); },
        std::move(caller));
  }

  Task<absl::StatusOr<std::vector<TokenRecord>>> ClaimDue(int limit) override {
    if (refusals_.HasDue(clock_.Boot())) WriteRefusals(/*last=*/false);
    return writer_.Run<std::vector<TokenRecord>>(
        [limit](Transaction& transaction) { return ClaimDueRows(transaction, limit); });
  }

  Task<absl::StatusOr<std::optional<WallTime>>> NextDue() override {
    return reader_.Run<std::optional<WallTime>>([](Transaction& transaction) { return NextDueTime(transaction); });
  }

  Task<absl::StatusOr<DueList>> ListDue(std::optional<DuePosition> after, int limit) override {
    return reader_.Run<DueList>(
        [after = std::move(after), limit](Transaction& transaction) { return ListDueRows(transaction, after, limit); });
  }

  Task<absl::Status> BoundWaits() override {
    return StatusOf(writer_.Run<Token>([this](Transaction& transaction) -> absl::StatusOr<Token> {
      const absl::Status bounded = BoundWaitingRows(transaction, options_.settle);
      if (!bounded.ok()) return bounded;
      const absl::StatusOr<std::int64_t> newest = NewestRow(transaction.db);
      if (!newest.ok()) return newest.status();
      untimely_row_ = *newest;
      return Token();
    }));
  }

  void NoteRefusal(Refusal refusal) override {
    if (refusals_.Note(refusal, {clock_.Now(), clock_.Boot()})) WriteRefusals(/*last=*/false);
  }

 private:
  static Task<absl::StatusOr<DurableIntent>> Intend(BootTime begun, Task<absl::StatusOr<Token>> written) {
    absl::StatusOr<Token> token = co_await std::move(written);
    if (!token.ok()) co_return token.status();
    co_return MakeIntent(*std::move(token), begun);
  }

  static Task<absl::Status> StatusOf(Task<absl::StatusOr<Token>> changed) {
    const absl::StatusOr<Token> token = co_await std::move(changed);
    co_return token.status();
  }

  QuotaRules rules() const { return {options_.settle, untimely_row_}; }

  void WriteRefusals(bool last) {
    auto events = std::make_shared<std::vector<AuditEvent>>();
    writer_.Post(
        [this, last, events](Transaction& transaction) -> absl::Status {
          *events = refusals_.Take({transaction.now, transaction.boot}, last);
          for (const AuditEvent& event : *events) {
            const absl::Status written = transaction.chain->Append(transaction.db, event);
            if (!written.ok()) return written;
          }
          return absl::OkStatus();
        },
        [this, events](const absl::Status& end) {
          if (!end.ok()) refusals_.Return(std::move(*events));
        });
  }

  const SqliteLedgerOptions options_;
  const LockFile lock_;
  Clock& clock_;
  Random& random_;
  Refusals refusals_;
  const std::unique_ptr<RestoreWatch> restore_watch_;
  std::atomic<std::int64_t> untimely_row_;  // See QuotaRules.
  Strand writer_;
  Strand reader_;
  Strand scanner_;
};

// What SQLite says names no file.
absl::Status InFile(const std::string& path, const absl::Status& status) {
  if (absl::StrContains(status.message(), path)) return status;
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

// The clock may have gone back since the last start. Returns the newest row of before, see QuotaRules, or 0 if it has
// not.
absl::StatusOr<std::int64_t> BoundWaitsAtStart(SqliteDb& db, const SqliteLedgerOptions& options, Clock& clock) {
  Transaction transaction = {db, nullptr, clock.Now(), clock.Boot()};
  absl::Status done = db.Execute("BEGIN IMMEDIATE");
  if (done.ok()) done = BoundWaitingRows(transaction, options.settle);
  if (done.ok()) done = db.Execute("COMMIT");
  if (!done.ok()) {
    if (db.InTransaction()) (void)db.Execute("ROLLBACK");
    return done;
  }
  const absl::StatusOr<bool> went_back = HasEventsAfter(db, transaction.now);
  if (!went_back.ok()) return went_back.status();
  return *went_back ? NewestRow(db) : 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Ledger>> OpenSqliteLedger(SqliteLedgerOptions options, Executor& executor, Clock& clock,
                                                         Random& random, Metrics& metrics) {
  absl::StatusOr<LockFile> lock = LockFile::Take(options.path);
  if (!lock.ok()) return lock.status();
  // A test's file system keeps its files elsewhere.
  const bool is_on_machine = options.vfs.empty();
  const absl::Status log = is_on_machine ? CheckLogBelongs(options.path) : absl::OkStatus();
  if (!log.ok()) return log;
  const absl::Status ours = CheckIsLedger(options.path);
  if (!ours.ok()) return ours;
  absl::StatusOr<std::unique_ptr<SqliteDb>> writer = SqliteDb::OpenWriter(options.path, options.busy, options.vfs);
  if (!writer.ok()) return InFile(options.path, writer.status());
  const absl::Status schema = PrepareSchema(**writer, options.path, options.broker);
  if (!schema.ok()) return InFile(options.path, schema);
  const absl::Status begun = is_on_machine ? BeginRun(**writer, options.path) : absl::OkStatus();
  if (!begun.ok()) return InFile(options.path, begun);
  const absl::StatusOr<std::int64_t> untimely_row = BoundWaitsAtStart(**writer, options, clock);
  if (!untimely_row.ok()) return InFile(options.path, untimely_row.status());
  absl::StatusOr<std::unique_ptr<SqliteDb>> reader = SqliteDb::OpenReader(options.path, options.busy, options.vfs);
  if (!reader.ok()) return InFile(options.path, reader.status());
  absl::StatusOr<std::unique_ptr<SqliteDb>> scanner = SqliteDb::OpenReader(options.path, options.busy, options.vfs);
  if (!scanner.ok()) return InFile(options.path, scanner.status());
  auto watch = std::make_unique<RestoreWatch>();
  const absl::Status loaded = watch->Load(**reader, clock.Now());
  if (!loaded.ok()) return InFile(options.path, loaded);
  return std::make_unique<SqliteLedger>(std::move(options), *std::move(lock), *std::move(writer), *std::move(reader),
                                        *std::move(scanner), std::move(watch), *untimely_row, executor, clock, random,
                                        metrics);
}

}  // namespace tokenbroker
