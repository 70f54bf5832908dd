#include "server/rpc/handshake_monitor.h"

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <chrono>
#include <optional>
#include <utility>

#include "server/base/error.h"
#include "server/rpc/peer.h"

namespace tokenbroker {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

// The certificate message of a peer that has none holds an empty list: its head of 4 bytes, the length of the list, and
// since TLS 1.3 the length of a context before that.
constexpr std::size_t kEmptyCertificateBytes = 8;

std::string_view ReasonOfCertificateError(int error) {
  if (error == X509_V_ERR_CERT_HAS_EXPIRED) return "expired";
  if (error == X509_V_ERR_CERT_NOT_YET_VALID) return "not_yet_valid";
  return "untrusted";
}

}  // namespace

// One connection's, from SSL_new to SSL_free. Used as its SSL object is: by one thread at a time.
class WatchedHandshake {
 public:
  WatchedHandshake(std::shared_ptr<HandshakeMonitor> monitor, std::string peer)
      : monitor_(std::move(monitor)), peer_(std::move(peer)) {}

  // OpenSSL's callbacks for every connection object of the process; those of others are left alone.
  static void OnNew(void* ssl, void* /*value*/, CRYPTO_EX_DATA* data, int index, long, void*);
  static void OnFree(void* ssl, void* value, CRYPTO_EX_DATA*, int, long, void*);

  // The connection that this thread hands to gRPC.
  static thread_local WatchedHandshake* handed_over;

  static int Index() {
    static const int index = SSL_get_ex_new_index(0, nullptr, &OnNew, nullptr, &OnFree);
    return index;
  }

 private:
  static WatchedHandshake& Of(const SSL* ssl) { return *static_cast<WatchedHandshake*>(SSL_get_ex_data(ssl, Index())); }
  static int OnVerify(int ok, X509_STORE_CTX* store);
  static void OnMessage(int is_sent, int version, int type, const void* bytes, std::size_t size, SSL* ssl, void*);

  // std::nullopt: the handshake was done.
  std::optional<std::string_view> FailureOf(SSL& ssl) const;

  const std::shared_ptr<HandshakeMonitor> monitor_;
  const std::string peer_;
  const SteadyTime began_ = std::chrono::steady_clock::now();
  bool is_done_ = false;
  bool is_other_protocol_ = false;
  bool has_no_certificate_ = false;
  int sent_alert_ = -1;
  bool got_fatal_alert_ = false;
  std::string_view certificate_failure_;
  std::string detail_;
};

thread_local WatchedHandshake* WatchedHandshake::handed_over = nullptr;

void WatchedHandshake::OnNew(void* parent, void*, CRYPTO_EX_DATA* data, int index, long, void*) {
  WatchedHandshake* const handshake = std::exchange(handed_over, nullptr);
  if (handshake == nullptr) return;
  SSL* const ssl = static_cast<SSL*>(parent);
  if (CRYPTO_set_ex_data(data, index, handshake) != 1) {
    delete handshake;
    return;
  }
  SSL_set_verify(ssl, SSL_get_verify_mode(ssl), &OnVerify);
  SSL_set_msg_callback(ssl, &OnMessage);
}

void WatchedHandshake::OnFree(void* ssl, void* value, CRYPTO_EX_DATA*, int, long, void*) {
  const std::unique_ptr<WatchedHandshake> handshake(static_cast<WatchedHandshake*>(value));
  if (handshake == nullptr) return;
  const std::optional<std::string_view> reason = handshake->FailureOf(*static_cast<SSL*>(ssl));
  if (!reason.has_value()) return;
  handshake->monitor_->Report({handshake->peer_, *reason, std::move(handshake->detail_)});
}

