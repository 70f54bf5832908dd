#include "server/http/curl.h"

#include "server/base/secret.h"

namespace tokenbroker {
namespace {

void Blot(char* text) {
  volatile char* byte = text;
  while (*byte != '\0') *byte++ = 'x';
}

}  // namespace

void InitCurl() {
  static const bool done = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  (void)done;
}

void SetSafeOptions(CURL* easy, const CurlPeer& peer) {
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, peer.plain_http ? "http" : "https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(easy, CURLOPT_PROXY, peer.proxy.c_str());
  curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
  if (!peer.ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, peer.ca_file.c_str());
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, 10'000L);
}

CurlHeaders::~CurlHeaders() {
  for (curl_slist* each = list_; each != nullptr; each = each->next) Blot(each->data);
  curl_slist_free_all(list_);
}

void CurlHeaders::Add(std::string line) {
  list_ = curl_slist_append(list_, line.c_str());
  Wipe(line);
}

}  // namespace tokenbroker
