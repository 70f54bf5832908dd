#pragma once
// A thread that owns one connection to the ledger's file, and what runs on it. The writer packs what waits into one
// transaction with a savepoint for each operation, so that they share one wait for the disk. The reader runs short
// reads, what waits in one snapshot. The scanner runs lists and whatever else may take long, one at a time, each in a
// snapshot of its own, in turn between callers.

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/executor.h"
#include "server/base/later.h"
#include "server/base/task.h"
#include "server/ledger/audit_chain.h"
#include "server/ledger/sqlite_db.h"
#include "server/telemetry/metrics.h"

namespace tokenbroker {

// What an operation works with.
struct Transaction {
  SqliteDb& db;
  AuditChain* chain;  // Null for readers.
  WallTime now;       // One for the whole batch: what happens together has one time.
  BootTime boot;      // The same instant.
};

// Thread-safe.
class Strand {
 public:
  enum class Kind { kWriter, kReader, kScanner };
  struct How {
    Kind kind;
    // No thread of its own: the executor runs the batches, and waits meanwhile. For simulations.
    bool on_executor = false;
  };

  // `chain`: the writer's, else null.
  Strand(How how, std::unique_ptr<SqliteDb> db, std::unique_ptr<AuditChain> chain, Executor& executor, Clock& clock,
         Metrics& metrics);
  // Runs what waits, then ends.
  ~Strand();

  // Runs `operation` inside a transaction and answers once that is durable. If the operation fails, what it did is
  // undone, and only that. A commit that fails answers UNAVAILABLE, after it was made sure that it really did.
  // `caller`: whose turn it takes on a scanner.
  template <typename T>
  Task<absl::StatusOr<T>> Run(absl::AnyInvocable<absl::StatusOr<T>(Transaction&)> operation, std::string caller = "") {
    auto job = std::make_unique<TypedJob<T>>(std::move(operation));
    job->caller = std::move(caller);
    Later<absl::StatusOr<T>> later(executor_, [this, &job](typename Later<absl::StatusOr<T>>::Done done) {
      job->done = std::move(done);
      Enqueue(std::move(job));
    });
    co_return co_await later;
  }

  // The same, with nobody waiting for it: `ended` is called on the strand's thread with how it went.
  void Post(absl::AnyInvocable<absl::Status(Transaction&)> operation,
            absl::AnyInvocable<void(const absl::Status&)> ended);

 private:
  struct Job {
    virtual ~Job() = default;
    virtual absl::Status Do(Transaction& transaction) = 0;
    // Called once, after the transaction: `end` is not OK if what Do did was not kept.
    virtual void Finish(const absl::Status& end) = 0;
    absl::Status result;
    std::string caller;
  };
  template <typename T>
  struct TypedJob final : Job {
    explicit TypedJob(absl::AnyInvocable<absl::StatusOr<T>(Transaction&)> work) : operation(std::move(work)) {}
    absl::Status Do(Transaction& transaction) override {
      value = operation(transaction);
      return value.status();
    }
    void Finish(const absl::Status& end) override {
      if (end.ok()) {
        done(std::move(value));
      } else {
        done(end);
      }
    }
    absl::AnyInvocable<absl::StatusOr<T>(Transaction&)> operation;
    absl::StatusOr<T> value = absl::UnknownError("not run");
    typename Later<absl::StatusOr<T>>::Done done;
  };
  struct SilentJob;

  void Enqueue(std::unique_ptr<Job> job);
  void Loop();
  void PostBatch();
  // Takes the next batch; empty if nothing waits.
  std::vector<std::unique_ptr<Job>> TakeBatch();
  // The oldest of the caller that comes after the last one in the order of names, which begins anew at its end.
  std::vector<std::unique_ptr<Job>> TakeTurn();
  void RunBatch(std::vector<std::unique_ptr<Job>>& batch);
  void RefuseWaiting(const absl::Status& why);
  absl::Status Commit();
  bool WasCommitted();

  const How how_;
  const std::unique_ptr<SqliteDb> db_;
  const std::unique_ptr<AuditChain> chain_;
  Executor& executor_;
  Clock& clock_;
  Metrics& metrics_;
  std::int64_t batches_ = 0;

  std::mutex mutex_;
  std::condition_variable more_;
  std::vector<std::unique_ptr<Job>> waiting_;
  std::string last_caller_;  // TakeTurn.
  bool stop_ = false;
  // PostBatch: the executor will come for what waits, unless the strand has ended before.
  bool posted_ = false;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace tokenbroker
