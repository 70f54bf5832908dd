#pragma once
// The gRPC server: mutual TLS, or TLS with bearer tokens; bounded in every direction, with health and reflection.

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/rpc/reception.h"
#include "server/rpc/tls_files.h"

namespace tokenbroker {

struct RpcServerOptions {
  std::string address;  // "host:port"; port 0: any free one.
  // PEM files. Read again within seconds when they change; connections that are open keep what they have, for at most
  // max_connection_age.
  std::string certificate_file, key_file, client_ca_file;
  std::vector<TrustDomainFile> trust_domains;  // Empty: the authorities in client_ca_file vouch for all of them.
  std::string client_crl_file;                 // Empty: none.
  Duration max_connection_age = hours(1);
  // Whether a handshake without a client certificate is taken; then a bearer token must say who calls. A certificate
  // that is shown must be good all the same.
  bool client_certificate_required = true;
  int max_connections = 1000;                // More are closed as they come.
  Duration handshake_timeout = seconds(20);  // For TLS and HTTP/2.
  ReceptionOptions callers;
};

class RpcServer {
 public:
  // Serves on return. Fails, in one sentence that names file or address, if a file cannot be used, if key and
  // certificate are no pair, or if the port is taken: never shared with another process.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(const RpcServerOptions& options, ServiceParts parts);
  virtual ~RpcServer() = default;

  virtual int port() const = 0;

  // Tells health checks that it goes, takes no new calls, and waits up to `patience` for those that run.
  virtual void Shutdown(Duration patience) = 0;
};

}  // namespace tokenbroker
