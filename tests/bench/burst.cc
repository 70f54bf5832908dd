#include "tests/bench/burst.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/served.h"

namespace tokenbroker::bench {
namespace {

constexpr double kAllWithin = 60;
constexpr double kMemoryTargetMb = 250;
// A connection takes at most 1,000 calls at a time.
constexpr int kCallsOnAConnection = 500;
// One target may have a quarter of the permits.
constexpr int kProjects = 8;

// Where the simulator listens, by the line that it prints.
sockaddr_in AddressIn(const std::string& line) {
  constexpr std::string_view kBefore = "\"url\":\"http://127.0.0.1:";
  const std::size_t at = line.find(kBefore);
  if (at == std::string::npos) Fail("the simulator says no url: " + line);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(line.substr(at + kBefore.size()))));
  return address;
}

std::vector<std::string> AddProjects(gitlab_sim::GitLabSim& gitlab) {
  std::vector<std::string> paths;
  for (int i = 0; i < kProjects; ++i) {
    gitlab_sim::ProjectSeed project;
    project.full_path = "acme/burst-" + std::to_string(i);
    gitlab.AddProject(project);
    paths.push_back(project.full_path);
  }
  return paths;
}

}  // namespace

std::vector<Row> BurstRows(int creates, std::chrono::milliseconds gitlab_takes) {
  Served served({.max_connections = creates});
  served.WarmUp();
  gitlab_sim::GitLabSim& gitlab = served.house().gitlab();
  gitlab_sim::Fault slow;
  slow.method = "POST";
  slow.times = -1;
  slow.delay_before = gitlab_takes;
  gitlab.Plan(slow);
  const pid_t broker = served.house().broker().pid();
  const double threads_before = ProcessFigure(broker, "Threads");

  RpcLoad load(served.peer(), std::max(1, creates / kCallsOnAConnection));
  std::vector<v1::CreateTokenRequest> requests;
  for (const std::string& project : AddProjects(served.house().gitlab())) {
    requests.push_back(served.CreateRequest(project));
  }
  std::atomic<int> ended = 0;
  const Clock::time_point began = Clock::now();
  for (int i = 0; i < creates; ++i) {
    load.Create(requests[static_cast<std::size_t>(i % kProjects)], [&ended](const std::string& error) {
      if (!error.empty()) Fail(error);
      ++ended;
    });
  }
  double threads = 0;
  while (ended < creates) {
    threads = std::max(threads, ProcessFigure(broker, "Threads"));
    NapBetweenLooks();
  }
  const double took = Span(Clock::now() - began).count();
  const double mb = ProcessFigure(broker, "VmHWM") / 1024;

  const std::string who = std::to_string(creates) + " creates in flight, GitLab takes " +
                          FormatMicroseconds(static_cast<double>(gitlab_takes.count()) * 1e3) + ": ";
  return {{who + "all made", {}, "after " + FormatNumber(took, 1) + " s", "<= 60 s", took <= kAllWithin},
          {who + "memory", {}, FormatNumber(mb, 1) + " MB", "< 250 MB", mb < kMemoryTargetMb},
          {who + "threads",
           {},
           FormatNumber(threads_before, 0) + " before, " + FormatNumber(threads, 0) + " at most",
           "unchanged",
           threads <= threads_before}};
}

Row SimulatorRow(int connections) {
  std::string folder = testing::TempDir() + "simulator_XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) Fail("cannot make a folder in " + testing::TempDir());
  const char* const program = std::getenv("GITLAB_SIM");
  if (program == nullptr) Fail("GITLAB_SIM is not set");
  const ChildProcess simulator({program}, {}, folder + "/output");
  if (!Eventually([&] { return simulator.output().ends_with("}\n"); })) Fail("the simulator does not start");
  const sockaddr_in address = AddressIn(simulator.output());

  const Clock::time_point began = Clock::now();
  std::vector<int> sockets;
  for (int i = 0; i < connections; ++i) {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval patience = {30, 0};
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      Fail("the simulator takes only " + std::to_string(i) + " connections");
    }
    sockets.push_back(socket);
  }
  constexpr std::string_view kRequest = "GET /api/v4/version HTTP/1.1\r\nHost: simulator\r\n\r\n";
  for (const int socket : sockets) (void)send(socket, kRequest.data(), kRequest.size(), MSG_NOSIGNAL);
  int answered = 0;
  for (const int socket : sockets) {
    std::array<char, 4096> answer;
    if (recv(socket, answer.data(), answer.size(), 0) > 0) ++answered;
  }
  const double took = Span(Clock::now() - began).count();
  for (const int socket : sockets) close(socket);
  std::filesystem::remove_all(folder);
  const std::string all = std::to_string(connections);
  return {"Simulator, " + all + " open connections",
          {},
          std::to_string(answered) + " answered within " + FormatNumber(took, 1) + " s",
          all + " answered",
          answered == connections};
}

}  // namespace tokenbroker::bench
