#include "server/http/get.h"

#include <algorithm>
#include <memory>
#include <string_view>

#include "server/base/error.h"
#include "server/base/net_text.h"
#include "server/http/curl.h"

namespace tokenbroker {
namespace {

struct Transfer {
  const HttpDocument& document;
  const std::atomic<bool>& stop;
  std::string body;
  bool too_long = false;
};

std::size_t TakeBody(char* data, std::size_t size, std::size_t count, void* raw) {
  auto* const transfer = static_cast<Transfer*>(raw);
  const std::size_t bytes = size * count;
  if (transfer->body.size() + bytes > transfer->document.most_bytes) {
    transfer->too_long = true;
    return 0;
  }
  transfer->body.append(data, bytes);
  return bytes;
}

int StopIfAsked(void* raw, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Transfer*>(raw)->stop ? 1 : 0;
}

std::string_view AboutStatus(long status) {
  if (status == 401 || status == 403) return "; it may want a bearer token, or another one";
  if (status >= 300 && status < 400) return "; redirects are not followed";
  return "";
}

}  // namespace

absl::StatusOr<std::string> HttpGet(const HttpDocument& document, const std::atomic<bool>& stop) {
  const auto failed = [&](std::string_view why) {
    return Error(absl::StatusCode::kUnavailable, "FETCH_FAILED", document.url + ": " + std::string(why));
  };
  InitCurl();
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy(curl_easy_init(), &curl_easy_cleanup);
  if (easy == nullptr) return failed("out of memory");
  const CurlPeer peer = {document.ca_file, "", document.url.starts_with("http://")};
  SetSafeOptions(easy.get(), peer);
  Transfer transfer = {document, stop, {}, false};
  char error[CURL_ERROR_SIZE] = {};
  curl_easy_setopt(easy.get(), CURLOPT_URL, document.url.c_str());
  curl_easy_setopt(easy.get(), CURLOPT_TIMEOUT_MS,
                   std::max<long>(1, static_cast<long>(duration_cast<milliseconds>(document.limit).count())));
  curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, &TakeBody);
  curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(easy.get(), CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(easy.get(), CURLOPT_XFERINFOFUNCTION, &StopIfAsked);
  curl_easy_setopt(easy.get(), CURLOPT_XFERINFODATA, &transfer);
  curl_easy_setopt(easy.get(), CURLOPT_ERRORBUFFER, error);
  CurlHeaders headers;
  headers.Add("Accept: application/json");
  headers.Add("User-Agent: tokenbroker");
  if (!document.bearer.empty()) headers.Add("Authorization: Bearer " + std::string(document.bearer.Reveal()));
  curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, headers.get());

  const CURLcode code = curl_easy_perform(easy.get());
  if (transfer.too_long) return failed("longer than " + std::to_string(document.most_bytes) + " bytes");
  if (code != CURLE_OK) return failed(error[0] != '\0' ? error : curl_easy_strerror(code));
  long status = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) return failed("answered " + std::to_string(status) + std::string(AboutStatus(status)));
  return std::move(transfer.body);
}

}  // namespace tokenbroker
