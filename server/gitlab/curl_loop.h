#pragma once
// HTTP/1.1 without a thread per request: one thread runs libcurl's multi interface over pooled keep-alive connections.
// What libcurl does behind one's back, beside what server/http/curl.h keeps it from: it repeats a request by itself
// when a reused connection dies before the first byte of an answer, POST too, and reports success. A body that must
// leave once therefore comes from a callback that yields it once and refuses to be rewound: the repeat then fails with
// an error of its own, which is an unknown end.

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "server/base/call_context.h"
#include "server/base/clock.h"
#include "server/base/executor.h"
#include "server/base/secret.h"
#include "server/base/task.h"

namespace tokenbroker {

struct HttpRequest {
  std::string method;
  std::string url;
  Secret token;      // Sent as PRIVATE-TOKEN.
  std::string body;  // JSON; sent by everything but GET.

  // A POST that must not leave twice, and not after `send_before`. Its time is `limit` alone; nobody cancels it.
  bool once = false;
  BootTime send_before = kNever;
  Duration limit = seconds(60);
};

struct HttpAnswer {
  // 0: there was none, see `error`.
  int status = 0;
  std::string body;                            // May hold a secret: wipe it.
  std::map<std::string, std::string> headers;  // Names in lower case; of a repeated one the last.
  std::string error;
  // Whether anything of the request may have left this process.
  bool sent = false;
  bool cancelled = false;

  std::string_view header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string_view() : std::string_view(found->second);
  }
};

struct CurlLoopOptions {
  std::string ca_file;      // Empty: the system's authorities.
  std::string proxy;        // Empty: none.
  bool plain_http = false;  // http is spoken; for loopback alone.
  int max_connections = 64;
};

// Thread-safe. Every task must have ended before it is destroyed.
class CurlLoop {
 public:
  CurlLoop(CurlLoopOptions options, Executor& executor, Clock& clock);
  ~CurlLoop();

  // Sends one request and answers when it ended. A request that is not `once` ends by call.deadline() and when the call
  // is cancelled.
  Task<HttpAnswer> Send(CallContext call, HttpRequest request);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tokenbroker
