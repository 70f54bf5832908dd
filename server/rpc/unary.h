#pragma once
// One unary call: from a reactor of gRPC to a task of the broker and back. The only file that knows reactors.
//
// The task runs in the broker's scope. A caller that leaves, or whose deadline passes, is answered at once and no
// longer heard; the task hears of it through its CallContext and goes on as it thinks right.

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/call_context.h"
#include "server/base/clock.h"
#include "server/base/task.h"
#include "server/base/task_scope.h"
#include "server/rpc/call_places.h"
#include "server/rpc/errors.h"
#include "server/telemetry/metrics.h"

namespace tokenbroker {

// Owned by gRPC and by the task, whichever lasts longer.
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  using OnEnd = absl::AnyInvocable<void(const absl::Status&)>;

  static std::shared_ptr<UnaryCall> Begin(const grpc::CallbackServerContext& context, std::string_view method,
                                          Clock& clock, Metrics& metrics) {
    std::shared_ptr<UnaryCall> call(new UnaryCall(method, clock, metrics));
    const bool none = context.deadline() == std::chrono::system_clock::time_point::max();
    // gRPC tells the deadline by the system's clock; what is left of it is put on ours.
    const auto left = context.deadline() - std::chrono::system_clock::now();
    call->deadline_ = none ? kNever : clock.Boot() + std::chrono::duration_cast<Duration>(left);
    call->self_ = call;
    return call;
  }

  CallContext context() const { return CallContext(deadline_, source_); }
  // The caller's place, which the call keeps while it is at work: a task goes on when its caller has left.
  CallPlace& place() { return place_; }

  // Ends the call with a failure.
  grpc::ServerUnaryReactor* Fail(const absl::Status& status) {
    End(status, [] {});
    return this;
  }

  // Ends the call with what `fill` puts into the response.
  grpc::ServerUnaryReactor* Answer(absl::AnyInvocable<void()> fill) {
    End(absl::OkStatus(), std::move(fill));
    return this;
  }

  // Starts `task` in `scope`; its result ends the call, if somebody still waits for it.
  template <typename T>
  grpc::ServerUnaryReactor* Run(TaskScope& scope, Task<absl::StatusOr<T>> task, absl::AnyInvocable<void(T)> fill,
                                OnEnd on_end) {
    scope.Spawn<absl::StatusOr<T>>(std::move(task), [call = self_, place = std::move(place_), fill = std::move(fill),
                                                     on_end = std::move(on_end)](absl::StatusOr<T> result) mutable {
      on_end(result.status());
      place.GiveBack();  // Before the answer: who has it may call again.
      if (!result.ok()) return call->End(result.status(), [] {});
      call->End(absl::OkStatus(), [&] { fill(*std::move(result)); });
    });
    return this;
  }

  void OnCancel() override {
    source_.Cancel();
    End(absl::CancelledError("the caller left"), [] {});
  }
  void OnDone() override { self_.reset(); }  // May free this.

 private:
  UnaryCall(std::string_view method, Clock& clock, Metrics& metrics)
      : method_(method), clock_(clock), metrics_(metrics), began_(clock.Boot()) {}

  // The first end counts. `fill` touches the response, which is gone soon after Finish.
  void End(const absl::Status& status, absl::AnyInvocable<void()> fill) {
    grpc::Status end = ToGrpc(status);
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(ended_, true)) return;
      if (status.ok()) fill();
    }
    metrics_.RpcEnded(method_, CodeName(end.error_code()), clock_.Boot() - began_);
    place_.GiveBack();  // Of a call without a task.
    Finish(std::move(end));
  }

  const std::string_view method_;
  Clock& clock_;
  Metrics& metrics_;
  const BootTime began_;
  BootTime deadline_ = kNever;
  CancelSource source_;
  CallPlace place_;
  std::shared_ptr<UnaryCall> self_;  // Until gRPC is done with it.
  std::mutex mutex_;
  bool ended_ = false;
};

}  // namespace tokenbroker
