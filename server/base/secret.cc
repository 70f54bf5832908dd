#include "server/base/secret.h"

#include <openssl/crypto.h>

#include <algorithm>

namespace tokenbroker {

Secret::Secret(std::string_view text) : size_(text.size()), bytes_(new char[text.size()]) {
  std::copy(text.begin(), text.end(), bytes_.get());
}

Secret Secret::TakeFrom(std::string& text) {
  Secret secret(text);
  tokenbroker::Wipe(text);
  return secret;
}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    Wipe();
    size_ = std::exchange(other.size_, 0);
    bytes_ = std::exchange(other.bytes_, nullptr);
  }
  return *this;
}

Secret::~Secret() { Wipe(); }

void Secret::Wipe() {
  if (bytes_ != nullptr) OPENSSL_cleanse(bytes_.get(), size_);
}

void Wipe(std::string& text) {
  OPENSSL_cleanse(text.data(), text.size());
  text.clear();
}

}  // namespace tokenbroker
