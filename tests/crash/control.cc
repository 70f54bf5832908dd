#include "tests/crash/control.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <unordered_map>

namespace tokenbroker {
namespace {

// The futex of a page that two processes share: std::atomic::wait knows one process alone.
long Futex(std::atomic<std::uint32_t>& word, int operation, std::uint32_t value, const timespec* timeout) {
  return syscall(SYS_futex, &word, operation, value, timeout, nullptr, 0);
}

}  // namespace

std::optional<std::size_t> PointNamed(std::string_view name) {
  static const auto* const kByName = [] {
    auto* by_name = new std::unordered_map<std::string_view, std::size_t>();
    for (std::size_t i = 0; i < kPointCount; ++i) by_name->emplace(kPoints[i], i);
    return by_name;
  }();
  const auto found = kByName->find(name);
  if (found == kByName->end()) return std::nullopt;
  return found->second;
}

Control& MapControl(const std::string& path) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  void* page = MAP_FAILED;
  if (file >= 0 && ftruncate(file, sizeof(Control)) == 0) {
    page = mmap(nullptr, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  }
  if (page == MAP_FAILED) {
    std::perror(path.c_str());
    std::abort();
  }
  close(file);
  // A new file is all zeros, which is what the atomics start with: nothing is constructed, so that both sides may map.
  return *static_cast<Control*>(page);
}

void StepTime(Control& control, std::int64_t micros) {
  control.offset_micros += micros;
  ++control.steps;
  Futex(control.steps, FUTEX_WAKE, INT_MAX, nullptr);
}

void WaitForStep(Control& control, std::uint32_t seen) {
  const timespec patience{0, 200'000'000};
  Futex(control.steps, FUTEX_WAIT, seen, &patience);
}

void Pass(Control& control, std::size_t point) {
  ++control.passed[point];
  if (control.point != point || control.passes_left == 0 || --control.passes_left != 0) return;
  control.fired = 1;
  raise(control.signal);
}

}  // namespace tokenbroker
