// Child processes: one that is waited for by the event loop, and one that is waited for right here.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace boost::asio {
class io_context;
}  // namespace boost::asio

namespace tokenbroker::gitlab_sim {

struct Command {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH.
  std::vector<std::string> environment;
  std::string input;  // Its standard input.
};

struct CommandResult {
  int exit_code = -1;  // -1: not started, or ended by a signal.
  std::string output;  // Its standard output.
};

// Calls `done` on the loop's thread. The loop does not wait meanwhile.
void RunAsync(boost::asio::io_context& io, Command command, std::function<void(CommandResult)> done);

// Blocks. Standard error goes to ours.
CommandResult RunAndWait(const Command& command);

}  // namespace tokenbroker::gitlab_sim
