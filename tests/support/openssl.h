#pragma once
// Testonly: OpenSSL's objects as owners, and its failures as the end of the process: a test without its keys has
// nothing to say.

#include <openssl/err.h>

#include <cstdio>
#include <cstdlib>

namespace tokenbroker {

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* what) const {
    kFree(what);
  }
};

inline void Require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "tests/support: %s failed\n", what);
  ERR_print_errors_fp(stderr);
  std::abort();
}

}  // namespace tokenbroker
