// The test of one_post_test: with the POST's body handed to libcurl as CURLOPT_POSTFIELDS, as most programs do it, the
// same library sends the POST twice, and the check there would fail. The linker puts the fault in: this binary is
// linked with --wrap=curl_easy_setopt.
#include <curl/curl.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdarg>
#include <map>
#include <string>

#include "server/gitlab/http_gitlab_fixture.h"
#include "tests/gitlab_sim/gitlab_sim.h"

// The names that the linker's --wrap gives.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" CURLcode __real_curl_easy_setopt(CURL* easy, CURLoption option, ...);

namespace {

// The body, taken out of its read callback.
std::string Drain(curl_read_callback read, void* data) {
  std::string body;
  std::array<char, 4096> piece;
  while (const std::size_t size = read(piece.data(), 1, piece.size(), data)) body.append(piece.data(), size);
  return body;
}

}  // namespace

// NOLINTNEXTLINE(bugprone-reserved-identifier): see above.
extern "C" CURLcode __wrap_curl_easy_setopt(CURL* easy, int number, ...) {
  const auto option = static_cast<CURLoption>(number);
  // One transfer is set up at a time, on one thread: that of the adapter.
  static std::map<CURL*, curl_read_callback> readers;
  va_list arguments;
  va_start(arguments, number);
  CURLcode code = CURLE_OK;
  if (option == CURLOPT_READFUNCTION) {
    readers[easy] = va_arg(arguments, curl_read_callback);
  } else if (option == CURLOPT_READDATA && readers.contains(easy)) {
    const std::string body = Drain(readers.at(easy), va_arg(arguments, void*));
    code = __real_curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, body.c_str());
  } else if (option == CURLOPT_SEEKFUNCTION) {
    readers.erase(easy);
  } else if (option < CURLOPTTYPE_OBJECTPOINT || (option >= CURLOPTTYPE_OFF_T && option < CURLOPTTYPE_BLOB)) {
    static_assert(sizeof(curl_off_t) == sizeof(long));
    code = __real_curl_easy_setopt(easy, option, va_arg(arguments, long));
  } else {
    code = __real_curl_easy_setopt(easy, option, va_arg(arguments, void*));
  }
  va_end(arguments);
  return code;
}

namespace tokenbroker {
namespace {

TEST(PostedFieldsTest, LibcurlSendsThePostTwiceAndTheCheckSeesIt) {
  const std::unique_ptr<gitlab_sim::GitLabSim> sim = gitlab_sim::GitLabSim::Start();
  ASSERT_NE(sim, nullptr);
  const std::int64_t root = sim->AddUser({.username = "root", .admin = true});
  const std::int64_t user = sim->AddUser({.username = "demo-user"});
  const std::string secret = sim->AddToken({.user_id = root, .expires_at = "2099-01-01"}).secret;
  AdapterUnderTest adapter(sim->url(), secret, 4);
  ASSERT_TRUE(adapter.Run(adapter.gitlab().CheckIssuer({})).ok());  // A connection to be used again.
  gitlab_sim::Fault fault;
  fault.action = gitlab_sim::Fault::Action::kActThenClose;
  sim->Plan(std::move(fault).On("POST", "/users/[0-9]+/personal_access_tokens$"));
  const Ended<Minted> end =
      adapter.Run(adapter.gitlab().Mint({}, adapter.Intent(), SpecFor(UserTarget(user), "planted")));
  EXPECT_EQ(EndOf(end), "DONE");  // The library says that all went well.
  EXPECT_EQ(sim->CountRequests("POST", "/users/[0-9]+/personal_access_tokens$", "planted"), 2);
  EXPECT_EQ(sim->TokensNamed("planted").size(), 2u);
}

}  // namespace
}  // namespace tokenbroker
