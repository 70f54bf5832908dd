#pragma once
// The keys of one issuer in force, wherever they come from.

#include <memory>

#include "server/identity/key_set.h"

namespace tokenbroker {

// Thread-safe.
class KeySource {
 public:
  virtual ~KeySource() = default;
  // The keys in force; null before the first good ones. Never waits for any.
  virtual std::shared_ptr<const KeySet> Current() const = 0;
  // A token named a key that is not in force.
  virtual void Want() = 0;
};

}  // namespace tokenbroker
