// What the server shows to programs that know none of its protos.

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include "server/rpc/rpc_fixture.h"

namespace tokenbroker {
namespace {

using testing::HasSubstr;

class ReflectionTest : public RpcTest {
 protected:
  // The response to a grpc.reflection.v1alpha.ServerReflectionRequest that asks for the file of `symbol`, as bytes.
  std::string FileOf(const std::string& symbol) {
    const TestCertificateSpec spec = ClientSpec("spiffe://test/ci");
    grpc::GenericStub stub(ChannelOf(&spec));
    grpc::CompletionQueue queue;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    const auto call =
        stub.PrepareCall(&context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
    const auto ended = [&queue] {
      void* tag = nullptr;
      bool ok = false;
      return queue.Next(&tag, &ok) && ok;
    };
    // Field 4, file_containing_symbol, and its length.
    const grpc::Slice request(std::string("\x22") + static_cast<char>(symbol.size()) + symbol);
    grpc::ByteBuffer sent(&request, 1);
    grpc::ByteBuffer received;
    call->StartCall(nullptr);
    bool done = ended();
    call->WriteLast(sent, grpc::WriteOptions(), nullptr);
    done = done && ended();
    call->Read(&received, nullptr);
    done = done && ended();
    context.TryCancel();
    queue.Shutdown();
    while (ended()) {
    }
    grpc::Slice response;
    if (!done || !received.DumpToSingleSlice(&response).ok()) return "no response";
    return {reinterpret_cast<const char*>(response.begin()), response.size()};
  }
};

// Clients such as grpcurl decode the details of an error with what they find here.
TEST_F(ReflectionTest, ServesTheTypesOfErrorDetails) {
  for (const char* symbol : {"google.rpc.ErrorInfo", "google.rpc.BadRequest", "google.rpc.RetryInfo",
                             "google.rpc.PreconditionFailure", "google.rpc.QuotaFailure", "google.rpc.ResourceInfo"}) {
    EXPECT_THAT(FileOf(symbol), HasSubstr("google/rpc/error_details.proto")) << symbol;
  }
  EXPECT_THAT(FileOf("google.rpc.Status"), HasSubstr("google/rpc/status.proto"));
  EXPECT_THAT(FileOf("tokenbroker.v1.AdminService"), HasSubstr("tokenbroker/v1/admin_service.proto"));
  EXPECT_THAT(FileOf("google.rpc.Nothing"), testing::Not(HasSubstr(".proto")));
}

}  // namespace
}  // namespace tokenbroker
