#include "server/telemetry/metrics.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "server/telemetry/metrics_page.h"

namespace tokenbroker {
namespace {

// Touches every metric, with values that nobody of ours would send among them.
void TouchAll(Metrics& metrics) {
  const std::string odd = "\xff\xfe\n\"evil";
  for (const std::string& word : {std::string("CreateToken"), odd}) metrics.RpcEnded(word, "OK", milliseconds(2));
  metrics.RpcEnded("CreateToken", odd, milliseconds(2));
  for (const std::string& word : {std::string("mint"), odd}) metrics.UpstreamEnded(word, "done", milliseconds(9));
  metrics.UpstreamEnded("mint", odd, milliseconds(9));
  metrics.SetUpstreamLoad(1, 2);
  metrics.SetUpstreamSkew(milliseconds(-1500));
  metrics.SetIssuer(true, 1'800'000'000);
  metrics.LedgerCommitted(true, 3, milliseconds(1));
  metrics.LedgerCommitted(false, 1, milliseconds(1));
  metrics.Decided(true, "GRANTED");
  metrics.WouldHaveDecided(true);
  metrics.Decided(false, odd);
  metrics.SetTokens("ACTIVE", 5);
  metrics.SetTokens(odd, 5);
  metrics.SetParked(1);
  metrics.RevocationProved(milliseconds(80));
  metrics.RevocationAttempted("proved");
  metrics.Looked("found");
  metrics.LateOrphan();
  metrics.FamilyAlarm();
  metrics.AuthenticationFailed(odd);
  metrics.JwtRefused("EXPIRED");
  metrics.JwtRefused(odd);
  metrics.JwtKeysFetched("https://issuer.test", "done");
  metrics.JwtKeysFetched("https://issuer.test", odd);
  metrics.SetJwtKeys("https://issuer.test", 2, FromMicros(1));
  metrics.PolicyLoaded("v1", "abc", FromMicros(1));
  metrics.PolicyRefused();
  metrics.ConnectionRefused();
  metrics.HandshakeFailed(odd);
  metrics.SetReconcileSkipped(1);
  metrics.SetClockDifference(seconds(3));
  metrics.SetLogLinesDropped(2);
  metrics.SetFilesGood("tls", true, FromMicros(1));
  metrics.SetFilesGood(odd, false, FromMicros(1));
  metrics.SetCertificateEnd(FromMicros(1));
  metrics.SetUpstreamRestored(true);
  metrics.ReconcileWalked(FromMicros(1), 3);
  metrics.SetUnknownTokens(2);
  metrics.DeletedUnrecorded(true);
  metrics.ReconcileFailed();
  metrics.SetReconcileUnproved(1);
  metrics.ReconcileFound("twin");
  metrics.ReconcileFound(odd);
  metrics.SetDanger("allow_admin_targets", true);
}

// "name type labels" of every metric on a page.
std::set<std::string> Shapes(const std::string& page) {
  std::set<std::string> shapes;
  std::istringstream lines(page);
  std::string type;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# TYPE ")) type = line.substr(7);
    if (line.empty() || line[0] == '#') continue;
    std::string labels;
    const std::size_t open = line.find('{');
    for (std::size_t at = open; at != std::string::npos && at < line.find('}');) {
      const std::size_t equals = line.find("=\"", at);
      if (equals == std::string::npos) break;
      const std::string label = line.substr(at + 1, equals - at - 1);
      if (label != "le") labels += " " + label;
      at = line.find(',', line.find('"', equals + 2));
    }
    shapes.insert(type + labels);
  }
  return shapes;
}

// A name or label that changes breaks dashboards: it must be changed here as well.
TEST(MetricsTest, AreThoseOfTheStoredList) {
  Metrics metrics;
  TouchAll(metrics);
  std::ifstream in("server/telemetry/metrics_list.txt");
  std::set<std::string> expected;
  for (std::string line; std::getline(in, line);) expected.insert(line);
  std::string now;
  const std::set<std::string> shapes = Shapes(MetricsPage(metrics));
  for (const std::string& shape : shapes) now += shape + "\n";
  EXPECT_EQ(shapes, expected) << now;
}

TEST(MetricsTest, WhatOthersSendNeverBecomesALabel) {
  Metrics metrics;
  TouchAll(metrics);
  const std::string page = MetricsPage(metrics);
  EXPECT_EQ(page.find("evil"), std::string::npos);
  EXPECT_NE(page.find("method=\"other\""), std::string::npos);
  EXPECT_EQ(page.find('\xff'), std::string::npos);
}

TEST(MetricsTest, PromtoolHasNothingToSay) {
  Metrics metrics;
  TouchAll(metrics);
  const std::string file = testing::TempDir() + "metrics.txt";
  std::ofstream(file) << MetricsPage(metrics);
  const std::string said = file + ".said";
  const int code = system(("promtool check metrics < " + file + " > " + said + " 2>&1").c_str());
  std::ifstream in(said);
  const std::string words(std::istreambuf_iterator<char>(in), {});
  EXPECT_EQ(code, 0) << words;
  EXPECT_EQ(words, "");
}

}  // namespace
}  // namespace tokenbroker
