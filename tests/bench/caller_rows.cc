#include "tests/bench/caller_rows.h"

#include <string>
#include <utility>

#include "server/identity/authenticator.h"
#include "server/policy/policy.h"

namespace tokenbroker::bench {
namespace {

constexpr int kRules = 1'000;
constexpr int kCallersWithCaptures = 4'096;
constexpr double kCompileTargetUs = 1e6;
constexpr double kTargetUs = 20;  // An echo over TLS takes 170.
constexpr char kIssuer[] = "https://gitlab.example.com";

template <typename Fill>
std::shared_ptr<const Policy> PolicyOf(Fill fill) {
  config::v1::Policy source;
  for (int i = 0; i < kRules; ++i) {
    config::v1::CallerRule& caller = *source.add_callers();
    caller.set_name("caller" + std::to_string(i));
    fill(std::to_string(i), *caller.add_identities());
  }
  absl::StatusOr<std::shared_ptr<const Policy>> policy = Policy::Compile(source, "bench", {});
  if (!policy.ok()) Fail("the callers do not compile: " + policy.status().ToString());
  return *std::move(policy);
}

Row Recognise(const std::string& what, const Policy& policy, const PeerFacts& peer, Span span) {
  const CallerIndex index(policy.callers(), {});
  const WallTime now{};
  constexpr int kInOneSpan = 10;  // One alone is short beside the reading of the clock.
  std::vector<Span> spans;
  const Clock::time_point began = Clock::now();
  while (Clock::now() - began < span) {
    const Clock::time_point start = Clock::now();
    for (int i = 0; i < kInOneSpan; ++i) {
      if (!index.Recognise(peer, now).ok()) Fail("a caller of the policy is not recognised");
    }
    spans.push_back((Clock::now() - start) / double{kInOneSpan});
  }
  Figures figures = FiguresOf(std::move(spans), Clock::now() - began);
  figures.per_second *= kInOneSpan;
  return {"Recognise, 1,000 rules, " + what, figures, "", "< 20 us", figures.p50_us < kTargetUs};
}

}  // namespace

std::vector<Row> RecogniseRows(Span span) {
  const std::string last = std::to_string(kRules - 1);
  PeerFacts certificate;
  certificate.certificate = CertificateFacts{{"spiffe://test/ns/team" + last + "/sa/deploy"}, {}, WallTime(hours(1))};
  PeerFacts token;
  token.bearer = BearerFacts{kIssuer, "project_path:acme/app:ref_type:branch:ref:main", {}};
  for (int i = 0; i < 20; ++i) token.bearer->claims["claim" + std::to_string(i)] = "something";
  token.bearer->claims["project_path"] = "acme/app" + last;

  const auto literal = PolicyOf([](const std::string& i, config::v1::Identity& identity) {
    identity.set_spiffe("spiffe://test/ns/team" + i + "/sa/deploy");
  });
  const auto open = PolicyOf([](const std::string& i, config::v1::Identity& identity) {
    identity.set_spiffe("spiffe://test/ns/team" + i + "/sa/*");
  });
  const auto claims = PolicyOf([](const std::string& i, config::v1::Identity& identity) {
    identity.mutable_jwt()->set_issuer(kIssuer);
    (*identity.mutable_jwt()->mutable_claims())["project_path"] = "acme/app" + i;
  });
  return {Recognise("literal SPIFFE ids", *literal, certificate, span),
          Recognise("SPIFFE ids with '*', the last one's", *open, certificate, span),
          Recognise("tokens by a claim", *claims, token, span)};
}

std::vector<Row> CompileRows(Span span) {
  std::vector<Row> rows;
  const auto add = [&](const std::string& what, const std::string& before, const std::string& after) {
    config::v1::Policy source;
    for (int i = 0; i < kCallersWithCaptures; ++i) {
      config::v1::CallerRule& caller = *source.add_callers();
      caller.set_name("caller" + std::to_string(i));
      caller.add_identities()->set_spiffe("spiffe://test/ns/" + before + std::to_string(i) + after);
    }
    std::vector<Span> spans;
    const Clock::time_point began = Clock::now();
    do {
      const Clock::time_point start = Clock::now();
      if (!Policy::Compile(source, "bench", {}).ok()) Fail("4,096 callers do not compile");
      spans.push_back(Clock::now() - start);
    } while (Clock::now() - began < span);
    const Figures figures = FiguresOf(std::move(spans), Clock::now() - began);
    rows.push_back({"Compile, 4,096 callers, " + what, figures, "", "< 1 s", figures.p50_us < kCompileTargetUs});
  };
  add("apart by a segment", "{team}/sa/app", "");
  add("apart by a segment's end", "{team}-app", "/sa/*");
  return rows;
}

}  // namespace tokenbroker::bench
