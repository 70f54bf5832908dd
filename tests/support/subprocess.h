#pragma once
// Testonly: runs a program to its end and tells what it wrote.

#include <string>
#include <utility>
#include <vector>

namespace tokenbroker {

struct Finished {
  int exit_code = -1;  // Negative: the signal that ended it.
  std::string out;
  std::string error;
};

// Runs `arguments[0]` (a path) with nothing on its standard input and with `environment` as its whole environment.
// Ends the test's process if the program cannot be started or runs for more than a minute.
Finished RunProcess(const std::vector<std::string>& arguments,
                    const std::vector<std::pair<std::string, std::string>>& environment);

// The same with a pseudo-terminal as its standard output, as a person has it; line ends are \n.
Finished RunOnTerminal(const std::vector<std::string>& arguments,
                       const std::vector<std::pair<std::string, std::string>>& environment);

// The same with /dev/full as its standard output: every write fails.
Finished RunIntoFullDisk(const std::vector<std::string>& arguments,
                         const std::vector<std::pair<std::string, std::string>>& environment);

}  // namespace tokenbroker
