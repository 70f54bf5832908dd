#pragma once
// Calls a token broker from C++: a thin layer over the generated stub that does what every caller would otherwise have
// to get right: mutual TLS from files that change, deadlines, a request_id, retries that are safe, a secret that is
// not copied about.
//
//   absl::StatusOr<std::unique_ptr<TokenClient>> client = MakeTokenClient(options);
//   v1::Token spec;
//   spec.set_display_name("nightly build");
//   ...
//   absl::StatusOr<CreatedToken> made = (*client)->Create(spec, {}, DeadlineIn(seconds(30)));
//   if (!made.ok()) return made.status();         // CallErrorOf(status) has the reason and the fields.
//   UseToken(made->secret.Reveal());
//   (*client)->Revoke(made->token.name(), DeadlineIn(seconds(30)));
//
// Threads: every call may be made from any number of threads at once; calls share one connection. All of them block the
// calling thread, at the latest until their deadline (and the time of reading some small files).
//
// Deadlines are absolute, on the steady clock; each call has one. It travels to the broker, which refuses a Create with
// less than 2 s left. A Create whose deadline passes may have made a token: call again with the request_id of the
// error, or leave it to its ttl.
//
// Retries: UNAVAILABLE, and ABORTED with a retry delay, are tried again while the deadline allows, at most
// options.retry.max_attempts times in all; a Create then sends the same request_id, so that no second live token
// can come of it. gRPC's own retries are off, and so are service configurations from DNS.
//
// Files: certificate, key and CA are read again when a call finds that the last reading is older than
// options.reread_interval (one minute); changed files give a new connection, calls under way keep theirs. While a file
// cannot be read, or key and certificate do not fit together, the last good ones serve on, and failures say so.
// UNAUTHENTICATED is answered by reading once more and sending the call once more on a new connection.
//
// Proxies: none is ever used. gRPC by itself obeys https_proxy, http_proxy, grpc_proxy and no_proxy of the environment;
// this library switches that off, since nobody chose those for a channel that carries secrets. GRPC_TRACE and a
// debugging GRPC_VERBOSITY make gRPC print what it sends, secrets included: do not set them in production.

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/call_error.h"
#include "client/retry.h"
#include "server/base/clock.h"
#include "server/base/secret.h"
#include "tokenbroker/v1/token.pb.h"
#include "tokenbroker/v1/token_service.pb.h"

namespace tokenbroker {

using Deadline = std::chrono::steady_clock::time_point;

inline Deadline DeadlineIn(Duration from_now) { return std::chrono::steady_clock::now() + from_now; }

struct TokenClientOptions {
  // "host:port", as the broker's certificate names the host; the port is 1 to 65535, an IPv6 address is in brackets. No
  // scheme of gRPC's (dns:, unix:) is accepted. Required, as are the authority and one way to say who we
  // are: certificate and key, a bearer token, or both where the broker's policy asks for both.
  std::string address;
  std::string ca_file;           // PEM: whoever signed the broker's certificate.
  std::string certificate_file;  // PEM: ours, followed by what lies between it and the authority.
  std::string key_file;          // PEM, without a passphrase.
  // A signed token (JWT), one line: Kubernetes' projected service-account token, a GitLab CI id token. Read again like
  // the others, and when the broker refuses it.
  std::string bearer_file;

  Duration reread_interval = minutes(1);
  RetryPolicy retry;
};

struct CreateOptions {
  // An UUID of version 4; made by the call if empty. Give one to repeat an earlier Create.
  std::string request_id;
  // Check everything, make nothing: the answer has neither secret nor name.
  bool validate_only = false;
};

// Move-only, because of the secret.
struct CreatedToken {
  v1::Token token;
  Secret secret;  // Shown this once; empty after validate_only.
  std::string request_id;
};

struct ListOptions {
  int page_size = 0;  // 0: the broker's default (50); at most 1000.
  std::string page_token;
  bool show_closed = false;
  // As proto/tokenbroker/v1/token_service.proto has them: "state = ACTIVE AND scopes:api"; "expire_time".
  std::string filter, order_by;
};

struct TokenPage {
  std::vector<v1::Token> tokens;
  std::string next_page_token;  // Empty on the last page. A page may be empty without being the last.
};

// Abstract, so that whoever uses it can be tested without a broker.
class TokenClient {
 public:
  virtual ~TokenClient() = default;

  // Mints a token: display_name, target, scopes and expiration are required. See the top for repeats.
  virtual absl::StatusOr<CreatedToken> Create(const v1::Token& spec, const CreateOptions& options,
                                              Deadline deadline) = 0;

  // `name` is "tokens/{id}".
  virtual absl::StatusOr<v1::Token> Get(const std::string& name, Deadline deadline) = 0;

  // One page, newest first unless options say otherwise.
  virtual absl::StatusOr<TokenPage> List(const ListOptions& options, Deadline deadline) = 0;

  // OK means that the revocation is durably decided; the token's state says whether it is proved dead yet. Idempotent.
  virtual absl::StatusOr<v1::Token> Revoke(const std::string& name, Deadline deadline) = 0;

  // Who the broker says we are, and what we may do.
  virtual absl::StatusOr<v1::Caller> GetCaller(Deadline deadline) = 0;

  // What the broker's policy would say to a token like `spec`, and the closest one that it would allow; a denial is no
  // failure. `verb` is "create" unless given otherwise; see CheckAccess in proto/tokenbroker/v1/token_service.proto.
  virtual absl::StatusOr<v1::CheckAccessResponse> CheckAccess(const v1::Token& spec, const std::string& verb,
                                                              Deadline deadline) = 0;

  // All pages from options.page_token on, as one list in memory; options.page_size is not heeded. Begins again, once,
  // if a restart of the broker has made a page token invalid.
  absl::StatusOr<std::vector<v1::Token>> ListAll(ListOptions options, Deadline deadline);
  // All of the caller's tokens and those that it may read.
  absl::StatusOr<std::vector<v1::Token>> ListAll(bool show_closed, Deadline deadline);
};

// Reads the files and prepares a connection, which is made with the first call. Fails if an option is empty or
// malformed or if a file is missing or not what it should be; the message names it, and the metadata "option" of
// CallErrorOf is the member of TokenClientOptions.
absl::StatusOr<std::unique_ptr<TokenClient>> MakeTokenClient(TokenClientOptions options);

}  // namespace tokenbroker
