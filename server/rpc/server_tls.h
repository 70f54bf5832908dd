#pragma once
// The server's certificate, its key and the authorities of its callers, which may be replaced while it runs: see
// server/files/watched_files.h. gRPC 1.51's own watcher ends the process at an empty file; so gRPC asks here, at each
// handshake, for the set that was last good (grpc_ssl_server_credentials_create_options_using_config_fetcher).

#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/files/watched_files.h"
#include "server/rpc/client_verifier.h"
#include "server/rpc/tls_files.h"

namespace tokenbroker {

// Thread-safe. Outlives the server that its credentials were given to.
class ServerTls {
 public:
  // Fails as ValidateServerTls does, or if a file cannot be read.
  static absl::StatusOr<std::unique_ptr<ServerTls>> Open(ServerTlsPaths paths, Clock& clock, Metrics& metrics,
                                                         Log& log);

  // What the names in clients' certificates are held against; null if the handshake says all.
  ClientVerifier* verifier() { return paths_.verifies_clients() ? &verifier_ : nullptr; }

  // `client_certificate_required`: a handshake without one fails. One that is shown must be good all the same.
  std::shared_ptr<grpc::ServerCredentials> Credentials(bool client_certificate_required);

 private:
  ServerTls(ServerTlsPaths paths, Clock& clock, Metrics& metrics, Log& log);
  absl::Status Take(const WatchedFiles::Contents& contents);
  // For gRPC; see grpc_ssl_server_certificate_config_callback.
  static grpc_ssl_certificate_config_reload_status Fetch(void* self, grpc_ssl_server_certificate_config** config);

  const ServerTlsPaths paths_;
  Metrics& metrics_;
  ClientVerifier verifier_;
  std::mutex mutex_;
  ServerTlsTexts texts_;          // The last good set.
  std::uint64_t version_ = 0;     // Of it.
  std::uint64_t handed_out_ = 0;  // The newest version that gRPC has.
  WatchedFiles files_;            // Last: it calls Take.
};

}  // namespace tokenbroker
