#include "tests/bench/side_by_side.h"

#include <atomic>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "server/base/time_text.h"
#include "tests/bench/floors.h"

namespace tokenbroker::bench {
namespace {

constexpr int kLoads[] = {1, 64, 256};
constexpr int kPage = 50;
constexpr Span kWarmUp(0.05);
// The targets; see also the rows.
constexpr double kCreateAdded = 1.6;
constexpr double kCreateThroughput = 0.35;
constexpr double kListLatency = 2;
constexpr double kListGrowth = 1.3;

// The echo server in a process of its own, with the certificates of a house.
class EchoProcess {
 public:
  explicit EchoProcess(Served& served) : peer_(served.peer()) {
    const char* const program = std::getenv("ECHO_SERVER");
    if (program == nullptr) Fail("ECHO_SERVER is not set");
    House& house = served.house();
    process_.emplace(
        std::vector<std::string>{program, house.path("ca.pem"), house.path("server.pem"), house.path("server.key")},
        std::vector<std::string>(), house.path("echo.log"));
    const bool serves = Eventually([this] { return process_->output().ends_with("}\n"); });
    if (!serves) Fail("the echo server does not start: " + process_->output());
    peer_.address = Address(process_->output());
  }
  const RpcPeer& peer() const { return peer_; }

 private:
  static std::string Address(const std::string& line) {
    const std::size_t begin = line.find("127.0.0.1:");
    return line.substr(begin, line.find('"', begin) - begin);
  }

  RpcPeer peer_;
  std::optional<ChildProcess> process_;
};

std::string Tomorrow() {
  const WallTime now(std::chrono::duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch()));
  return FormatDate(DateOf(now) + std::chrono::days(1));
}

DirectPost DirectPostTo(Served& served) {
  House& house = served.house();
  return {house.gitlab().url() + "/api/v4/users/" + std::to_string(house.demo_user()) + "/personal_access_tokens",
          house.issuer_secret(),
          R"({"name":"DeepTraQ Integration Token [tb:bench:direct]","description":"by=demo","scopes":)"
          R"(["read_user","read_repository"],"expires_at":")" +
              Tomorrow() + R"("})"};
}

// Measurements that take turns.
class Rounds {
 public:
  using Run = std::function<Figures(Span)>;

  void Add(std::string name, Run run) {
    order_.push_back(name);
    series_[std::move(name)].run = std::move(run);
  }
  void RunAll(int rounds, Span span) {
    for (int i = 0; i < rounds; ++i) {
      for (const std::string& name : order_) series_[name].rounds.push_back(series_[name].run(span));
    }
  }
  Figures operator[](const std::string& name) const { return MedianOf(series_.at(name).rounds); }

 private:
  struct Series {
    Run run;
    std::vector<Figures> rounds;
  };
  std::vector<std::string> order_;
  std::map<std::string, Series> series_;
};

std::string At(std::string_view work, int in_flight) {
  return std::string(work) + ", " + std::to_string(in_flight) + " in flight";
}

std::string Times(double ratio, std::string_view of) { return FormatNumber(ratio, 2) + " x " + std::string(of); }

Row CreateRow(const Rounds& rounds, int in_flight) {
  const std::string work = At("Create", in_flight);
  const Figures create = rounds[work];
  const Figures direct = rounds[At("Direct POST", in_flight)];
  if (in_flight == 1) {
    const double floor = rounds[At("Echo", 1)].p50_us + 2 * rounds["fdatasync, append"].p50_us;
    const double ratio = (create.p50_us - direct.p50_us) / floor;
    return {work, create, Times(ratio, "(echo + 2 fdatasync) beside the POST"), "<= 1.6 x", ratio <= kCreateAdded};
  }
  const double ratio = create.per_second / direct.per_second;
  if (in_flight < 256) return {work, create, Times(ratio, "direct per second"), "", {}};
  return {work, create, Times(ratio, "direct per second"), ">= 0.35 x", ratio >= kCreateThroughput};
}

Row ListRow(const Rounds& rounds, const std::string& list, int in_flight, bool has_target) {
  const std::string work = At(list, in_flight);
  const Figures figures = rounds[work];
  const Figures echo = rounds[At("Echo", in_flight)];
  if (in_flight > 1) return {work, figures, Times(figures.per_second / echo.per_second, "echo per second"), "", {}};
  const double ratio = figures.p50_us / echo.p50_us;
  if (!has_target) return {work, figures, Times(ratio, "echo"), "", {}};
  return {work, figures, Times(ratio, "echo"), "<= 2 x", ratio <= kListLatency};
}

}  // namespace

