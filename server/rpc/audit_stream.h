#pragma once
// One export of the audit: a page of the ledger, record by record to the reader, and only then the next page.

#include <grpcpp/support/server_callback.h>

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "server/rpc/admin_convert.h"
#include "server/rpc/errors.h"
#include "server/rpc/reception.h"
#include "tokenbroker/v1/admin_service.pb.h"

namespace tokenbroker {

// Owned by gRPC and by the page that is being read, whichever lasts longer. At any time either a page is read or a
// record is written, so whoever ends that decides what comes next.
class AuditStream final : public grpc::ServerWriteReactor<v1::ExportAuditResponse> {
 public:
  static std::shared_ptr<AuditStream> Begin(const Reception& reception) {
    std::shared_ptr<AuditStream> stream(new AuditStream(reception));
    stream->self_ = stream;
    return stream;
  }

  // The caller's place, which the stream keeps to its end.
  CallPlace& place() { return place_; }

  AuditStream* Fail(const absl::Status& status) {
    End(status);
    return this;
  }

  AuditStream* Run(Caller caller, AuditQuery query) {
    caller_ = std::move(caller);
    query_ = std::move(query);
    ReadPage();
    return this;
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return End(absl::CancelledError("the reader left"));
    Next();
  }
  void OnCancel() override {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;  // What is under way ends it.
  }
  void OnDone() override { self_.reset(); }  // May free this.

 private:
  using Page = absl::StatusOr<std::vector<AuditRecord>>;

  explicit AuditStream(const Reception& reception) : reception_(reception), began_(reception.clock().Boot()) {}

  bool cancelled() const {
    const std::lock_guard lock(mutex_);
    return cancelled_;
  }

  void ReadPage() {
    Broker& broker = reception_.broker();
    broker.scope().Spawn<Page>(broker.ReadAudit(caller_, query_),
                               [stream = self_](Page page) { stream->Take(std::move(page)); });
  }

  void Take(Page page) {
    if (!page.ok()) return End(page.status());
    page_ = *std::move(page);
    next_ = 0;
    Next();
  }

  void Next() {
    if (cancelled()) return End(absl::CancelledError("the reader left"));
    if (next_ < page_.size()) {
      FromAuditRecord(page_[next_++], *response_.mutable_record());
      return StartWrite(&response_);
    }
    if (page_.size() < static_cast<std::size_t>(query_.limit)) return End(absl::OkStatus());
    query_.after = AuditPosition{page_.back().writer, page_.back().seq};
    ReadPage();
  }

  void End(const absl::Status& status) {
    reception_.Logged("ExportAudit", caller_)(status);
    grpc::Status end = ToGrpc(status);
    reception_.metrics().RpcEnded("ExportAudit", CodeName(end.error_code()), reception_.clock().Boot() - began_);
    place_.GiveBack();
    Finish(std::move(end));
  }

  const Reception& reception_;
  const BootTime began_;
  CallPlace place_;
  Caller caller_;
  AuditQuery query_;
  std::vector<AuditRecord> page_;
  std::size_t next_ = 0;
  v1::ExportAuditResponse response_;
  std::shared_ptr<AuditStream> self_;  // Until gRPC is done with it.
  mutable std::mutex mutex_;
  bool cancelled_ = false;
};

}  // namespace tokenbroker
