#pragma once
// The series of one metric family, by one or two label values out of closed sets. Each is made when it is first used,
// and found from then on without a lock, a search in the family or a string.

#include <algorithm>
#include <atomic>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tokenbroker {

using Words = std::span<const std::string_view>;

// Thread-safe. T is a metric of prometheus-cpp, which the family owns.
template <typename T>
class SeriesTable {
 public:
  // Makes, or finds, the series with these label values. Called by several threads, for one series too.
  using Make = std::function<T&(std::string first, std::string second)>;

  SeriesTable(Words first, Words second, Make make)
      : first_(first), second_(second), make_(std::move(make)), series_((first.size() + 1) * (second.size() + 1)) {}

  // What is none of the words becomes "other".
  T& At(std::string_view first, std::string_view second = {}) {
    const std::size_t row = Place(first_, first);
    const std::size_t column = Place(second_, second);
    std::atomic<T*>& known = series_[row * (second_.size() + 1) + column];
    T* series = known.load(std::memory_order_acquire);
    if (series == nullptr) {
      series = &make_(Word(first_, row), Word(second_, column));
      known.store(series, std::memory_order_release);
    }
    return *series;
  }

 private:
  static std::size_t Place(Words words, std::string_view word) {
    return static_cast<std::size_t>(std::find(words.begin(), words.end(), word) - words.begin());
  }
  static std::string Word(Words words, std::size_t place) {
    return place < words.size() ? std::string(words[place]) : "other";
  }

  const Words first_;
  const Words second_;
  const Make make_;
  std::vector<std::atomic<T*>> series_;
};

}  // namespace tokenbroker
