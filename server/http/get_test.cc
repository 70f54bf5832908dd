#include "server/http/get.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "server/base/error.h"
#include "tests/support/test_certificates.h"
#include "tests/support/test_web_server.h"

namespace tokenbroker {
namespace {

class HttpGetTest : public testing::Test {
 protected:
  HttpGetTest() : ca_file_(testing::TempDir() + "/ca.pem") { WriteFileOrDie(ca_file_, authority_.certificate_pem()); }

  HttpDocument Document(const std::string& url) const {
    HttpDocument document;
    document.url = url;
    document.ca_file = ca_file_;
    return document;
  }
  // The body, or the error's text.
  std::string Get(const HttpDocument& document) const {
    const absl::StatusOr<std::string> body = HttpGet(document, stop_);
    if (body.ok()) return *body;
    EXPECT_TRUE(absl::IsUnavailable(body.status()));
    EXPECT_EQ(ReasonOf(body.status()), "FETCH_FAILED");
    return std::string(body.status().message());
  }
  TestAuthority authority_;
  const TestCertificate certificate_ = authority_.Issue(ServerSpec());
  const std::string ca_file_;
  std::atomic<bool> stop_ = false;
};

TEST_F(HttpGetTest, FetchesOverTlsAndOverLoopback) {
  const auto handler = [](const TestWebServer&, const TestWebServer::Request& request) {
    return TestWebServer::Answer{200, request.path + " " + request.authorization, ""};
  };
  const TestWebServer tls(&certificate_, handler);
  const TestWebServer plain(nullptr, handler);
  EXPECT_EQ(Get(Document(tls.url() + "/a?b=c")), "/a?b=c ");
  EXPECT_EQ(Get(Document(plain.url() + "/")), "/ ");
  HttpDocument with_bearer = Document(tls.url() + "/");
  with_bearer.bearer = Secret("word");
  EXPECT_EQ(Get(with_bearer), "/ Bearer word");
}

TEST_F(HttpGetTest, RefusesEveryOtherAnswer) {
  const TestWebServer server(&certificate_,
                             [](const TestWebServer&, const TestWebServer::Request& request) -> TestWebServer::Answer {
                               if (request.path == "/moved") return {302, "", "Location: /\r\n"};
                               if (request.path == "/closed") return {401, "secret", ""};
                               if (request.path == "/none") return {204, "", ""};
                               return {200, std::string(1000, 'x'), ""};
                             });
  const auto get = [&](const std::string& path) { return Get(Document(server.url() + path)); };
  EXPECT_EQ(get("/moved"), server.url() + "/moved: answered 302; redirects are not followed");
  EXPECT_EQ(get("/closed"), server.url() + "/closed: answered 401; it may want a bearer token, or another one");
  EXPECT_EQ(get("/none"), server.url() + "/none: answered 204");
  EXPECT_EQ(server.requests(), 3);
  HttpDocument document = Document(server.url() + "/long");
  document.most_bytes = 1000;
  EXPECT_EQ(Get(document), std::string(1000, 'x'));
  document.most_bytes = 999;
  EXPECT_EQ(Get(document), server.url() + "/long: longer than 999 bytes");
}

TEST_F(HttpGetTest, TrustsNobodyElse) {
  const auto handler = [](const auto&, const auto&) { return TestWebServer::Answer{200, "evil", ""}; };
  TestAuthority other("Another authority");
  const TestCertificate strange = other.Issue(ServerSpec());
  const TestWebServer stranger(&strange, handler);
  EXPECT_NE(Get(Document(stranger.url())).find("certificate"), std::string::npos);
  const TestCertificate misnamed = authority_.Issue(ClientSpec("spiffe://test/x"));
  const TestWebServer another_name(&misnamed, handler);
  EXPECT_NE(Get(Document(another_name.url())).find("subject name"), std::string::npos)
      << Get(Document(another_name.url()));
  HttpDocument by_the_system = Document(stranger.url());
  by_the_system.ca_file = "";
  EXPECT_NE(Get(by_the_system).find("certificate"), std::string::npos);
  EXPECT_EQ(stranger.requests() + another_name.requests(), 0);
}

TEST_F(HttpGetTest, ObeysNoProxyOfTheEnvironment) {
  const TestWebServer server(nullptr, [](const auto&, const auto&) {
    return TestWebServer::Answer{200, "direct", ""};
  });
  const TestWebServer proxy(nullptr, [](const auto&, const auto&) {
    return TestWebServer::Answer{200, "proxied", ""};
  });
  for (const char* name : {"http_proxy", "HTTPS_PROXY", "ALL_PROXY"}) setenv(name, proxy.url().c_str(), 1);
  EXPECT_EQ(Get(Document(server.url())), "direct");
  for (const char* name : {"http_proxy", "HTTPS_PROXY", "ALL_PROXY"}) unsetenv(name);
}

TEST_F(HttpGetTest, GivesUpByItsLimitAndWhenItIsTold) {
  std::atomic<bool> arrived = false;
  const TestWebServer server(&certificate_, [&](const TestWebServer& itself, const auto&) {
    arrived = true;
    arrived.notify_all();
    itself.WaitForTheEnd();
    return TestWebServer::Answer();
  });
  HttpDocument document = Document(server.url());
  document.limit = milliseconds(200);
  EXPECT_NE(Get(document).find("timed out"), std::string::npos);

  arrived = false;
  document.limit = seconds(600);
  std::thread stopper([&] {
    arrived.wait(false);
    stop_ = true;
  });
  const auto began = std::chrono::steady_clock::now();
  EXPECT_NE(Get(document).find("aborted"), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(30));
  stopper.join();
}

}  // namespace
}  // namespace tokenbroker
