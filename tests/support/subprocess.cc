#include "tests/support/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace tokenbroker {
namespace {

using Environment = std::vector<std::pair<std::string, std::string>>;

void Require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "subprocess: %s: %s\n", what, std::strerror(errno));
  std::abort();
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

pid_t Start(std::vector<std::string> arguments, const Environment& environment, int out, int error) {
  std::vector<std::string> variables;
  for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, error, STDERR_FILENO);
  pid_t child = 0;
  errno = posix_spawn(&child, arguments[0].c_str(), &actions, nullptr, Pointers(arguments).data(),
                      Pointers(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  Require(errno == 0, arguments[0].c_str());
  return child;
}

// Reads both to their ends; an ended terminal answers EIO.
void ReadAll(pid_t child, int out, int error, Finished& finished) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  std::array<pollfd, 2> open = {pollfd{out, POLLIN, 0}, pollfd{error, POLLIN, 0}};
  while (open[0].fd >= 0 || open[1].fd >= 0) {
    if (std::chrono::steady_clock::now() > end) {
      kill(child, SIGKILL);
      Require(false, "it did not end within a minute");
    }
    poll(open.data(), open.size(), 1000);
    for (std::size_t i = 0; i < open.size(); ++i) {
      if (open[i].fd < 0 || open[i].revents == 0) continue;
      std::array<char, 4096> chunk;
      const ssize_t got = read(open[i].fd, chunk.data(), chunk.size());
      if (got > 0) (i == 0 ? finished.out : finished.error).append(chunk.data(), static_cast<std::size_t>(got));
      if (got <= 0) open[i].fd = -1;
    }
  }
}

// Takes over `out` (what the program writes to) and `in` (what it is read from, -1 for nothing).
Finished Run(const std::vector<std::string>& arguments, const Environment& environment, int out, int in) {
  int error[2];
  Require(pipe2(error, O_CLOEXEC) == 0, "pipe");
  const pid_t child = Start(arguments, environment, out, error[1]);
  close(out);
  close(error[1]);
  Finished finished;
  ReadAll(child, in, error[0], finished);
  if (in >= 0) close(in);
  close(error[0]);
  int status = 0;
  Require(waitpid(child, &status, 0) == child, "waitpid");
  finished.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return finished;
}

}  // namespace

Finished RunProcess(const std::vector<std::string>& arguments, const Environment& environment) {
  int out[2];
  Require(pipe2(out, O_CLOEXEC) == 0, "pipe");
  return Run(arguments, environment, out[1], out[0]);
}

Finished RunOnTerminal(const std::vector<std::string>& arguments, const Environment& environment) {
  int master = -1;
  int slave = -1;
  Require(openpty(&master, &slave, nullptr, nullptr, nullptr) == 0, "openpty");
  fcntl(master, F_SETFD, FD_CLOEXEC);
  fcntl(slave, F_SETFD, FD_CLOEXEC);
  termios settings = {};
  tcgetattr(slave, &settings);
  cfmakeraw(&settings);
  tcsetattr(slave, TCSANOW, &settings);
  return Run(arguments, environment, slave, master);
}

Finished RunIntoFullDisk(const std::vector<std::string>& arguments, const Environment& environment) {
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  Require(full >= 0, "/dev/full");
  return Run(arguments, environment, full, -1);
}

}  // namespace tokenbroker
