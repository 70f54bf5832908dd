#include "server/process.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <string>
#include <vector>

namespace tokenbroker {
namespace {

TEST(ProcessTest, RefusesWhatWouldPrintSecrets) {
  EXPECT_TRUE(CheckEnvironment({"PATH=/bin", "GRPC_VERBOSITY=ERROR", "GRPC_TRACE=", "SSLKEYLOGFILE="}).ok());
  for (const std::string entry :
       {"GRPC_TRACE=all", "GRPC_VERBOSITY=DEBUG", "GRPC_VERBOSITY=debug", "SSLKEYLOGFILE=x"}) {
    const absl::Status status = CheckEnvironment({"PATH=/bin", entry});
    EXPECT_FALSE(status.ok()) << entry;
    EXPECT_NE(std::string(status.message()).find(entry.substr(0, entry.find('='))), std::string::npos);
  }
}

TEST(ProcessTest, FindsProxyVariablesInAnyCase) {
  const std::vector<std::string> found =
      ProxyVariables({"HTTPS_PROXY=http://x", "http_proxy=", "No_Proxy=*", "PROXY=x", "PATH=/bin"});
  EXPECT_EQ(found, (std::vector<std::string>{"HTTPS_PROXY", "http_proxy", "No_Proxy"}));
}

TEST(ProcessTest, LeavesNoCore) {
  ASSERT_TRUE(HardenProcess().ok());
  rlimit limit{1, 1};
  ASSERT_EQ(getrlimit(RLIMIT_CORE, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, 0u);
  EXPECT_EQ(limit.rlim_max, 0u);
  EXPECT_EQ(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
}

TEST(ProcessTest, MayOpenAllTheFilesThatItIsAllowed) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few{std::min<rlim_t>(before.rlim_max, 64), before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  PrepareForLoad();
  rlimit after{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, before.rlim_max);
}

}  // namespace
}  // namespace tokenbroker
