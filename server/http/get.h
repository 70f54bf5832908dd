#pragma once
// One small document over HTTP, waited for: for what is fetched rarely, on a thread that may wait.

#include <atomic>
#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/secret.h"

namespace tokenbroker {

struct HttpDocument {
  std::string url;               // https, or http on loopback.
  std::string ca_file;           // Empty: the system's authorities. Read anew each time.
  Secret bearer;                 // Sent as Authorization: Bearer; empty: none is.
  Duration limit = seconds(10);  // From the first step to the last byte.
  std::size_t most_bytes = std::size_t{256} << 10;
};

// Fetches it. Ends early, within about a second, once `stop` is true. UNAVAILABLE, reason FETCH_FAILED, naming the URL,
// if anything but a whole answer of status 200 comes: redirects are not followed. The bearer is never in an error.
absl::StatusOr<std::string> HttpGet(const HttpDocument& document, const std::atomic<bool>& stop);

}  // namespace tokenbroker
