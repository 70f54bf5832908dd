#pragma once
// Which authorities vouch for the names in a client's certificate, and whether it was revoked. The handshake has
// verified it against all authorities together; here each name is held against its own.

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "server/rpc/tls_files.h"

namespace tokenbroker {

struct ClientVerdict {
  bool spiffe_vouched = false;  // By an authority of the SPIFFE id's trust domain.
  bool dns_vouched = false;     // By an authority of listen.client_ca_file.
  bool revoked = false;         // It, or an authority above it, by a list of listen.client_crl_file.
};

// The authorities of one reading of the files. Immutable.
class ClientAuthorities {
 public:
  // INVALID_ARGUMENT names the file and the cause.
  static absl::StatusOr<std::shared_ptr<const ClientAuthorities>> Parse(const ServerTlsPaths& paths,
                                                                        const ServerTlsTexts& texts);
  ~ClientAuthorities();

  // `leaf_pem`: the certificate; `chain_pem`: what the peer sent with it, in any order, with or without the
  // certificate; `trust_domain`: of its SPIFFE id; empty: it has none.
  ClientVerdict Verify(const std::string& leaf_pem, const std::string& chain_pem, std::string_view trust_domain) const;

 private:
  struct State;
  explicit ClientAuthorities(std::unique_ptr<const State> state);

  const std::unique_ptr<const State> state_;
};

// Thread-safe. Remembers verdicts, since a connection shows the same certificate with every call; and chains, since
// OpenSSL keeps none in a session that is resumed. Both as long as few enough other certificates are shown: the newest
// 4096 at least.
class ClientVerifier {
 public:
  // What was remembered of others is forgotten, but for the chains.
  void Use(std::shared_ptr<const ClientAuthorities> authorities);

  ClientVerdict Verify(const std::string& leaf_pem, const std::string& chain_pem, std::string_view trust_domain);

 private:
  struct Known {
    std::string chain_pem;
    ClientVerdict verdict;
    std::uint64_t version = 0;  // Of the authorities.
  };
  using Generation = std::unordered_map<std::string, Known>;

  void Remember(const std::string& leaf_pem, Known known);  // With the mutex held.
  const Known* Find(const std::string& leaf_pem) const;     // With the mutex held.

  std::mutex mutex_;
  std::shared_ptr<const ClientAuthorities> authorities_;
  std::uint64_t version_ = 0;
  Generation newer_, older_;
};

}  // namespace tokenbroker
