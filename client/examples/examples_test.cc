// Builds and runs what stands in client/examples, so that it stays true.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/fake_broker.h"
#include "tests/support/subprocess.h"

namespace tokenbroker {
namespace {

TEST(Examples, FirstTokenMintsAndGivesBack) {
  TestAuthority authority;
  FakeBroker broker(authority);
  const ClientFolder folder(authority, "spiffe://test/demo");
  const Finished run = RunProcess({"client/examples/first_token"}, {{"TOKENBROKER_ADDRESS", broker.address()},
                                                                    {"TOKENBROKER_CA", folder.Path("ca.pem")},
                                                                    {"TOKENBROKER_CERT", folder.Path("cert.pem")},
                                                                    {"TOKENBROKER_KEY", folder.Path("key.pem")}});
  EXPECT_EQ(run.out, "tokens/t1 has a secret of 17 bytes\nand is TOKEN_STATE_REVOKED\n") << run.error;
  EXPECT_EQ(run.exit_code, 0);
  ASSERT_EQ(broker.creates().size(), 1U);
  EXPECT_EQ(broker.creates()[0].token().display_name(), "my first token");
}

TEST(Examples, FirstTokenSaysWhatIsMissing) {
  const Finished run = RunProcess({"client/examples/first_token"}, {});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_EQ(run.error, "no address of a broker is given (CLIENT_OPTION_INVALID)\n");
}

}  // namespace
}  // namespace tokenbroker
