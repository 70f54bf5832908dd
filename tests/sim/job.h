#pragma once
// A service that wants a token: asks, asks again as a good client does, uses what it got, repeats the request all the
// same, and gives the token back or not.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "server/broker/broker.h"
#include "tests/sim/server.h"
#include "tests/sim/upstream.h"

namespace tokenbroker::sim {

class Job {
 public:
  // `projects_only`: the credential may not mint for users.
  Job(Sky& sky, Draw& draw, Server& server, int number, bool projects_only);

  // Begins, somewhere in the next `within`.
  void Start(Duration within);
  // Wants nothing more: what it holds it keeps.
  void Retire() { retired_ = true; }
  // The connection is gone with its server.
  void Broken();

  // What it knows, for the invariants.
  struct Held {
    Token token;
    bool given_back = false;     // It has asked for the revocation, whatever came of it.
    bool extended = false;       // It has rotated the token by itself.
    bool ended_by_hand = false;  // Somebody has revoked it in a browser.
  };
  // A revocation that was acknowledged, and when.
  using Acknowledged = std::map<TokenId, BootTime>;
  const Server& server() const { return server_; }
  const std::optional<Held>& held() const { return held_; }
  // Revocations that were answered OK.
  const Acknowledged& acknowledged() const { return acknowledged_; }
  // What it saw that must never be.
  const std::vector<std::string>& wrong() const { return wrong_; }
  const std::string& number() const { return number_; }
  bool has_request_id() const { return !request_.request_id.empty(); }
  // The reasons of the errors that it got.
  const std::set<std::string>& answers() const { return answers_; }

 private:
  void Ask();
  void Heard(const absl::StatusOr<Created>& created, bool in_use);
  void HeardError(const absl::Status& error);
  void Live();
  void GiveBack(const TokenId& id);
  void AskAgain(Duration in);
  void Later(Duration in, void (Job::*act)());
  void Note(const std::string& what) const { sky_.note("job " + number_ + ' ' + what); }

  Sky& sky_;
  Draw& draw_;
  Server& server_;
  std::string number_;
  Caller caller_;
  CreateRequest request_;
  CancelSource leave_;
  int attempts_ = 0;
  int returns_ = 0;
  bool asking_ = false;
  bool retired_ = false;
  TokenId returning_;
  std::optional<Held> held_;
  Acknowledged acknowledged_;
  std::vector<std::string> wrong_;
  std::set<std::string> answers_;
};

}  // namespace tokenbroker::sim
