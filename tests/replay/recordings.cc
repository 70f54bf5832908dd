#include "tests/replay/recordings.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace tokenbroker {

std::vector<nlohmann::json> ReadRecordedFlows() {
  const char* directory = std::getenv("RECORDINGS_DIR");
  if (directory == nullptr || !std::filesystem::is_directory(directory)) return {};
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().extension() == ".jsonl") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<nlohmann::json> flows;
  for (const std::filesystem::path& path : files) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) flows.push_back(nlohmann::json::parse(line));
  }
  return flows;
}

}  // namespace tokenbroker
