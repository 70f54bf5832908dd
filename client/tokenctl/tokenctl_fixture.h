#pragma once
// The real tokenctl against a broker that is fake behind a real mutual-TLS connection.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "client/fake_broker.h"
#include "tests/support/subprocess.h"

namespace tokenbroker {

using Environment = std::vector<std::pair<std::string, std::string>>;

class TokenctlTest : public testing::Test {
 protected:
  TokenctlTest() : broker_(authority_), folder_(authority_, "spiffe://test/demo") {}

  Environment Variables() const {
    return {{"TOKENBROKER_ADDRESS", broker_.address()},
            {"TOKENBROKER_CA", folder_.Path("ca.pem")},
            {"TOKENBROKER_CERT", folder_.Path("cert.pem")},
            {"TOKENBROKER_KEY", folder_.Path("key.pem")}};
  }

  static std::vector<std::string> Line(std::vector<std::string> words) {
    words.insert(words.begin(), "client/tokenctl/tokenctl");
    return words;
  }
  Finished Run(const std::vector<std::string>& words) const { return RunProcess(Line(words), Variables()); }
  Finished OnTerminal(const std::vector<std::string>& words) const { return RunOnTerminal(Line(words), Variables()); }

  // A create that does not say where its secret goes.
  static std::vector<std::string> Typed(std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"create", "--display-name", "nightly", "--user", "42", "--scopes", "read_user"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  static std::vector<std::string> Create(std::vector<std::string> more = {}) {
    more.insert(more.end(), {"--output", "secret"});
    return Typed(std::move(more));
  }

  // What tokenctl says and how it ends when the broker refuses `words` like this.
  Finished Refused(const Refusal& refusal, const std::vector<std::string>& words) {
    broker_.PlanNext(refusal);
    return Run(words);
  }

  static std::string Content(const std::string& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  TestAuthority authority_;
  FakeBroker broker_;
  ClientFolder folder_;
};

}  // namespace tokenbroker
