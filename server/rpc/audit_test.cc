// The audit through the real door: to whom it is shown, whole, and at the reader's pace.

#include "absl/strings/escaping.h"
#include "server/domain/audit_record.h"
#include "server/rpc/rpc_fixture.h"
#include "tokenbroker/v1/admin_service.grpc.pb.h"

namespace tokenbroker {
namespace {

AuditRecord RecordOf(const v1::AuditRecord& message) {
  AuditRecord record;
  record.writer = message.writer();
  record.seq = message.seq();
  record.previous_hash = absl::HexStringToBytes(message.previous_hash());
  record.hash = absl::HexStringToBytes(message.hash());
  record.event = {WallTime(seconds(message.time().seconds()) + Duration(message.time().nanos() / 1000)), message.kind(),
                  ParseAuditedToken(message.token()).value_or("?"), ParseAuditedCaller(message.caller()).value_or("?"),
                  message.body()};
  return record;
}

class AuditTest : public RpcTest {
 protected:
  // Reads the whole export while the broker runs; `at_first` is called with the first record in hand.
  grpc::Status Export(
      const std::string& caller, const v1::ExportAuditRequest& request, std::vector<v1::AuditRecord>& records,
      const std::function<void()>& at_first = [] {}) {
    const TestCertificateSpec spec = ClientSpec("spiffe://test/" + caller);
    const auto stub = v1::AdminService::NewStub(ChannelOf(&spec));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    grpc::Status status;
    Meanwhile([&] {
      const auto reader = stub->ExportAudit(&context, request);
      v1::ExportAuditResponse response;
      while (reader->Read(&response)) {
        records.push_back(response.record());
        if (records.size() == 1) at_first();
      }
      status = reader->Finish();
    });
    return status;
  }
};

TEST_F(AuditTest, IsOpenedByItsVerbAlone) {
  std::vector<v1::AuditRecord> records;
  const grpc::Status status = Export("ci", {}, records);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(InfoOf(status).reason(), "NOT_GRANTED");
  EXPECT_TRUE(records.empty());
  const grpc::Status stranger = Export("nobody", {}, records);
  EXPECT_EQ(stranger.error_code(), grpc::StatusCode::UNAVAILABLE);  // No handshake.

  // The refusal is in the audit itself.
  ASSERT_TRUE(Export("warden", {}, records).ok());
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].kind(), "refusal");
  EXPECT_EQ(records[0].caller(), "callers/ci");
}

TEST_F(AuditTest, IsWholeOverManyPagesAndFromAnyPlace) {
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(Create(UserToken()).ok());  // 600 records: more than a page.
  std::vector<v1::AuditRecord> records;
  const grpc::Status status = Export("warden", {}, records);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(records.size(), 600u);
  AuditVerifier verifier(/*partial=*/false);
  for (const v1::AuditRecord& each : records) ASSERT_EQ(verifier.Check(RecordOf(each)), std::nullopt) << each.seq();

  v1::ExportAuditRequest rest;
  rest.mutable_after()->set_writer(records[597].writer());
  rest.mutable_after()->set_seq(records[597].seq());
  std::vector<v1::AuditRecord> last;
  ASSERT_TRUE(Export("warden", rest, last).ok());
  ASSERT_EQ(last.size(), 2u);
  EXPECT_EQ(last[0].hash(), records[598].hash());
}

// A reader that stops in the middle: the broker waits with it, between two pages.
TEST_F(AuditTest, IsReadNoFasterThanItsReader) {
  // 2500 records of 8 KiB: five pages, and an empty one.
  for (int i = 0; i < 2500; ++i) {
    ledger_->NoteRefusal(
        {"caller" + std::to_string(i / 10), "CreateToken", "NOT_GRANTED", std::string(8192, 'x'), "v"});
  }
  ASSERT_TRUE(loop_.Finish(ledger_->ClaimDue(1)).ok());  // A write that is answered comes behind those that are not.
  std::vector<v1::AuditRecord> records;
  int pages = 0;
  const grpc::Status status = Export("warden", {}, records, [&] {
    // Others are served meanwhile; of the export only what fits into the connection's window is under way.
    const auto stub = StubOf(ClientSpec("spiffe://test/ci"));
    for (int i = 0; i < 100; ++i) {
      grpc::ClientContext context;
      v1::ListTokensResponse response;
      EXPECT_TRUE(stub->ListTokens(&context, {}, &response).ok());
    }
    pages = faulty_->audit_pages();
  });
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(records.size(), 2500u);
  EXPECT_LT(pages, 4);
  EXPECT_EQ(faulty_->audit_pages(), 6);
}

TEST_F(AuditTest, WhatCannotBeAPlaceIsRefused) {
  v1::ExportAuditRequest request;
  request.mutable_after()->set_seq(3);
  std::vector<v1::AuditRecord> records;
  EXPECT_EQ(InfoOf(Export("warden", request, records)).reason(), "FIELD_INVALID");
}

}  // namespace
}  // namespace tokenbroker
