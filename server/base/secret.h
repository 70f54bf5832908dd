#pragma once
// A value that must not be seen: a GitLab token, a key. Move-only; it cannot be printed, copied or compared by
// accident, and its memory is wiped when it goes. Copies inside gRPC, OpenSSL, libcurl and the kernel are beyond our
// reach: that is why the process takes no core dumps.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace tokenbroker {

class Secret {
 public:
  Secret() = default;
  // Copies `text`; wiping the source is the caller's affair (see TakeFrom).
  explicit Secret(std::string_view text);
  // Moves `text` in and wipes what it leaves behind.
  static Secret TakeFrom(std::string& text);

  Secret(Secret&& other) noexcept
      : size_(std::exchange(other.size_, 0)), bytes_(std::exchange(other.bytes_, nullptr)) {}
  Secret& operator=(Secret&& other) noexcept;
  ~Secret();

  bool empty() const { return size_ == 0; }

  // The only way out; every call of it is a place to look at in a review. Valid while this Secret is unchanged.
  std::string_view Reveal() const { return {bytes_.get(), size_}; }

  // A copy, on purpose.
  Secret Clone() const { return Secret(Reveal()); }

 private:
  void Wipe();

  std::size_t size_ = 0;
  std::unique_ptr<char[]> bytes_;
};

bool operator==(const Secret&, const Secret&) = delete;

// Overwrites and empties a buffer that held a secret.
void Wipe(std::string& text);

}  // namespace tokenbroker
