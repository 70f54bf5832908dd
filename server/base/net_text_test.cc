#include "server/base/net_text.h"

#include <gtest/gtest.h>

namespace tokenbroker {
namespace {

TEST(NetTextTest, Urls) {
  for (const char* good :
       {"https://gitlab.example.com", "https://gitlab.example.com/", "https://g:8443/sub/path", "https://10.0.0.1",
        "https://[2001:db8::1]:443", "http://127.0.0.1:80", "http://127.9.9.9", "http://localhost:3000",
        "http://[::1]:3000", "http://[::1]", "https://g/.well-known/x", "https://g/a..b/.c"}) {
    EXPECT_EQ(UrlProblem(good), "") << good;
  }
  for (const char* bad : {"",
                          "https://",
                          "https:///x",
                          "HTTPS://g",
                          "ftp://g",
                          "http://10.0.0.1",
                          "http://128.0.0.1",
                          "http://127.1",
                          "http://localhost.example.com",
                          "http://127.0.0.1.example.com",
                          "http://[::2]",
                          "http://2130706433",
                          "http://0x7f.0.0.1",
                          "https://0x7f000001",
                          "https://g?x",
                          "https://g#x",
                          "https://u:p@g",
                          "http://localhost@evil",
                          "https://g:0",
                          "https://g:65536",
                          "https://g:",
                          "https://g:x",
                          "https://g h",
                          "https://[::1",
                          "https://g//x",
                          "https://g/../x",
                          "https://g/x/..",
                          "https://g/./x",
                          "https://g/.",
                          "https://g\\@evil",
                          "https://a..b"}) {
    EXPECT_NE(UrlProblem(bad), "") << bad;
  }
}

TEST(NetTextTest, HostPorts) {
  for (const char* good : {"0.0.0.0:0", "[::]:8443", "localhost:65535", "a-b.c:1"})
    EXPECT_TRUE(IsHostPort(good)) << good;
  for (const char* bad : {"", ":1", "a", "a:", "a:-1", "a:+1", "a:65536", "a:000001", "::1:80", "[::1]", "[a]:1",
                          "256.0.0.1:1", "a b:1", "unix:/x"}) {
    EXPECT_FALSE(IsHostPort(bad)) << bad;
  }
}

TEST(NetTextTest, Proxies) {
  for (const char* good : {"http://proxy:3128", "http://10.0.0.1:80/", "http://[::1]:1"}) EXPECT_TRUE(IsProxyUrl(good));
  for (const char* bad :
       {"", "proxy:3128", "http://proxy", "https://proxy:1", "http://u@proxy:1", "http://proxy:1/x"}) {
    EXPECT_FALSE(IsProxyUrl(bad)) << bad;
  }
}

}  // namespace
}  // namespace tokenbroker
