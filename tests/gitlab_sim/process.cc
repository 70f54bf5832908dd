#include "tests/gitlab_sim/process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <memory>
#include <utility>

namespace tokenbroker::gitlab_sim {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

struct Child {
  pid_t pid = -1;
  int input = -1;   // We write.
  int output = -1;  // We read.
};

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

Child Spawn(const Command& command) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  if (pipe2(in.data(), O_CLOEXEC) != 0) return {};
  if (pipe2(out.data(), O_CLOEXEC) != 0) {
    close(in[0]);
    close(in[1]);
    return {};
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  // Our thread may hold signals back (SIGPIPE); the child shall not.
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  Child child{.pid = -1, .input = in[1], .output = out[0]};
  const auto argv = Pointers(command.argv);
  const auto environment = Pointers(command.environment);
  if (posix_spawnp(&child.pid, argv[0], &actions, &attributes, argv.data(), environment.data()) != 0) child.pid = -1;
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  close(in[0]);
  close(out[1]);
  if (child.pid < 0) {
    close(in[1]);
    close(out[0]);
  }
  return child;
}

int ExitCode(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }

class Running : public std::enable_shared_from_this<Running> {
 public:
  Running(asio::io_context& io, const Child& child, std::string input, std::function<void(CommandResult)> done)
      : pid_(child.pid),
        in_(io, child.input),
        out_(io, child.output),
        timer_(io),
        input_(std::move(input)),
        done_(std::move(done)) {}

  void Start() {
    asio::async_write(in_, asio::buffer(input_), [self = shared_from_this()](error_code, size_t) {
      error_code ignored;
      self->in_.close(ignored);
    });
    asio::async_read(out_, asio::dynamic_buffer(output_),
                     [self = shared_from_this()](error_code, size_t) { self->Reap(); });
  }

 private:
  // Its output is at its end, so it is gone or about to go.
  void Reap() {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == 0) {
      timer_.expires_after(std::chrono::milliseconds(1));
      timer_.async_wait([self = shared_from_this()](error_code error) {
        if (!error) self->Reap();
      });
      return;
    }
    done_(CommandResult{.exit_code = ExitCode(status), .output = std::move(output_)});
  }

  pid_t pid_;
  asio::posix::stream_descriptor in_;
  asio::posix::stream_descriptor out_;
  asio::steady_timer timer_;
  std::string input_;
  std::string output_;
  std::function<void(CommandResult)> done_;
};

}  // namespace

void RunAsync(asio::io_context& io, Command command, std::function<void(CommandResult)> done) {
  const Child child = Spawn(command);
  if (child.pid < 0) {
    done(CommandResult{});
    return;
  }
  std::make_shared<Running>(io, child, std::move(command.input), std::move(done))->Start();
}

CommandResult RunAndWait(const Command& command) {
  asio::io_context io;
  CommandResult result;
  RunAsync(io, command, [&result](CommandResult finished) { result = std::move(finished); });
  io.run();
  return result;
}

}  // namespace tokenbroker::gitlab_sim
