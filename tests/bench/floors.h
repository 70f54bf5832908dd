#pragma once
// What no broker on this machine could be faster than: the disk's own pace, and GitLab asked directly.

#include <curl/curl.h>

#include <map>
#include <string>

#include "tests/bench/measure.h"

namespace tokenbroker::bench {

enum class DiskWrite { kAppend, kOverwrite };
// Writes 4 KiB and waits for the disk, again and again, in a file of its own in `folder`.
Figures SyncToDisk(const std::string& folder, DiskWrite kind, Span span);

struct DirectPost {
  std::string url;
  std::string token;  // The PRIVATE-TOKEN.
  std::string body;
};

// The same POST again and again from a bare loop over libcurl's multi interface, on connections that it keeps.
class DirectLoop {
 public:
  DirectLoop(const DirectPost& post, int in_flight);
  ~DirectLoop();
  DirectLoop(const DirectLoop&) = delete;
  DirectLoop& operator=(const DirectLoop&) = delete;

  // A POST that is not answered 201 ends the process.
  Figures Run(Span span);

 private:
  CURL* MakeHandle(const DirectPost& post) const;
  void Send(CURL* easy);

  CURLM* const multi_;
  curl_slist* headers_ = nullptr;
  std::map<CURL*, Clock::time_point> began_;
};

}  // namespace tokenbroker::bench
