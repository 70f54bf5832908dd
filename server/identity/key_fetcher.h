#pragma once
// Where an issuer's keys come from.

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "server/http/get.h"

namespace tokenbroker {

class KeyFetcher {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<std::string>)>;

  virtual ~KeyFetcher() = default;

  // Fetches the issuer's key set (JWKS) as a text; one fetch at a time. Calls `done` once, on any thread, never inside
  // the call, and within 20 s; if the fetcher is destroyed first, perhaps never, perhaps a little later. `rediscover`:
  // looks anew where the keys are; else the place of the last time may do. Errors are UNAVAILABLE, reason FETCH_FAILED,
  // in one sentence.
  virtual void Fetch(bool rediscover, Done done) = 0;
};

// OpenID Connect Discovery: a document that names the place of the keys.
struct Discovery {
  std::string issuer;       // The document's `issuer` must be this, byte for byte.
  std::string url;          // Of the document; see DiscoveryUrl.
  std::string ca_file;      // Authorities of both servers; empty: the system's.
  std::string bearer_file;  // A token that both servers are shown; empty: none. Read at each fetch, as ca_file is.
};

// Where an issuer's document is by the standard.
std::string DiscoveryUrl(const std::string& issuer);

// Waits on a thread of its own. `get`: HttpGet, or what a test puts in its place.
std::unique_ptr<KeyFetcher> MakeDiscoveryKeyFetcher(
    Discovery discovery,
    std::function<absl::StatusOr<std::string>(const HttpDocument&, const std::atomic<bool>&)> get = &HttpGet);

}  // namespace tokenbroker
