#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "server/base/error.h"
#include "server/base/net_text.h"
#include "server/base/secret_file.h"
#include "server/identity/jwt.h"
#include "server/identity/key_fetcher.h"
#include "server/identity/strict_json.h"

namespace tokenbroker {
namespace {

constexpr std::size_t kMostDocumentBytes = std::size_t{64} << 10;
// One more byte than a key set may have, so that a longer one is told as such.
constexpr std::size_t kMostKeySetBytes = KeySet::kMostBytes + 1;

absl::Status Failed(const std::string& url, const std::string& what) {
  return Error(absl::StatusCode::kUnavailable, "FETCH_FAILED", url + ": " + what);
}

// A key set's URL may have a query, unlike those of our own configuration.
bool IsGoodKeyUrl(std::string_view url) {
  const std::size_t query = std::min(url.find('?'), url.size());
  return UrlProblem(url.substr(0, query)).empty() &&
         std::all_of(url.begin() + static_cast<std::ptrdiff_t>(query), url.end(),
                     [](char each) { return each > ' ' && each <= '~' && each != '#'; });
}

using Get = std::function<absl::StatusOr<std::string>(const HttpDocument&, const std::atomic<bool>&)>;

class DiscoveryKeyFetcher final : public KeyFetcher {
 public:
  DiscoveryKeyFetcher(Discovery discovery, Get get)
      : discovery_(std::move(discovery)), get_(std::move(get)), thread_(&DiscoveryKeyFetcher::Run, this) {}

  ~DiscoveryKeyFetcher() override {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    more_.notify_one();
    thread_.join();
  }

  void Fetch(bool rediscover, Done done) override {
    {
      const std::lock_guard lock(mutex_);
      asked_ = Asked{rediscover, std::move(done)};
    }
    more_.notify_one();
  }

 private:
  struct Asked {
    bool rediscover = false;
    Done done;
  };

  void Run() {
    for (;;) {
      std::optional<Asked> asked;
      {
        std::unique_lock lock(mutex_);
        more_.wait(lock, [this] { return stop_ || asked_.has_value(); });
        if (stop_) return;
        asked = std::exchange(asked_, std::nullopt);
      }
      absl::StatusOr<std::string> keys = Keys(asked->rediscover);
      if (!keys.ok()) key_url_.clear();  // It may have moved.
      if (stop_) return;
      asked->done(std::move(keys));
    }
  }

  absl::StatusOr<std::string> Keys(bool rediscover) {
    if (rediscover || key_url_.empty()) {
      const absl::Status found = Discover();
      if (!found.ok()) return found;
    }
    return Fetched(key_url_, kMostKeySetBytes);
  }

  absl::Status Discover() {
    const absl::StatusOr<std::string> text = Fetched(discovery_.url, kMostDocumentBytes);
    if (!text.ok()) return text.status();
    const Json document = ParseStrictJson(*text);
    if (document == nullptr) return Failed(discovery_.url, "not one JSON object in one reading");
    const std::string issuer = TextOf(document.get(), "issuer").value_or("");
    if (issuer != discovery_.issuer) {
      return Failed(discovery_.url,
                    "it is the document of issuer " + Shown(issuer) + ", not of " + Shown(discovery_.issuer));
    }
    std::string key_url = TextOf(document.get(), "jwks_uri").value_or("");
    if (!IsGoodKeyUrl(key_url)) {
      return Failed(discovery_.url, "its jwks_uri " + Shown(key_url) + " is not https (http on loopback alone)");
    }
    key_url_ = std::move(key_url);
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Fetched(const std::string& url, std::size_t most_bytes) {
    HttpDocument document;
    document.url = url;
    document.ca_file = discovery_.ca_file;
    document.most_bytes = most_bytes;
    if (!discovery_.bearer_file.empty()) {
      absl::StatusOr<Secret> bearer = ReadSecretFile(discovery_.bearer_file);
      if (!bearer.ok()) return Failed(url, std::string(bearer.status().message()));
      document.bearer = *std::move(bearer);
    }
    return get_(document, stop_);
  }

  const Discovery discovery_;
  const Get get_;
  std::string key_url_;  // Of the thread alone.
  std::mutex mutex_;
  std::condition_variable more_;
  std::optional<Asked> asked_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace

std::string DiscoveryUrl(const std::string& issuer) {
  return issuer + (issuer.ends_with('/') ? "" : "/") + ".well-known/openid-configuration";
}

std::unique_ptr<KeyFetcher> MakeDiscoveryKeyFetcher(Discovery discovery, Get get) {
  return std::make_unique<DiscoveryKeyFetcher>(std::move(discovery), std::move(get));
}

}  // namespace tokenbroker
