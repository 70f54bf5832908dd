#include "client/token_client.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include "client/connection.h"
#include "server/base/random.h"

namespace tokenbroker {
namespace {

// The broker refuses a Create that has less left: an attempt with less would only hide why the one before failed.
constexpr Duration kCreateNeeds = seconds(2);

Duration Left(Deadline deadline) { return duration_cast<Duration>(deadline - std::chrono::steady_clock::now()); }

absl::Status WithMessage(const absl::Status& status, const std::string& message) {
  absl::Status changed(status.code(), message);
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& value) { changed.SetPayload(url, value); });
  return changed;
}

class GrpcTokenClient final : public TokenClient {
 public:
  GrpcTokenClient(std::unique_ptr<Connection> connection, RetryPolicy retry)
      : connection_(std::move(connection)), retry_(retry) {}

  absl::StatusOr<CreatedToken> Create(const v1::Token& spec, const CreateOptions& options, Deadline deadline) override {
    v1::CreateTokenRequest request;
    *request.mutable_token() = spec;
    request.set_request_id(options.request_id.empty() ? MakeUuid4(random_) : options.request_id);
    request.set_validate_only(options.validate_only);
    v1::CreateTokenResponse response;
    const absl::Status end = Call(&Connection::Stub::CreateToken, request, response, deadline, kCreateNeeds);
    if (!end.ok()) return WithRequestId(end, request.request_id());
    CreatedToken made;
    made.secret = Secret::TakeFrom(*response.mutable_secret());
    made.token = std::move(*response.mutable_token());
    made.request_id = request.request_id();
    return made;
  }

  absl::StatusOr<v1::Token> Get(const std::string& name, Deadline deadline) override {
    v1::GetTokenRequest request;
    request.set_name(name);
    v1::Token token;
    const absl::Status end = Call(&Connection::Stub::GetToken, request, token, deadline);
    if (!end.ok()) return end;
    return token;
  }

  absl::StatusOr<TokenPage> List(const ListOptions& options, Deadline deadline) override {
    v1::ListTokensRequest request;
    request.set_page_size(options.page_size);
    request.set_page_token(options.page_token);
    request.set_show_closed(options.show_closed);
    request.set_filter(options.filter);
    request.set_order_by(options.order_by);
    v1::ListTokensResponse response;
    const absl::Status end = Call(&Connection::Stub::ListTokens, request, response, deadline);
    if (!end.ok()) return end;
    TokenPage page;
    page.tokens.assign(std::move_iterator(response.mutable_tokens()->begin()),
                       std::move_iterator(response.mutable_tokens()->end()));
    page.next_page_token = response.next_page_token();
    return page;
  }

  absl::StatusOr<v1::Token> Revoke(const std::string& name, Deadline deadline) override {
    v1::RevokeTokenRequest request;
    request.set_name(name);
    v1::Token token;
    const absl::Status end = Call(&Connection::Stub::RevokeToken, request, token, deadline);
    if (!end.ok()) return end;
    return token;
  }

  absl::StatusOr<v1::Caller> GetCaller(Deadline deadline) override {
    v1::GetCallerResponse response;
    const absl::Status end = Call(&Connection::Stub::GetCaller, v1::GetCallerRequest(), response, deadline);
    if (!end.ok()) return end;
    return std::move(*response.mutable_caller());
  }

  absl::StatusOr<v1::CheckAccessResponse> CheckAccess(const v1::Token& spec, const std::string& verb,
                                                      Deadline deadline) override {
    v1::CheckAccessRequest request;
    *request.mutable_token() = spec;
    request.set_verb(verb);
    v1::CheckAccessResponse response;
    const absl::Status end = Call(&Connection::Stub::CheckAccess, request, response, deadline);
    if (!end.ok()) return end;
    return response;
  }

 private:
  template <typename Request, typename Response>
  using Method = grpc::Status (Connection::Stub::*)(grpc::ClientContext*, const Request&, Response*);

  // Sends the request until it succeeds, may not be sent again, or time is up.
  template <typename Request, typename Response>
  absl::Status Call(Method<Request, Response> method, const Request& request, Response& response, Deadline deadline,
                    Duration needed = Duration(0)) {
    bool renewed = false;
    std::shared_ptr<Connection::Stub> stub = connection_->Current();
    for (int attempts = 1;; ++attempts) {
      absl::Status end = Attempt(*stub, method, request, response, deadline);
      if (end.ok()) return end;
      if (absl::IsUnauthenticated(end) && !std::exchange(renewed, true)) {
        stub = connection_->Renew(stub);
        continue;
      }
      const std::optional<Duration> delay = NextDelay(retry_, end, attempts, Left(deadline), needed, Jitter());
      if (!delay.has_value()) return Explained(end);
      std::this_thread::sleep_for(*delay);
      stub = connection_->Current();
    }
  }

  template <typename Request, typename Response>
  static absl::Status Attempt(Connection::Stub& stub, Method<Request, Response> method, const Request& request,
                              Response& response, Deadline deadline) {
    grpc::ClientContext context;
    context.set_deadline(GrpcDeadline(deadline));
    response.Clear();
    return FromGrpc((stub.*method)(&context, request, &response));
  }

  // A connection that fails says little; what we know of our own files may be why.
  absl::Status Explained(const absl::Status& end) const {
    if (!absl::IsUnavailable(end) && !absl::IsUnauthenticated(end)) return end;
    const std::string complaint = connection_->Complaint();
    if (complaint.empty()) return end;
    return WithMessage(end, std::string(end.message()) + " (" + complaint + ")");
  }

  double Jitter() {
    std::array<std::uint8_t, 2> bytes{};
    random_.Fill(bytes);
    return (bytes[0] * 256 + bytes[1]) / 65536.0;
  }

  const std::unique_ptr<Connection> connection_;
  const RetryPolicy retry_;
  SystemRandom random_;
};

}  // namespace

absl::StatusOr<std::vector<v1::Token>> TokenClient::ListAll(ListOptions options, Deadline deadline) {
  const std::string begin = options.page_token;
  options.page_size = 1000;
  bool again = false;
  std::vector<v1::Token> all;
  while (true) {
    absl::StatusOr<TokenPage> page = List(options, deadline);
    if (!page.ok()) {
      const bool stale = options.page_token != begin && CallErrorOf(page.status()).reason == "PAGE_TOKEN_INVALID";
      if (!stale || std::exchange(again, true)) return page.status();
      all.clear();
      options.page_token = begin;
      continue;
    }
    std::move(page->tokens.begin(), page->tokens.end(), std::back_inserter(all));
    if (page->next_page_token.empty()) return all;
    if (page->next_page_token == options.page_token) {
      return absl::InternalError("the broker answered with the page token that it was given");
    }
    options.page_token = std::move(page->next_page_token);
  }
}

absl::StatusOr<std::vector<v1::Token>> TokenClient::ListAll(bool show_closed, Deadline deadline) {
  ListOptions options;
  options.show_closed = show_closed;
  return ListAll(std::move(options), deadline);
}

absl::StatusOr<std::unique_ptr<TokenClient>> MakeTokenClient(TokenClientOptions options) {
  const RetryPolicy retry = options.retry;
  absl::StatusOr<std::unique_ptr<Connection>> connection = OpenConnection(std::move(options));
  if (!connection.ok()) return connection.status();
  return std::make_unique<GrpcTokenClient>(*std::move(connection), retry);
}

}  // namespace tokenbroker
