#include "server/ledger/strand.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "server/base/error.h"

namespace tokenbroker {
namespace {

// Larger ones would make the first of a batch wait for the last without saving much of the disk's time.
constexpr std::size_t kBatchMax = 128;

absl::Status RunSql(SqliteDb& db, std::string_view sql) {
  absl::StatusOr<Statement> statement = db.Prepare(sql);
  if (!statement.ok()) return statement.status();
  return statement->Run();
}

absl::Status Undone() {
  return Error(absl::StatusCode::kUnavailable, "LEDGER_UNAVAILABLE",
               "the ledger undid the transaction: it cannot write")
      .RetryAfter(seconds(1));
}

}  // namespace

struct Strand::SilentJob final : Strand::Job {
  SilentJob(absl::AnyInvocable<absl::Status(Transaction&)> work, absl::AnyInvocable<void(const absl::Status&)> then)
      : operation(std::move(work)), ended(std::move(then)) {}
  absl::Status Do(Transaction& transaction) override { return operation(transaction); }
  void Finish(const absl::Status& end) override { ended(end); }
  absl::AnyInvocable<absl::Status(Transaction&)> operation;
  absl::AnyInvocable<void(const absl::Status&)> ended;
};

Strand::Strand(How how, std::unique_ptr<SqliteDb> db, std::unique_ptr<AuditChain> chain, Executor& executor,
               Clock& clock, Metrics& metrics)
    : how_(how), db_(std::move(db)), chain_(std::move(chain)), executor_(executor), clock_(clock), metrics_(metrics) {
  if (!how_.on_executor) thread_ = std::thread(&Strand::Loop, this);
}

Strand::~Strand() {
  if (how_.on_executor) {
    for (auto batch = TakeBatch(); !batch.empty(); batch = TakeBatch()) RunBatch(batch);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  more_.notify_one();
  thread_.join();
}

void Strand::Post(absl::AnyInvocable<absl::Status(Transaction&)> operation,
                  absl::AnyInvocable<void(const absl::Status&)> ended) {
  Enqueue(std::make_unique<SilentJob>(std::move(operation), std::move(ended)));
}

void Strand::Enqueue(std::unique_ptr<Job> job) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(job));
  }
  if (how_.on_executor) {
    PostBatch();
  } else {
    more_.notify_one();
  }
}

void Strand::PostBatch() {
  if (waiting_.empty() || std::exchange(posted_, true)) return;
  executor_.Post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    posted_ = false;
    std::vector<std::unique_ptr<Job>> batch = TakeBatch();
    PostBatch();
    RunBatch(batch);
  });
}

std::vector<std::unique_ptr<Strand::Job>> Strand::TakeBatch() {
  if (how_.kind == Kind::kScanner) return TakeTurn();
  const auto size = static_cast<std::ptrdiff_t>(std::min(waiting_.size(), kBatchMax));
  std::vector<std::unique_ptr<Job>> batch(std::move_iterator(waiting_.begin()),
                                          std::move_iterator(waiting_.begin() + size));
  waiting_.erase(waiting_.begin(), waiting_.begin() + size);
  return batch;
}

std::vector<std::unique_ptr<Strand::Job>> Strand::TakeTurn() {
  std::vector<std::unique_ptr<Job>> batch;
  if (waiting_.empty()) return batch;
  const auto key = [this](const std::unique_ptr<Job>& job) {
    return std::pair<bool, const std::string&>(job->caller <= last_caller_, job->caller);
  };
  const auto next = std::min_element(waiting_.begin(), waiting_.end(),
                                     [&key](const auto& a, const auto& b) { return key(a) < key(b); });
  last_caller_ = (*next)->caller;
  batch.push_back(std::move(*next));
  waiting_.erase(next);
  return batch;
}

void Strand::Loop() {
  for (;;) {
    std::vector<std::unique_ptr<Job>> batch;
    {
      std::unique_lock lock(mutex_);
      more_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      batch = TakeBatch();
    }
    RunBatch(batch);
  }
}

void Strand::RunBatch(std::vector<std::unique_ptr<Job>>& batch) {
  const BootTime began = clock_.Boot();
  const AuditChain::Place chain_before = chain_ == nullptr ? AuditChain::Place() : chain_->place();
  const std::int64_t changes_before = db_->TotalChanges();
  // A transaction that may write begins as a writer: one that read first could never become one after another's commit.
  absl::Status end = RunSql(*db_, how_.kind == Kind::kWriter ? "BEGIN IMMEDIATE" : "BEGIN");
  if (!end.ok()) RefuseWaiting(end);
  if (end.ok()) {
    Transaction transaction = {*db_, chain_.get(), clock_.Now(), clock_.Boot()};
    for (std::unique_ptr<Job>& job : batch) {
      // SQLite undoes a whole transaction by itself when the disk is full or fails.
      if (!db_->InTransaction()) break;
      const AuditChain::Place chain_here = chain_ == nullptr ? AuditChain::Place() : chain_->place();
      job->result = RunSql(*db_, "SAVEPOINT operation");
      if (job->result.ok()) job->result = job->Do(transaction);
      if (!job->result.ok() && db_->InTransaction()) {
        (void)RunSql(*db_, "ROLLBACK TO operation");
        if (chain_ != nullptr) chain_->Return(chain_here);
      }
      if (db_->InTransaction()) (void)RunSql(*db_, "RELEASE operation");
    }
    const bool changed = how_.kind == Kind::kWriter && db_->TotalChanges() != changes_before;
    end = !db_->InTransaction() ? Undone() : changed ? Commit() : RunSql(*db_, "COMMIT");
  }
  if (!end.ok()) {
    if (db_->InTransaction()) (void)RunSql(*db_, "ROLLBACK");
    if (chain_ != nullptr) chain_->Return(chain_before);
  }
  // An empty claim is no transaction worth counting.
  if (how_.kind == Kind::kWriter && (!end.ok() || db_->TotalChanges() != changes_before)) {
    metrics_.LedgerCommitted(end.ok(), static_cast<int>(batch.size()), clock_.Boot() - began);
  }
  for (std::unique_ptr<Job>& job : batch) job->Finish(job->result.ok() ? end : job->result);
}

// What came while this batch waited for the file's lock has waited for it too: were it to wait again, batch after
// batch, a long queue would have no bound.
void Strand::RefuseWaiting(const absl::Status& why) {
  std::vector<std::unique_ptr<Job>> waiting;
  {
    const std::lock_guard lock(mutex_);
    waiting.swap(waiting_);
  }
  for (std::unique_ptr<Job>& job : waiting) job->Finish(why);
}

// Writes the batch's number with the batch, so that a COMMIT whose end is not known can be asked for afterwards.
absl::Status Strand::Commit() {
  ++batches_;
  absl::StatusOr<Statement> update = db_->Prepare("UPDATE meta SET value = ? WHERE key = 'last_batch'");
  if (!update.ok()) return update.status();
  const absl::Status numbered = update->Bind(1, chain_->writer() + '/' + std::to_string(batches_)).Run();
  if (!numbered.ok()) return numbered;
  absl::Status committed = RunSql(*db_, "COMMIT");
  if (committed.ok() || db_->InTransaction()) return committed;
  return WasCommitted() ? absl::OkStatus() : committed;
}

bool Strand::WasCommitted() {
  absl::StatusOr<Statement> select = db_->Prepare("SELECT value FROM meta WHERE key = 'last_batch'");
  if (!select.ok()) return false;
  const absl::StatusOr<bool> row = select->Step();
  return row.ok() && *row && select->Text(0) == chain_->writer() + '/' + std::to_string(batches_);
}

}  // namespace tokenbroker