// For each certificate of a chain, the peer's own last.
int WatchedHandshake::OnVerify(int ok, X509_STORE_CTX* store) {
  const auto* const ssl =
      static_cast<const SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  WatchedHandshake& handshake = Of(ssl);
  if (ok != 1) {
    const int error = X509_STORE_CTX_get_error(store);
    handshake.certificate_failure_ = ReasonOfCertificateError(error);
    handshake.detail_ = X509_verify_cert_error_string(error);
    return ok;
  }
  if (X509_STORE_CTX_get_error_depth(store) != 0) return ok;
  const absl::Status checked = handshake.monitor_->CheckCertificate(CertificateOf(*X509_STORE_CTX_get0_cert(store)));
  if (checked.ok()) return ok;
  handshake.certificate_failure_ = ReasonOf(checked) == "CERTIFICATE_EXPIRED" ? "expired" : "unknown_caller";
  handshake.detail_ = std::string(checked.message());
  X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
  return 0;
}

void WatchedHandshake::OnMessage(int is_sent, int /*version*/, int type, const void* bytes, std::size_t size, SSL* ssl,
                                 void*) {
  WatchedHandshake& handshake = Of(ssl);
  if (handshake.is_done_) return;
  if (SSL_is_init_finished(ssl) == 1) {  // What came is the first record after the handshake.
    handshake.is_done_ = true;
    return;
  }
  const auto* const message = static_cast<const unsigned char*>(bytes);
  if (type == SSL3_RT_HEADER && is_sent == 0 && size > 1 && message[1] != SSL3_VERSION_MAJOR) {
    handshake.is_other_protocol_ = true;
  }
  if (type == SSL3_RT_HANDSHAKE && is_sent == 0 && size > 0 && message[0] == SSL3_MT_CERTIFICATE) {
    handshake.has_no_certificate_ = size <= kEmptyCertificateBytes;
  }
  if (type != SSL3_RT_ALERT || size < 2) return;
  if (is_sent != 0) {
    handshake.sent_alert_ = message[1];
  } else if (message[1] != SSL3_AD_CLOSE_NOTIFY) {
    handshake.got_fatal_alert_ = true;
    handshake.detail_ = SSL_alert_desc_string_long(message[1]);
  }
}

std::optional<std::string_view> WatchedHandshake::FailureOf(SSL& ssl) const {
  if (is_done_ || SSL_is_init_finished(&ssl) == 1) {
    const unsigned char* protocol = nullptr;
    unsigned int size = 0;
    SSL_get0_alpn_selected(&ssl, &protocol, &size);
    if (size == 0) return "no_http2";  // gRPC ends it.
    return std::nullopt;
  }
  if (!certificate_failure_.empty()) return certificate_failure_;
  if (sent_alert_ >= 0) {
    if (sent_alert_ == SSL_AD_PROTOCOL_VERSION) return "tls_version";
    if (sent_alert_ == SSL_AD_NO_APPLICATION_PROTOCOL) return "no_http2";
    return has_no_certificate_ ? "no_certificate" : "other";
  }
  if (got_fatal_alert_) return "rejected_by_peer";
  if (is_other_protocol_) return "not_tls";
  // gRPC's timer starts a little before ours.
  const bool is_late = std::chrono::steady_clock::now() - began_ >= monitor_->timeout_ * 9 / 10;
  return is_late ? "timeout" : "closed";
}

HandshakeMonitor::HandshakeMonitor(Duration timeout, Check check, OnFailure on_failure)
    : timeout_(timeout), check_(std::move(check)), on_failure_(std::move(on_failure)) {
  (void)WatchedHandshake::Index();
}

void HandshakeMonitor::Watch(const std::string& peer, absl::FunctionRef<void()> hand_over) {
  WatchedHandshake::handed_over = new WatchedHandshake(shared_from_this(), peer);
  hand_over();
  delete std::exchange(WatchedHandshake::handed_over, nullptr);  // gRPC took no connection.
}

void HandshakeMonitor::Stop() {
  const std::lock_guard lock(mutex_);
  is_stopped_ = true;
}

absl::Status HandshakeMonitor::CheckCertificate(const CertificateFacts& certificate) {
  const std::lock_guard lock(mutex_);
  if (is_stopped_) return absl::UnavailableError("the server ends");
  return check_(certificate);
}

void HandshakeMonitor::Report(const HandshakeFailure& failure) {
  const std::lock_guard lock(mutex_);
  if (!is_stopped_) on_failure_(failure);
}

}  // namespace tokenbroker
