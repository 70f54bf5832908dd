#include "server/identity/key_fetcher.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <mutex>

#include "server/base/error.h"

namespace tokenbroker {
namespace {

constexpr char kIssuer[] = "https://issuer.test/sub";
constexpr char kDocumentUrl[] = "https://issuer.test/sub/.well-known/openid-configuration";
constexpr char kKeyUrl[] = "https://keys.test/jwks?p=1";

std::string Document(const std::string& issuer, const std::string& key_url) {
  return R"({"issuer":")" + issuer + R"(","jwks_uri":")" + key_url + R"(","scopes_supported":["openid"]})";
}

// What a web of servers answers, and what they were asked.
struct Web {
  std::mutex mutex;
  std::map<std::string, absl::StatusOr<std::string>> pages = {{kDocumentUrl, Document(kIssuer, kKeyUrl)},
                                                              {kKeyUrl, std::string("keys")}};
  std::vector<std::string> asked;  // URL, CA file and bearer.

  absl::StatusOr<std::string> Get(const HttpDocument& document) {
    const std::lock_guard lock(mutex);
    asked.push_back(document.url + " " + document.ca_file + " " + std::string(document.bearer.Reveal()));
    const auto found = pages.find(document.url);
    if (found == pages.end())
      return Error(absl::StatusCode::kUnavailable, "FETCH_FAILED", document.url + ": not there");
    return found->second;
  }
};

std::unique_ptr<KeyFetcher> Fetcher(Web& web, Discovery discovery = {kIssuer, kDocumentUrl, "", ""}) {
  return MakeDiscoveryKeyFetcher(std::move(discovery), [&web](const HttpDocument& document, const std::atomic<bool>&) {
    return web.Get(document);
  });
}

// The keys, or the error's text.
std::string Fetch(KeyFetcher& fetcher, bool rediscover = false) {
  std::promise<absl::StatusOr<std::string>> promise;
  std::future<absl::StatusOr<std::string>> future = promise.get_future();
  fetcher.Fetch(rediscover, [&promise](absl::StatusOr<std::string> keys) { promise.set_value(std::move(keys)); });
  if (future.wait_for(std::chrono::seconds(30)) != std::future_status::ready) std::abort();  // `promise` is in use.
  const absl::StatusOr<std::string> keys = future.get();
  if (keys.ok()) return *keys;
  EXPECT_EQ(ReasonOf(keys.status()), "FETCH_FAILED");
  EXPECT_TRUE(absl::IsUnavailable(keys.status()));
  return std::string(keys.status().message());
}

TEST(DiscoveryTest, UrlsAreMadeByTheStandard) {
  EXPECT_EQ(DiscoveryUrl("https://a"), "https://a/.well-known/openid-configuration");
  EXPECT_EQ(DiscoveryUrl("https://a/"), "https://a/.well-known/openid-configuration");
  EXPECT_EQ(DiscoveryUrl("https://a/b"), "https://a/b/.well-known/openid-configuration");
}

TEST(DiscoveryTest, TheDocumentIsAskedForOnceAndWhenItIsWanted) {
  Web web;
  const std::unique_ptr<KeyFetcher> fetcher = Fetcher(web);
  EXPECT_EQ(Fetch(*fetcher), "keys");
  EXPECT_EQ(Fetch(*fetcher), "keys");
  EXPECT_EQ(web.asked.size(), 3U);
  EXPECT_EQ(Fetch(*fetcher, true), "keys");
  EXPECT_EQ(web.asked.size(), 5U);
}

TEST(DiscoveryTest, KeysThatMovedAreFoundAgain) {
  Web web;
  const std::unique_ptr<KeyFetcher> fetcher = Fetcher(web);
  EXPECT_EQ(Fetch(*fetcher), "keys");
  web.pages.erase(kKeyUrl);
  web.pages.insert_or_assign(kDocumentUrl, Document(kIssuer, "https://elsewhere.test/.well-known/jwks.json"));
  web.pages.emplace("https://elsewhere.test/.well-known/jwks.json", std::string("moved"));
  EXPECT_EQ(Fetch(*fetcher), std::string(kKeyUrl) + ": not there");
  EXPECT_EQ(Fetch(*fetcher), "moved");
}

TEST(DiscoveryTest, WhatADocumentMayNotSay) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"<html>", "not one JSON object in one reading"},
      {"[]", "not one JSON object in one reading"},
      {R"({"issuer":"https://evil","issuer":"https://issuer.test/sub"})", "not one JSON object in one reading"},
      {Document("https://issuer.test/sub/", kKeyUrl),
       "it is the document of issuer 'https://issuer.test/sub/', not of 'https://issuer.test/sub'"},
      {Document("https://ISSUER.test/sub", kKeyUrl),
       "it is the document of issuer 'https://ISSUER.test/sub', not of "
       "'https://issuer.test/sub'"},
      {R"({"jwks_uri":"https://keys.test/jwks"})", "it is the document of issuer '', not of 'https://issuer.test/sub'"},
      {Document(kIssuer, "http://keys.test/"),
       "its jwks_uri 'http://keys.test/' is not https (http on loopback alone)"},
      {Document(kIssuer, "file:///etc/passwd"),
       "its jwks_uri 'file:///etc/passwd' is not https (http on loopback alone)"},
      {Document(kIssuer, "https://u:p@keys.test/"),
       "its jwks_uri 'https://u:p@keys.test/' is not https (http on loopback alone)"},
      {Document(kIssuer, "https://keys.test/?a#b"),
       "its jwks_uri 'https://keys.test/?a#b' is not https (http on loopback alone)"},
      {R"({"issuer":"https://issuer.test/sub"})", "its jwks_uri '' is not https (http on loopback alone)"},
  };
  for (const auto& [document, says] : cases) {
    Web web;
    web.pages.insert_or_assign(kDocumentUrl, document);
    EXPECT_EQ(Fetch(*Fetcher(web)), std::string(kDocumentUrl) + ": " + says);
    EXPECT_EQ(web.asked.size(), 1U);
  }
}

TEST(DiscoveryTest, LoopbackMaySpeakPlainHttp) {
  Web web;
  web.pages.insert_or_assign(kDocumentUrl, Document(kIssuer, "http://127.0.0.1:1/keys"));
  web.pages.emplace("http://127.0.0.1:1/keys", std::string("near"));
  EXPECT_EQ(Fetch(*Fetcher(web)), "near");
}

TEST(DiscoveryTest, TheBearerIsReadEachTime) {
  const std::string file = testing::TempDir() + "/bearer";
  Web web;
  const std::unique_ptr<KeyFetcher> fetcher = Fetcher(web, {kIssuer, kDocumentUrl, "ca.pem", file});
  std::ofstream(file) << "one\n";
  EXPECT_EQ(Fetch(*fetcher), "keys");
  std::ofstream(file) << "two\n";
  EXPECT_EQ(Fetch(*fetcher), "keys");
  const std::vector<std::string> asked = {std::string(kDocumentUrl) + " ca.pem one",
                                          std::string(kKeyUrl) + " ca.pem one", std::string(kKeyUrl) + " ca.pem two"};
  EXPECT_EQ(web.asked, asked);
  std::filesystem::remove(file);
  EXPECT_EQ(Fetch(*fetcher), std::string(kKeyUrl) + ": " + file + " cannot be read");
  EXPECT_EQ(web.asked.size(), 3U);
}

}  // namespace
}  // namespace tokenbroker
