#include "tests/bench/floors.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <utility>
#include <vector>

namespace tokenbroker::bench {
namespace {

constexpr std::size_t kPage = 4096;
constexpr off_t kPagesOverwritten = 64;

void CheckAnswer(CURL* easy, CURLcode code) {
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  if (code != CURLE_OK) Fail(std::string("a direct POST failed: ") + curl_easy_strerror(code));
  if (status != 201) Fail("a direct POST was answered " + std::to_string(status));
}

}  // namespace

Figures SyncToDisk(const std::string& folder, DiskWrite kind, Span span) {
  const std::string path = folder + "/fdatasync";
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) Fail("cannot write " + path);
  std::array<char, kPage> page;
  page.fill('x');
  const auto write_page = [&](off_t at) {
    if (pwrite(file, page.data(), kPage, at * static_cast<off_t>(kPage)) != static_cast<ssize_t>(kPage)) {
      Fail("cannot write " + path);
    }
  };
  for (off_t at = 0; at < kPagesOverwritten; ++at) write_page(at);
  fsync(file);
  std::vector<Span> spans;
  const Clock::time_point began = Clock::now();
  for (off_t i = 0; Clock::now() - began < span; ++i) {
    const Clock::time_point now = Clock::now();
    write_page(kind == DiskWrite::kAppend ? kPagesOverwritten + i : i % kPagesOverwritten);
    fdatasync(file);
    spans.push_back(Clock::now() - now);
  }
  const Span whole = Clock::now() - began;
  close(file);
  unlink(path.c_str());
  return FiguresOf(std::move(spans), whole);
}

DirectLoop::DirectLoop(const DirectPost& post, int in_flight) : multi_(curl_multi_init()) {
  headers_ = curl_slist_append(headers_, ("PRIVATE-TOKEN: " + post.token).c_str());
  headers_ = curl_slist_append(headers_, "Content-Type: application/json");
  headers_ = curl_slist_append(headers_, "Expect:");
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(in_flight));
  for (int i = 0; i < in_flight; ++i) began_.emplace(MakeHandle(post), Clock::time_point());
}

DirectLoop::~DirectLoop() {
  for (const auto& [easy, began] : began_) curl_easy_cleanup(easy);
  curl_multi_cleanup(multi_);
  curl_slist_free_all(headers_);
}

Figures DirectLoop::Run(Span span) {
  const Clock::time_point began = Clock::now();
  const Clock::time_point end = began + std::chrono::duration_cast<Clock::duration>(span);
  for (const auto& [easy, when] : began_) Send(easy);
  std::vector<Span> spans;
  for (int running = 1; running > 0;) {
    curl_multi_perform(multi_, &running);
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      CURL* const easy = message->easy_handle;
      CheckAnswer(easy, message->data.result);
      spans.push_back(Clock::now() - began_[easy]);
      curl_multi_remove_handle(multi_, easy);
      if (Clock::now() >= end) continue;
      Send(easy);
      running = 1;
    }
    if (running > 0) curl_multi_poll(multi_, nullptr, 0, 1000, nullptr);
  }
  return FiguresOf(std::move(spans), Clock::now() - began);
}

CURL* DirectLoop::MakeHandle(const DirectPost& post) const {
  CURL* const easy = curl_easy_init();
  curl_easy_setopt(easy, CURLOPT_URL, post.url.c_str());
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers_);
  curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, post.body.c_str());
  curl_easy_setopt(
      easy, CURLOPT_WRITEFUNCTION, +[](char*, std::size_t size, std::size_t count, void*) { return size * count; });
  return easy;
}

void DirectLoop::Send(CURL* easy) {
  began_[easy] = Clock::now();
  curl_multi_add_handle(multi_, easy);
}

}  // namespace tokenbroker::bench
