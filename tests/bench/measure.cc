#include "tests/bench/measure.h"

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <utility>

namespace tokenbroker::bench {
namespace {

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The `part` quantile of what is sorted, in microseconds.
double QuantileUs(const std::vector<Span>& sorted, double part) {
  const auto at = static_cast<std::size_t>(part * static_cast<double>(sorted.size()));
  return sorted[std::min(at, sorted.size() - 1)].count() * 1e6;
}

// How many chains of operations still go on.
class Running {
 public:
  explicit Running(int chains) : chains_(chains) {}
  void OneEnded() {
    const std::lock_guard lock(mutex_);
    --chains_;
    changed_.notify_one();
  }
  void WaitForAll() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return chains_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int chains_;
};

// Operations one after the other until `end`. It lives as long as anybody may call it back.
class Chain : public std::enable_shared_from_this<Chain> {
 public:
  Chain(const Start& start, Clock::time_point end, std::shared_ptr<Running> running)
      : start_(start), end_(end), running_(std::move(running)) {}

  void Next() {
    began_ = Clock::now();
    start_([self = shared_from_this()](const std::string& error) {
      if (!error.empty()) Fail(error);
      self->Ended(Clock::now());
    });
  }
  const std::vector<Span>& spans() const { return spans_; }

 private:
  void Ended(Clock::time_point now) {
    spans_.push_back(now - began_);
    if (now < end_) return Next();
    running_->OneEnded();
  }

  const Start start_;
  const Clock::time_point end_;
  const std::shared_ptr<Running> running_;
  Clock::time_point began_;
  std::vector<Span> spans_;
};

}  // namespace

Figures FiguresOf(std::vector<Span> spans, Span whole) {
  if (spans.empty()) return {};
  std::sort(spans.begin(), spans.end());
  return {QuantileUs(spans, 0.5), QuantileUs(spans, 0.99), static_cast<double>(spans.size()) / whole.count()};
}

Figures MedianOf(const std::vector<Figures>& rounds) {
  const auto median = [&rounds](double Figures::*figure) {
    std::vector<double> values;
    for (const Figures& round : rounds) values.push_back(round.*figure);
    return Median(std::move(values));
  };
  return {median(&Figures::p50_us), median(&Figures::p99_us), median(&Figures::per_second)};
}

Figures KeepInFlight(int in_flight, Span span, const Start& start) {
  const auto running = std::make_shared<Running>(in_flight);
  const Clock::time_point began = Clock::now();
  const Clock::time_point end = began + std::chrono::duration_cast<Clock::duration>(span);
  std::vector<std::shared_ptr<Chain>> chains;
  for (int i = 0; i < in_flight; ++i) chains.push_back(std::make_shared<Chain>(start, end, running));
  for (const std::shared_ptr<Chain>& chain : chains) chain->Next();
  running->WaitForAll();
  const Span whole = Clock::now() - began;
  std::vector<Span> spans;
  for (const std::shared_ptr<Chain>& chain : chains) {
    spans.insert(spans.end(), chain->spans().begin(), chain->spans().end());
  }
  return FiguresOf(std::move(spans), whole);
}

void Fail(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::_Exit(1);
}

}  // namespace tokenbroker::bench
