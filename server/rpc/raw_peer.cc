#include "server/rpc/raw_peer.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>

namespace tokenbroker {

RawPeer::RawPeer(int port) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const timeval patience{30, 0};
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const timeval writing{2, 0};
  setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &writing, sizeof writing);
  EXPECT_EQ(connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
}

RawPeer::~RawPeer() {
  tls_.reset();
  close(socket_);
}

bool RawPeer::IsPutOut() const {
  char byte = 0;
  const ssize_t got = recv(socket_, &byte, 1, 0);
  return got == 0 || (got < 0 && errno == ECONNRESET);
}

std::string RawPeer::ShakeHands(const TestCertificate& certificate, int lowest, int highest,
                                const std::string& protocol) {
  context_.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_security_level(context_.get(), 0);  // So that it is not this side that refuses an old version.
  SSL_CTX_set_min_proto_version(context_.get(), lowest);
  SSL_CTX_set_max_proto_version(context_.get(), highest);
  if (requires_trust_) SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);  // No authority is known.
  if (!certificate.certificate_pem.empty()) UseCertificate(certificate);
  tls_.reset(SSL_new(context_.get()));
  const std::string protocols = static_cast<char>(protocol.size()) + protocol;
  if (!protocol.empty()) {
    SSL_set_alpn_protos(tls_.get(), reinterpret_cast<const unsigned char*>(protocols.data()),
                        static_cast<unsigned int>(protocols.size()));
  }
  SSL_set_fd(tls_.get(), socket_);
  const bool done = SSL_connect(tls_.get()) == 1;
  ERR_clear_error();
  return done ? SSL_get_version(tls_.get()) : "";
}

void RawPeer::UseCertificate(const TestCertificate& certificate) {
  const auto bio = [](const std::string& text) {
    return std::unique_ptr<BIO, decltype(&BIO_free_all)>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())),
                                                         &BIO_free_all);
  };
  const std::unique_ptr<X509, decltype(&X509_free)> leaf(
      PEM_read_bio_X509(bio(certificate.certificate_pem).get(), nullptr, nullptr, nullptr), &X509_free);
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      PEM_read_bio_PrivateKey(bio(certificate.key_pem).get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  EXPECT_EQ(SSL_CTX_use_certificate(context_.get(), leaf.get()), 1);
  EXPECT_EQ(SSL_CTX_use_PrivateKey(context_.get(), key.get()), 1);
}

bool RawPeer::TryWritePlain(const std::string& bytes) {
  return send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

void RawPeer::Write(const std::string& bytes) {
  EXPECT_EQ(SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size())), static_cast<int>(bytes.size()));
}

bool RawPeer::TryWrite(const std::string& bytes) {
  return SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size())) == static_cast<int>(bytes.size());
}

std::optional<std::string> RawPeer::ReadSome(std::chrono::milliseconds patience) {
  pollfd readable{socket_, POLLIN, 0};
  if (SSL_pending(tls_.get()) == 0 && poll(&readable, 1, static_cast<int>(patience.count())) == 0) return "";
  std::string bytes(16 << 10, '\0');
  const int got = SSL_read(tls_.get(), bytes.data(), static_cast<int>(bytes.size()));
  if (got <= 0) return std::nullopt;
  bytes.resize(static_cast<std::size_t>(got));
  return bytes;
}

bool RawPeer::Read(char* to, std::size_t size) {
  for (std::size_t got = 0; got < size;) {
    const int more = SSL_read(tls_.get(), to + got, static_cast<int>(size - got));
    if (more <= 0) return false;
    got += static_cast<std::size_t>(more);
  }
  return true;
}

std::optional<RawPeer::Frame> RawPeer::ReadFrame() {
  unsigned char head[9];
  if (!Read(reinterpret_cast<char*>(head), sizeof head)) return std::nullopt;
  Frame frame;
  frame.type = head[3];
  frame.payload.resize(std::size_t{head[0]} << 16 | std::size_t{head[1]} << 8 | std::size_t{head[2]});
  if (!Read(frame.payload.data(), frame.payload.size())) return std::nullopt;
  return frame;
}

}  // namespace tokenbroker
