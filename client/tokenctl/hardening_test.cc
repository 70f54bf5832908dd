#include "client/tokenctl/hardening.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cstdlib>

namespace tokenbroker::tokenctl {
namespace {

TEST(HardeningTest, LeavesNoSecretBehind) {
  setenv("GRPC_TRACE", "all", 1);
  setenv("SSLKEYLOGFILE", "keys", 1);
  ASSERT_EQ(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1);
  HardenProcess();
  EXPECT_EQ(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
  rlimit limit = {1, 1};
  ASSERT_EQ(getrlimit(RLIMIT_CORE, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, 0u);
  EXPECT_EQ(limit.rlim_max, 0u);
  EXPECT_EQ(getenv("GRPC_TRACE"), nullptr);
  EXPECT_EQ(getenv("SSLKEYLOGFILE"), nullptr);
}

}  // namespace
}  // namespace tokenbroker::tokenctl