std::vector<Row> SideBySide(Served& minting, Served& few, Served& many, int rounds, Span span) {
  minting.WarmUp();
  const EchoProcess echo(minting);
  RpcLoad echo_load(echo.peer());
  RpcLoad create_load(minting.peer());
  RpcLoad few_load(few.peer());
  RpcLoad many_load(many.peer());
  const v1::CreateTokenRequest create = minting.CreateRequest();
  v1::ListTokensRequest list;
  list.set_page_size(kPage);
  const std::string few_list = "List of 50 of " + std::to_string(few.tokens()) + " tokens";
  const std::string many_list = "List of 50 of " + std::to_string(many.tokens()) + " tokens";
  const std::string folder = minting.house().folder();
  std::vector<std::unique_ptr<DirectLoop>> direct;

  // Connections are made before they are measured.
  for (const Start& warm : {Start([&](Done done) { echo_load.Create(create, std::move(done)); }),
                            Start([&](Done done) { create_load.Create(create, std::move(done)); }),
                            Start([&](Done done) { few_load.List(list, std::move(done)); }),
                            Start([&](Done done) { many_load.List(list, std::move(done)); })}) {
    KeepInFlight(64, kWarmUp, warm);
  }

  Rounds all;
  all.Add("fdatasync, append", [&](Span time) { return SyncToDisk(folder, DiskWrite::kAppend, time); });
  all.Add("fdatasync, overwrite", [&](Span time) { return SyncToDisk(folder, DiskWrite::kOverwrite, time); });
  for (const int n : kLoads) {
    direct.push_back(std::make_unique<DirectLoop>(DirectPostTo(minting), n));
    const auto calls = [&all, n](std::string_view work, Start start) {
      all.Add(At(work, n), [n, start = std::move(start)](Span time) { return KeepInFlight(n, time, start); });
    };
    calls("Echo", [&](Done done) { echo_load.Create(create, std::move(done)); });
    all.Add(At("Direct POST", n), [loop = direct.back().get()](Span time) { return loop->Run(time); });
    calls("Create", [&](Done done) { create_load.Create(create, std::move(done)); });
    calls(few_list, [&](Done done) { few_load.List(list, std::move(done)); });
    calls(many_list, [&](Done done) { many_load.List(list, std::move(done)); });
  }
  // What a call costs the broker's process; it says more than the pace does where other work shares the machine.
  const auto processor_row = [&](const std::string& what, Served& served, const Start& start) {
    const double before = ProcessorTime(served.house().broker().pid());
    std::atomic<int> calls = 0;
    KeepInFlight(64, span, [&](Done done) {
      ++calls;
      start(std::move(done));
    });
    const double spent = ProcessorTime(served.house().broker().pid()) - before;
    return Row{what + ", processor time of the broker", {}, FormatMicroseconds(spent / calls * 1e6) + " each", "", {}};
  };
  all.RunAll(rounds, span);

  std::vector<Row> rows;
  for (const char* floor : {"fdatasync, append", "fdatasync, overwrite"})
    rows.push_back({floor, all[floor], "", "", {}});
  for (const int n : kLoads) rows.push_back({At("Echo", n), all[At("Echo", n)], "", "", {}});
  for (const int n : kLoads) rows.push_back({At("Direct POST", n), all[At("Direct POST", n)], "", "", {}});
  for (const int n : kLoads) rows.push_back(CreateRow(all, n));
  for (const int n : kLoads) rows.push_back(ListRow(all, few_list, n, /*has_target=*/false));
  for (const int n : kLoads) rows.push_back(ListRow(all, many_list, n, /*has_target=*/true));
  const double growth = all[At(many_list, 1)].p50_us / all[At(few_list, 1)].p50_us;
  rows.push_back({"List, p50 of many tokens beside few", {}, FormatNumber(growth, 2), "<= 1.3", growth <= kListGrowth});
  rows.push_back(processor_row("Create", minting, [&](Done done) { create_load.Create(create, std::move(done)); }));
  rows.push_back(processor_row(many_list, many, [&](Done done) { many_load.List(list, std::move(done)); }));
  return rows;
}

}  // namespace tokenbroker::bench
