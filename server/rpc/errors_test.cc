#include "server/rpc/errors.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "server/base/error.h"

namespace tokenbroker {
namespace {

template <typename T>
std::optional<T> Detail(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  for (const auto& any : details.details()) {
    T detail;
    if (any.UnpackTo(&detail)) return detail;
  }
  return std::nullopt;
}

TEST(ErrorsTest, CarriesEverythingThatWasAttached) {
  const grpc::Status status = ToGrpc(Error(absl::StatusCode::kAlreadyExists, "TOKEN_EXISTS", "is there")
                                         .Meta("token", "tokens/x")
                                         .Meta("state", "ACTIVE")
                                         .Field("request_id", "was used")
                                         .RetryAfter(milliseconds(1500))
                                         .Precondition("A", "b", "c"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(status.error_message(), "is there");
  const auto info = Detail<google::rpc::ErrorInfo>(status);
  EXPECT_EQ(info->domain(), "tokenbroker");
  EXPECT_EQ(info->reason(), "TOKEN_EXISTS");
  EXPECT_EQ(info->metadata().at("state"), "ACTIVE");
  EXPECT_EQ(Detail<google::rpc::BadRequest>(status)->field_violations(0).field(), "request_id");
  EXPECT_EQ(Detail<google::rpc::RetryInfo>(status)->retry_delay().seconds(), 1);
  EXPECT_EQ(Detail<google::rpc::RetryInfo>(status)->retry_delay().nanos(), 500'000'000);
  EXPECT_EQ(Detail<google::rpc::PreconditionFailure>(status)->violations(0).subject(), "b");
  EXPECT_EQ(Detail<google::rpc::ResourceInfo>(status)->resource_name(), "tokens/x");
}

TEST(ErrorsTest, WhatHasNoReasonShowsNothingOfTheInside) {
  const grpc::Status status = ToGrpc(absl::UnknownError("password=hunter2 in /etc/x"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(status.error_message().find("hunter2"), std::string::npos);
  EXPECT_EQ(Detail<google::rpc::ErrorInfo>(status)->reason(), "INTERNAL");
  EXPECT_EQ(ToGrpc(absl::CancelledError("x")).error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
}

absl::Status Huge(int fields) {
  std::string words;
  for (int i = 0; i < 100; ++i) words += "\xe2\x82\xac";  // 300 bytes, 900 once percent-encoded.
  Error error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID", words + words + words + words);
  for (int i = 0; i < fields; ++i) {
    static_cast<Error&&>(error).Field("token.scopes[" + std::to_string(i) + "]", "unknown scope " + words);
  }
  return error;
}

TEST(ErrorsTest, AnyErrorFitsAndItsReasonSurvives) {
  for (const int fields : {0, 1, 3, 200}) {
    const grpc::Status status = ToGrpc(Huge(fields));
    EXPECT_LE(status.error_message().size(), 1024u);
    std::size_t encoded = 0;
    for (const char c : status.error_message()) encoded += c >= 0x20 && c < 0x7f ? 1 : 3;
    EXPECT_LE(encoded + (status.error_details().size() + 2) / 3 * 4, 4096u);
    const auto info = Detail<google::rpc::ErrorInfo>(status);
    ASSERT_TRUE(info.has_value());
    EXPECT_EQ(info->reason(), "FIELD_INVALID");
    if (fields == 200) {
      EXPECT_EQ(info->metadata().at("violations"), "200");
      EXPECT_GE(Detail<google::rpc::BadRequest>(status)->field_violations_size(), 1);
    }
    // Cut between characters: what is left is still UTF-8 for protobuf's eyes.
    google::rpc::Status details;
    EXPECT_TRUE(details.ParseFromString(status.error_details()));
  }
}

// The caller decides how many fields are wrong: the work must grow with what is shown, not with what is wrong.
TEST(ErrorsTest, ManyFieldsAreCutWithoutLookingAtAll) {
  const absl::Status huge = Huge(4000);
  const auto began = std::chrono::steady_clock::now();
  const grpc::Status status = ToGrpc(huge);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(2));
  EXPECT_EQ(Detail<google::rpc::ErrorInfo>(status)->metadata().at("violations"), "4000");
  EXPECT_GE(Detail<google::rpc::BadRequest>(status)->field_violations_size(), 1);
}

class FailingHealth final : public grpc::health::v1::Health::Service {
 public:
  grpc::Status Check(grpc::ServerContext*, const grpc::health::v1::HealthCheckRequest*,
                     grpc::health::v1::HealthCheckResponse*) override {
    return ToGrpc(Huge(200));
  }
};

// Through a real server to a client with default limits: the status that was meant is the one that arrives.
TEST(ErrorsTest, ArrivesAtADefaultClient) {
  FailingHealth service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  const auto stub = grpc::health::v1::Health::NewStub(
      grpc::CreateChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  grpc::health::v1::HealthCheckResponse response;
  const grpc::Status status = stub->Check(&context, {}, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << status.error_message();
  EXPECT_EQ(Detail<google::rpc::ErrorInfo>(status)->metadata().at("violations"), "200");
  server->Shutdown();
}

}  // namespace
}  // namespace tokenbroker
