// Ways to what belongs to others, one a test: their tokens, and the administration. What is told of a token that one
// may not see is equal, to the byte, to what is told of one that never was.

#include <vector>

#include "tests/adversarial/access_fixture.h"
#include "tokenbroker/v1/admin_service.grpc.pb.h"

namespace tokenbroker {
namespace {

class OthersTokenTest : public AccessTest {
 protected:
  OthersTokenTest() : theirs_(Made(ForProject("acme/payments"), "twin").name()) {
    nobodys_ = theirs_;
    nobodys_.back() = nobodys_.back() == '0' ? '1' : '0';
    reads_ = gitlab_.reads();
  }
  // What is told of a token, and by how many reads of the ledger it was found out.
  template <typename Method, typename Request, typename Response>
  std::pair<std::string, int> Ask(Method method, Request request, Response response, const std::string& name) {
    request.set_name(name);
    const int before = faulty_->gets();
    const grpc::Status status = Call(stub(), method, request, response);
    EXPECT_FALSE(status.ok());
    std::string told = Told(status);
    for (std::size_t at = told.find(name); at != std::string::npos; at = told.find(name))
      told.replace(at, name.size(), "NAME");
    return {told, faulty_->gets() - before};
  }
  void TearDown() override {
    EXPECT_EQ(gitlab_.reads(), reads_);
    EXPECT_EQ(gitlab_.deletes(), 0);
    AccessTest::TearDown();
  }

  const std::string theirs_;
  std::string nobodys_;
  int reads_ = 0;
};

TEST_F(OthersTokenTest, IsReadLikeOneThatNeverWas) {
  const auto theirs = Ask(kGet, v1::GetTokenRequest(), v1::Token(), theirs_);
  EXPECT_EQ(theirs, Ask(kGet, v1::GetTokenRequest(), v1::Token(), nobodys_));
  EXPECT_EQ(theirs.second, 1);
}

TEST_F(OthersTokenTest, IsRevokedLikeOneThatNeverWas) {
  const auto theirs = Ask(kRevoke, v1::RevokeTokenRequest(), v1::Token(), theirs_);
  EXPECT_EQ(theirs, Ask(kRevoke, v1::RevokeTokenRequest(), v1::Token(), nobodys_));
}

TEST_F(OthersTokenTest, IsNoViolationThatWeMayRevoke) {
  const TestCertificateSpec spec = ClientSpec("spiffe://test/ci");
  const auto admin = v1::AdminService::NewStub(ChannelOf(&spec));
  const int before = faulty_->gets();
  std::vector<std::string> told;
  Meanwhile([&] {
    for (const std::string& name : {theirs_, nobodys_}) {
      grpc::ClientContext context;
      v1::RevokePolicyViolationsRequest request;
      request.add_names(name);
      v1::RevokePolicyViolationsResponse response;
      told.push_back(Told(admin->RevokePolicyViolations(&context, request, &response)));
    }
  });
  EXPECT_EQ(told[0], told[1]);
  EXPECT_NE(told[0].find("NOT_GRANTED"), std::string::npos);
  EXPECT_EQ(faulty_->gets(), before);
}

TEST_F(OthersTokenTest, IsInNoListOfOurs) {
  for (const char* filter : {"", "state = ACTIVE", "owner = \"callers/twin\"", "target = \"project:7\""}) {
    v1::ListTokensRequest request;
    request.set_filter(filter);
    v1::ListTokensResponse response;
    const grpc::Status status = Call(stub(), kList, request, response);
    EXPECT_TRUE(status.ok()) << filter << status.error_message();
    EXPECT_EQ(response.tokens_size(), 0) << filter;
  }
}

TEST_F(OthersTokenTest, IsNotReachedByItsNameInAnotherSpelling) {
  std::string upper = theirs_;
  for (char& c : upper) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  for (const std::string& name : {upper, theirs_ + "/", "tokens//" + theirs_.substr(7), theirs_.substr(7),
                                  "callers/twin/" + theirs_, theirs_ + std::string("\0", 1)}) {
    v1::GetTokenRequest request;
    request.set_name(name);
    v1::Token response;
    EXPECT_FALSE(Call(stub(), kGet, request, response).ok()) << name;
  }
}

TEST_F(OthersTokenTest, IsNotGotByRepeatingItsRequest) {
  v1::CreateTokenRequest request = ForProject("acme/payments");
  request.set_request_id("6f1c1a0e-7f0a-4a3c-9a53-0d6a4c7c9f11");
  const std::string first = Made(request, "twin").name();
  const std::string second = Made(request, "ci").name();
  EXPECT_NE(first, second);
  v1::GetTokenRequest get;
  get.set_name(first);
  v1::Token got;
  ASSERT_TRUE(Call(stub("twin"), kGet, get, got).ok());
  EXPECT_EQ(got.state(), v1::TOKEN_STATE_ACTIVE);  // Nobody else's repeat replaces it.
  reads_ = gitlab_.reads();
}

TEST_F(OthersTokenTest, IsNotFoundBehindTheirPageToken) {
  (void)Made(ForProject("acme/payments"), "twin");
  v1::ListTokensRequest request;
  request.set_page_size(1);
  v1::ListTokensResponse page;
  ASSERT_TRUE(Call(stub("twin"), kList, request, page).ok());
  ASSERT_FALSE(page.next_page_token().empty());
  request.set_page_token(page.next_page_token());
  v1::ListTokensResponse ours;
  const grpc::Status status = Call(stub(), kList, request, ours);
  EXPECT_EQ(InfoOf(status).reason(), "PAGE_TOKEN_INVALID");
  reads_ = gitlab_.reads();
}

// --- The administration ---

TEST_F(AccessTest, TheAdministrationIsForWhomItIsGranted) {
  const TestCertificateSpec spec = ClientSpec("spiffe://test/ci");
  const auto admin = v1::AdminService::NewStub(ChannelOf(&spec));
  std::vector<std::string> reasons;
  Meanwhile([&] {
    {
      grpc::ClientContext context;
      v1::ListUnknownTokensResponse response;
      reasons.push_back(InfoOf(admin->ListUnknownTokens(&context, {}, &response)).reason());
    }
    {
      grpc::ClientContext context;
      v1::AdoptTokensResponse response;
      reasons.push_back(InfoOf(admin->AdoptTokens(&context, {}, &response)).reason());
    }
    {
      grpc::ClientContext context;
      v1::RevokeUnknownTokensResponse response;
      reasons.push_back(InfoOf(admin->RevokeUnknownTokens(&context, {}, &response)).reason());
    }
    {
      grpc::ClientContext context;
      v1::ListPolicyViolationsResponse response;
      reasons.push_back(InfoOf(admin->ListPolicyViolations(&context, {}, &response)).reason());
    }
    {
      grpc::ClientContext context;
      const auto reader = admin->ExportAudit(&context, {});
      v1::ExportAuditResponse response;
      EXPECT_FALSE(reader->Read(&response));
      reasons.push_back(InfoOf(reader->Finish()).reason());
    }
  });
  EXPECT_EQ(reasons, std::vector<std::string>(5, "NOT_GRANTED"));
}

}  // namespace
}  // namespace tokenbroker
