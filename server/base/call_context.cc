#include "server/base/call_context.h"

#include <algorithm>

namespace tokenbroker {

void CancelSource::Cancel() {
  decltype(State::callbacks) callbacks;
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->cancelled) return;
    state_->cancelled = true;
    callbacks.swap(state_->callbacks);
  }
  for (auto& [id, wake] : callbacks) wake();
}

bool CancelSource::cancelled() const {
  const std::lock_guard lock(state_->mutex);
  return state_->cancelled;
}

bool CallContext::cancelled() const {
  if (state_ == nullptr) return false;
  const std::lock_guard lock(state_->mutex);
  return state_->cancelled;
}

CallContext CallContext::Until(BootTime deadline) const {
  CallContext copy = *this;
  copy.deadline_ = std::min(deadline_, deadline);
  return copy;
}

absl::Status CallContext::Check(BootTime now) const {
  if (cancelled()) return absl::CancelledError("the caller left");
  if (now >= deadline_) return absl::DeadlineExceededError("the caller's deadline passed");
  return absl::OkStatus();
}

CallContext::Registration CallContext::OnCancel(absl::AnyInvocable<void()> wake) const {
  Registration registration;
  if (state_ == nullptr) return registration;
  {
    const std::lock_guard lock(state_->mutex);
    if (!state_->cancelled) {
      registration.state_ = state_;
      registration.id_ = state_->next_id++;
      state_->callbacks.emplace_back(registration.id_, std::move(wake));
      return registration;
    }
  }
  wake();
  return registration;
}

CallContext::Registration::~Registration() {
  if (state_ == nullptr) return;
  const std::lock_guard lock(state_->mutex);
  std::erase_if(state_->callbacks, [this](const auto& entry) { return entry.first == id_; });
}

}  // namespace tokenbroker
