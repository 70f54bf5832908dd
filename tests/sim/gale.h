#pragma once
// One target stops responding, perhaps while a caller has much to do there, and everything else at GitLab is well:
// nobody else may feel it. In fine weather otherwise.
//
// A caller without load of its own gets the permits that its create needs at once, since no more than a quarter of them
// go to one target and no more than a half to one caller while others wait; so its create ends within kGaleBound. Its
// token that ends meanwhile ends in time, and the reconciler compares every other target's tokens (promises.h).

#include <string>
#include <vector>

#include "tests/sim/server.h"
#include "tests/sim/sky.h"

namespace tokenbroker::sim {

// Two requests of up to 120 ms, and as long again for those of others that were under way.
inline constexpr Duration kGaleBound = seconds(1);

class Gale {
 public:
  Gale(Sky& sky, Draw& draw, Server& server, bool load) : sky_(sky), draw_(draw), server_(server), load_(load) {}

  // The server is alive. `Blow` returns in the middle of it, `Calm` ends it; this outlives what it asked for.
  void Blow();
  void Calm();
  // What was wrong.
  const std::vector<std::string>& wrong() const { return wrong_; }

 private:
  void Create(const std::string& caller, const std::string& project, Duration ttl);

  Sky& sky_;
  Draw& draw_;
  Server& server_;
  const bool load_;
  std::vector<std::string> wrong_;
  int waiting_ = 0;
};

}  // namespace tokenbroker::sim
