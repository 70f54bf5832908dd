#pragma once
// How each TLS handshake ends, and whose it was. gRPC 1.51 writes a failed handshake as a line of text without the
// peer's address, counts none, and verifies a certificate against the authorities only. OpenSSL knows more: it calls
// back for each connection object that gRPC makes (SSL_get_ex_new_index), which happens on the thread that hands a
// connection to gRPC.

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "server/base/clock.h"
#include "server/identity/authenticator.h"

namespace tokenbroker {

// Why a handshake failed. `detail`, in OpenSSL's or the policy's words, may be empty.
struct HandshakeFailure {
  std::string peer;  // Its address, without the port.
  // One of:
  //   tls_version       the peer speaks no version that is taken
  //   no_certificate    it showed none, and one is required
  //   untrusted         its certificate comes from no authority of callers, or is not meant for clients
  //   expired, not_yet_valid
  //   unknown_caller    its certificate is good and is no caller's (see HandshakeMonitor)
  //   rejected_by_peer  it rejected ours
  //   not_tls           it spoke something else
  //   no_http2          it did not offer HTTP/2
  //   closed            it left, or was ended for another connection, before the end of the handshake
  //   timeout           it did not finish in time
  //   other
  std::string_view reason;
  std::string detail;
};

// Thread-safe. Owned by the server and by every connection that is watched.
class HandshakeMonitor : public std::enable_shared_from_this<HandshakeMonitor> {
 public:
  // Both are called on gRPC's threads, may not wait, and are not called after Stop. `check` judges a certificate that
  // an authority of callers vouches for; a failure fails the handshake.
  using Check = std::function<absl::Status(const CertificateFacts&)>;
  using OnFailure = std::function<void(const HandshakeFailure&)>;

  // A handshake that the peer left unfinished for `timeout`, after which gRPC ends it, has the reason "timeout".
  HandshakeMonitor(Duration timeout, Check check, OnFailure on_failure);

  // Calls `hand_over`, in which gRPC takes a connection of `peer` on this thread.
  void Watch(const std::string& peer, absl::FunctionRef<void()> hand_over);
  // Waits for callbacks that run.
  void Stop();

 private:
  friend class WatchedHandshake;

  absl::Status CheckCertificate(const CertificateFacts& certificate);
  void Report(const HandshakeFailure& failure);

  const Duration timeout_;
  std::mutex mutex_;
  bool is_stopped_ = false;
  const Check check_;
  const OnFailure on_failure_;
};

}  // namespace tokenbroker
