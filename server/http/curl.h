#pragma once
// What every transfer by libcurl has in common here: verified TLS 1.2 or later, no redirect, no proxy that the
// environment names, no netrc, one scheme.

#include <curl/curl.h>

#include <string>

namespace tokenbroker {

// Before the first handle is made. Any number of times, on any thread.
void InitCurl();

struct CurlPeer {
  std::string ca_file;      // Empty: the system's authorities.
  std::string proxy;        // Empty: none.
  bool plain_http = false;  // http is spoken, and https not; for loopback alone.
};
// `peer` must stay unchanged while the handle uses it.
void SetSafeOptions(CURL* easy, const CurlPeer& peer);

// A list of header lines; wiped when it goes, since one of them may hold a credential.
class CurlHeaders {
 public:
  CurlHeaders() = default;
  CurlHeaders(const CurlHeaders&) = delete;
  CurlHeaders& operator=(const CurlHeaders&) = delete;
  ~CurlHeaders();

  // Wipes `line`.
  void Add(std::string line);
  curl_slist* get() const { return list_; }

 private:
  curl_slist* list_ = nullptr;
};

}  // namespace tokenbroker
