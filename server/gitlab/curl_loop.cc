#include "server/gitlab/curl_loop.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstring>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

#include "server/base/later.h"
#include "server/http/curl.h"

namespace tokenbroker {
namespace {

constexpr std::size_t kBodyMax = std::size_t{8} << 20;
constexpr std::size_t kHeadersMax = 200;
// Older connections are not used again: proxies in front of GitLab close idle ones after 65 s, some much earlier.
constexpr long kConnectionAge = 20;
// What was sent and not acknowledged for so long will not be: the connection is given up by the kernel.
constexpr unsigned kTcpUserTimeoutMs = 30'000;
constexpr std::size_t kIdleHandles = 256;
// Each transfer has both of these while it runs: with libcurl's own 16 and 64 KiB, thousands of them take hundreds of
// megabytes. An answer to a POST has less than 1 KiB; the second is the least that libcurl takes.
constexpr long kReceiveBuffer = 2048;
constexpr long kUploadBuffer = 16384;

}  // namespace

class CurlLoop::Impl {
 public:
  Impl(CurlLoopOptions options, Executor& executor, Clock& clock)
      : peer_{std::move(options.ca_file), std::move(options.proxy), options.plain_http},
        executor_(executor),
        clock_(clock) {
    InitCurl();
    multi_ = curl_multi_init();
    curl_multi_setopt(multi_, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    curl_multi_setopt(multi_, CURLMOPT_MAX_HOST_CONNECTIONS, static_cast<long>(options.max_connections));
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(options.max_connections));
    thread_ = std::thread(&Impl::Run, this);
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    curl_multi_wakeup(multi_);
    thread_.join();
    for (CURL* easy : idle_) curl_easy_cleanup(easy);
    curl_multi_cleanup(multi_);
  }

  static Task<HttpAnswer> Send(Impl* self, CallContext call, HttpRequest request) {
    auto transfer = std::make_shared<Transfer>();
    transfer->request = std::move(request);
    transfer->deadline = transfer->request.once ? kNever : call.deadline();
    const CallContext::Registration registration = self->CancelWith(call, transfer);
    Later<HttpAnswer> later(self->executor_, [self, &transfer](Later<HttpAnswer>::Done done) {
      transfer->done = std::move(done);
      self->Enqueue(transfer);
    });
    HttpAnswer answer = co_await later;
    co_return answer;
  }

 private:
  struct Transfer {
    HttpRequest request;
    BootTime deadline = kNever;
    Later<HttpAnswer>::Done done;
    HttpAnswer answer;
    CurlHeaders headers;
    std::size_t read = 0;  // Of the body, by libcurl.
    std::atomic<bool> cancel_asked = false;
    CURL* easy = nullptr;
    char error[CURL_ERROR_SIZE] = {};
  };

  void Enqueue(std::shared_ptr<Transfer> transfer) {
    {
      const std::lock_guard lock(mutex_);
      arrived_.push_back(std::move(transfer));
    }
    curl_multi_wakeup(multi_);
  }

  CallContext::Registration CancelWith(const CallContext& call, const std::shared_ptr<Transfer>& transfer) {
    if (transfer->request.once) return {};
    return call.OnCancel([this, weak = std::weak_ptr<Transfer>(transfer)] {
      if (const std::shared_ptr<Transfer> strong = weak.lock()) Cancel(strong);
    });
  }

  void Cancel(std::shared_ptr<Transfer> transfer) {
    transfer->cancel_asked = true;  // It may not have been begun yet.
    {
      const std::lock_guard lock(mutex_);
      cancelled_.push_back(std::move(transfer));
    }
    curl_multi_wakeup(multi_);
  }

  // --- The curl thread ---

  void Run() {
    for (;;) {
      std::vector<std::shared_ptr<Transfer>> arrived;
      std::vector<std::shared_ptr<Transfer>> cancelled;
      {
        const std::lock_guard lock(mutex_);
        if (stop_) return;
        arrived.swap(arrived_);
        cancelled.swap(cancelled_);
      }
      for (std::shared_ptr<Transfer>& transfer : arrived) Begin(std::move(transfer));
      for (const std::shared_ptr<Transfer>& transfer : cancelled) {
        if (transfer->easy == nullptr) continue;  // Ended already.
        transfer->answer.cancelled = true;
        End(transfer->easy, CURLE_ABORTED_BY_CALLBACK);
      }
      int running = 0;
      curl_multi_perform(multi_, &running);
      int left = 0;
      while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
        if (message->msg == CURLMSG_DONE) End(message->easy_handle, message->data.result);
      }
      curl_multi_poll(multi_, nullptr, 0, 1000, nullptr);
    }
  }

  void Begin(std::shared_ptr<Transfer> transfer) {
    const BootTime now = clock_.Boot();
    const HttpRequest& request = transfer->request;
    if (transfer->cancel_asked) {
      transfer->answer.cancelled = true;
      return Finish(*transfer);
    }
    if (now >= request.send_before || now >= transfer->deadline) {
      transfer->answer.error = "it was too late to send it";
      return Finish(*transfer);
    }
    if (idle_.empty()) {
      CURL* fresh = curl_easy_init();
      if (fresh == nullptr) {
        transfer->answer.error = "out of memory";
        return Finish(*transfer);
      }
      idle_.push_back(fresh);
    }
    CURL* easy = idle_.back();
    idle_.pop_back();
    Duration limit = request.limit;
    if (transfer->deadline != kNever) limit = std::min(limit, transfer->deadline - now);
    SetUp(easy, *transfer, limit);
    transfer->easy = easy;
    curl_multi_add_handle(multi_, easy);
    active_.emplace(easy, std::move(transfer));
  }

