#pragma once
// Testonly: a peer that speaks HTTP/2 over TLS as badly as a test likes.

#include <openssl/ssl.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "server/rpc/raw_peer.h"

namespace tokenbroker {

class Http2Peer {
 public:
  // Shakes hands and sends its SETTINGS. What the server sends is answered by nobody: its SETTINGS, too, only if
  // `acknowledges`.
  Http2Peer(int port, const TestCertificate& certificate, bool acknowledges = true)
      : peer_(port), acknowledges_(acknowledges) {
    is_open_ = !peer_.ShakeHands(certificate, TLS1_2_VERSION, TLS1_2_VERSION).empty();
    Send(std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") + Frame(kSettings, 0, 0, ""));
  }

  // Until the server has ended the connection, as far as writes and Receive have shown.
  bool is_open() const { return is_open_; }

  // The frames of a call's beginning, without the end of the stream.
  static std::string Headers(std::uint32_t stream, std::string_view path, std::string_view encoding = "") {
    std::string block = "\x83\x87";  // POST, https.
    block += '\x04' + Text(path) + '\x01' + Text("broker") + "\x0f\x10" + Text("application/grpc");
    block += '\0' + Text("te") + Text("trailers");
    if (!encoding.empty()) block += '\0' + Text("grpc-encoding") + Text(encoding);
    return Frame(kHeaders, kEndHeaders, stream, block);
  }
  static std::string Reset(std::uint32_t stream) { return Frame(kRstStream, 0, stream, std::string("\0\0\0\x08", 4)); }
  static std::string Frame(int type, int flags, std::uint32_t stream, std::string_view payload) {
    std::string frame;
    for (const int shift : {16, 8, 0}) frame += static_cast<char>(payload.size() >> shift & 0xff);
    frame += static_cast<char>(type);
    frame += static_cast<char>(flags);
    for (const int shift : {24, 16, 8, 0}) frame += static_cast<char>(stream >> shift & 0xff);
    return frame.append(payload);
  }

  void Send(const std::string& bytes) { is_open_ = is_open_ && peer_.TryWrite(bytes); }

  // DATA, as far as flow control lets it out; false if the server grants nothing for a second.
  bool SendData(std::uint32_t stream, std::string_view data) {
    constexpr std::size_t kMaxFrame = 16 << 10;
    while (!data.empty() && is_open_) {
      const std::size_t part = std::min({data.size(), kMaxFrame, static_cast<std::size_t>(std::max(window_, 0L))});
      if (part == 0) {
        if (!Receive(std::chrono::milliseconds(1000))) return false;
        continue;
      }
      Send(Frame(kData, 0, stream, data.substr(0, part)));
      window_ -= static_cast<long>(part);
      data.remove_prefix(part);
    }
    return is_open_;
  }

  // Reads what has come, or comes within `patience`; false if that is nothing.
  bool Receive(std::chrono::milliseconds patience) {
    const std::optional<std::string> bytes = peer_.ReadSome(patience);
    is_open_ = is_open_ && bytes.has_value();
    if (!bytes.has_value() || bytes->empty()) return false;
    received_ += *bytes;
    while (received_.size() >= 9) {
      const std::size_t size = Number(0, 3);
      if (received_.size() < 9 + size) break;
      const int type = received_[3];
      const bool is_answer = (received_[4] & kAck) != 0;
      if (type == kSettings && !is_answer && acknowledges_) Send(Frame(kSettings, kAck, 0, ""));
      if (type == kWindowUpdate && Number(5, 4) == 0) window_ += static_cast<long>(Number(9, 4));
      received_.erase(0, 9 + size);
    }
    return true;
  }
  void ReceiveAll() {
    while (is_open_ && Receive(std::chrono::milliseconds(0))) {
    }
  }

  static constexpr int kData = 0, kHeaders = 1, kRstStream = 3, kSettings = 4, kPing = 6, kWindowUpdate = 8,
                       kContinuation = 9;
  static constexpr int kAck = 1, kEndHeaders = 4;

 private:
  // A literal without Huffman coding, shorter than 127 bytes.
  static std::string Text(std::string_view text) { return static_cast<char>(text.size()) + std::string(text); }
  std::size_t Number(std::size_t at, std::size_t size) const {
    std::size_t number = 0;
    for (std::size_t i = 0; i < size; ++i) number = number << 8 | static_cast<unsigned char>(received_[at + i]);
    return number;
  }

  RawPeer peer_;
  const bool acknowledges_;
  bool is_open_ = false;
  long window_ = 65535;  // Of the connection.
  std::string received_;
};

}  // namespace tokenbroker
