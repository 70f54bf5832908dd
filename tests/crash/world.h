#pragma once
// One run's world: a GitLab in this process, a broker in another, the time of both, and the one crash that is armed.

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/token_client.h"
#include "tests/crash/control.h"
#include "tests/crash/scenario.h"
#include "tests/integration/broker_process.h"

namespace tokenbroker {

// What the broker does though nobody told it to: it hangs, or ends by itself. The message says which.
struct Misbehaviour {
  std::string what;
};

// Used on one thread. Members throw Misbehaviour.
class World {
 public:
  // `broker`: the program, with the planted fault of this name. Who the credential belongs to, the clocks and the lag
  // are the scenario's.
  World(const std::string& broker, const std::string& plant, const Scenario& scenario);
  ~World();

  gitlab_sim::GitLabSim& gitlab() { return house_.gitlab(); }
  House& house() { return house_; }
  TokenClient& client() { return *client_; }

  // Starts the broker if it does not run.
  void Revive();
  // Moves the time of GitLab and of the broker.
  void Step(std::chrono::microseconds by);
  // Lets the broker work off what is due, reviving it if it is killed meanwhile.
  void Rest();

  // Runs `call` on a thread of its own while the crash may strike.
  template <typename T>
  T Direct(std::function<T()> call);

  // The troubles and the crash of an act begin and end. At its end GitLab is well again.
  void Begin(const Act& act);
  void End();
  // Whether the broker was killed since the act began.
  bool killed() const { return killed_; }
  // The points at which a crash has struck.
  const std::vector<std::size_t>& struck_at() const { return struck_at_; }

 private:
  // A request that the harness waits for: to strike while GitLab holds it, or to let time pass so that it is answered.
  struct Awaited {
    std::string method;
    std::string path;
    int seen = 0;
    std::chrono::seconds then_pass{0};  // 0: strike.
  };

  void Plan(const char* method, const char* path, Trouble trouble, std::chrono::seconds apply_delay);
  void SetSight(bool sees);
  void Await(const char* method, const char* path, std::chrono::seconds then_pass);
  void Arm(const Crash& crash);
  void Attend();
  // `raised`: the broker has raised the signal itself, or is about to.
  void Strike(bool raised);
  void StepAndGoOn();
  bool Runs();
  std::string Ended();

  House house_;
  Control& control_;
  const bool administrator_;
  std::int64_t issuer_user_ = 0;
  std::unique_ptr<TokenClient> client_;
  std::optional<Crash> crash_;
  std::chrono::steady_clock::time_point began_;
  std::vector<Awaited> awaited_;
  bool struck_ = false;
  bool killed_ = false;
  bool may_be_dead_ = false;
  std::vector<std::size_t> struck_at_;
};

template <typename T>
T World::Direct(std::function<T()> call) {
  constexpr std::chrono::seconds kPatience(60);
  std::future<T> result = std::async(std::launch::async, std::move(call));
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (result.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    Attend();
    if (std::chrono::steady_clock::now() < end) continue;
    house_.KillBroker();  // So that the call ends.
    result.wait();
    throw Misbehaviour{"a call did not end within a minute"};
  }
  Attend();
  return result.get();
}

}  // namespace tokenbroker