  void SetUp(CURL* easy, Transfer& transfer, Duration limit) {
    const HttpRequest& request = transfer.request;
    curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
    SetSafeOptions(easy, peer_);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, kConnectionAge);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, kReceiveBuffer);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, kUploadBuffer);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                     std::max<long>(1, static_cast<long>(duration_cast<milliseconds>(limit).count())));
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, &SetSocketOptions);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &TakeBody);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &TakeHeader);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.error);

    transfer.headers.Add("PRIVATE-TOKEN: " + std::string(request.token.Reveal()));
    transfer.headers.Add("Accept: application/json");
    transfer.headers.Add("User-Agent: tokenbroker");
    if (request.method != "GET") {
      transfer.headers.Add("Content-Type: application/json");
      transfer.headers.Add("Expect:");
      curl_easy_setopt(easy, CURLOPT_POST, 1L);
      curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
      if (request.once) {
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, &GiveBody);
        curl_easy_setopt(easy, CURLOPT_READDATA, &transfer);
        curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, &RefuseToRewind);
      } else {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.c_str());
        if (request.method != "POST") curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
      }
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer.headers.get());
  }

  void End(CURL* easy, CURLcode code) {
    const auto found = active_.find(easy);
    if (found == active_.end()) return;
    const std::shared_ptr<Transfer> transfer = std::move(found->second);
    active_.erase(found);
    long sent_bytes = 0;
    curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &sent_bytes);
    transfer->answer.sent = sent_bytes > 0 || transfer->read > 0;
    if (code == CURLE_OK) {
      long status = 0;
      curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
      transfer->answer.status = static_cast<int>(status);
    } else {
      transfer->answer.error = transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(code);
    }
    curl_multi_remove_handle(multi_, easy);
    transfer->easy = nullptr;
    curl_easy_reset(easy);  // Keeps nothing of this request; the connection is the multi handle's.
    if (idle_.size() < kIdleHandles) {
      idle_.push_back(easy);
    } else {
      curl_easy_cleanup(easy);
    }
    Finish(*transfer);
  }

  static void Finish(Transfer& transfer) { transfer.done(std::move(transfer.answer)); }

  // --- libcurl's callbacks ---

  static std::size_t TakeBody(char* data, std::size_t size, std::size_t count, void* raw) {
    std::string& body = static_cast<Transfer*>(raw)->answer.body;
    const std::size_t bytes = size * count;
    if (body.size() + bytes > kBodyMax) return 0;
    if (body.size() + bytes > body.capacity()) {
      // Growing by hand: what the old buffer held must not stay behind.
      std::string larger;
      larger.reserve(std::max<std::size_t>(4096, 2 * (body.size() + bytes)));
      larger = body;
      Wipe(body);
      body.swap(larger);
    }
    body.append(data, bytes);
    return bytes;
  }

  static std::size_t TakeHeader(char* data, std::size_t size, std::size_t count, void* raw) {
    std::map<std::string, std::string>& headers = static_cast<Transfer*>(raw)->answer.headers;
    const std::string_view line(data, size * count);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || headers.size() >= kHeadersMax) return line.size();
    std::string name(line.substr(0, colon));
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
    while (!value.empty() && std::strchr(" \t\r\n", value.back()) != nullptr) value.remove_suffix(1);
    headers[std::move(name)] = std::string(value);
    return line.size();
  }

  static std::size_t GiveBody(char* out, std::size_t size, std::size_t count, void* raw) {
    auto* transfer = static_cast<Transfer*>(raw);
    const std::string& body = transfer->request.body;
    const std::size_t bytes = std::min(size * count, body.size() - transfer->read);
    std::copy_n(body.data() + transfer->read, bytes, out);
    transfer->read += bytes;
    return bytes;
  }

  static int RefuseToRewind(void*, curl_off_t, int) { return CURL_SEEKFUNC_FAIL; }

  static int SetSocketOptions(void*, curl_socket_t socket, curlsocktype) {
    setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &kTcpUserTimeoutMs, sizeof kTcpUserTimeoutMs);
    return CURL_SOCKOPT_OK;
  }

  const CurlPeer peer_;
  Executor& executor_;
  Clock& clock_;
  CURLM* multi_ = nullptr;
  std::vector<CURL*> idle_;  // Dear to make, cheap to reset.
  std::map<CURL*, std::shared_ptr<Transfer>> active_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<Transfer>> arrived_;
  std::vector<std::shared_ptr<Transfer>> cancelled_;
  bool stop_ = false;
  std::thread thread_;
};

CurlLoop::CurlLoop(CurlLoopOptions options, Executor& executor, Clock& clock)
    : impl_(std::make_unique<Impl>(std::move(options), executor, clock)) {}

CurlLoop::~CurlLoop() = default;

Task<HttpAnswer> CurlLoop::Send(CallContext call, HttpRequest request) {
  return Impl::Send(impl_.get(), std::move(call), std::move(request));
}

}  // namespace tokenbroker
