#pragma once
// Testonly: a peer that speaks TCP, TLS and frames of HTTP/2 as a test likes, without gRPC.

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "tests/support/test_certificates.h"

namespace tokenbroker {

class RawPeer {
 public:
  struct Frame {
    int type = 0;
    std::string payload;
  };

  // Connects to the port on loopback. Reads wait for 30 s at most, writes for 2 s.
  explicit RawPeer(int port);
  ~RawPeer();
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;

  // Whether the other side closes the connection, of which nothing was said.
  bool IsPutOut() const;
  // With this certificate (empty: none), a version of TLS from `lowest` to `highest` (TLS1_2_VERSION) and one protocol
  // on offer (empty: none). The version; empty: refused. The server's certificate is not looked at, unless RequireTrust
  // was called; then it is rejected.
  std::string ShakeHands(const TestCertificate& certificate, int lowest, int highest,
                         const std::string& protocol = "h2");
  void RequireTrust() { requires_trust_ = true; }
  void Write(const std::string& bytes);
  // Without TLS. False if the connection has ended.
  bool TryWritePlain(const std::string& bytes);
  void WritePlain(const std::string& bytes) { EXPECT_TRUE(TryWritePlain(bytes)); }
  // False if the connection has ended.
  bool TryWrite(const std::string& bytes);
  // What has come, or comes within `patience`; std::nullopt if the connection has ended.
  std::optional<std::string> ReadSome(std::chrono::milliseconds patience);
  // Nothing, if the connection ended.
  std::optional<Frame> ReadFrame();

 private:
  void UseCertificate(const TestCertificate& certificate);
  bool Read(char* to, std::size_t size);

  int socket_ = -1;
  bool requires_trust_ = false;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_{nullptr, &SSL_CTX_free};
  std::unique_ptr<SSL, decltype(&SSL_free)> tls_{nullptr, &SSL_free};
};

}  // namespace tokenbroker
