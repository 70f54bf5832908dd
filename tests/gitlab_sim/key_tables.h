// The keys of GitLab's large objects. A reader meets all of them, though few matter to anyone.
#pragma once

#include <vector>

namespace tokenbroker::gitlab_sim {

struct KeyDefault {
  const char* key;
  const char* json;  // Null: computed for each object, left out where nothing was computed.
  int since;         // Version as major * 100 + minor in which the key came; 0: before 17.11.
  int until;         // Version in which it went; 0: it is still there.
};

const std::vector<KeyDefault>& ProjectKeys();
const std::vector<KeyDefault>& GroupKeys();
const std::vector<KeyDefault>& UserKeys();

}  // namespace tokenbroker::gitlab_sim
