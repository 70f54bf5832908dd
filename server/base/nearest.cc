#include "server/base/nearest.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

namespace tokenbroker {
namespace {

// The shortest beginning that says which word is meant.
constexpr std::size_t kMinBeginning = 4;

std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

std::string_view NearestWord(std::span<const std::string_view> words, std::string_view text) {
  if (text.size() > 64) return {};
  std::string_view best;
  // A word that was left unfinished is meant before one that is as long.
  if (text.size() >= kMinBeginning) {
    for (const std::string_view word : words) {
      if (word.starts_with(text) && (best.empty() || word.size() < best.size())) best = word;
    }
    if (!best.empty()) return best;
  }
  std::size_t best_distance = std::max<std::size_t>(2, text.size() / 3) + 1;
  for (const std::string_view word : words) {
    const std::size_t distance = EditDistance(word, text);
    if (distance >= best_distance) continue;
    best = word;
    best_distance = distance;
  }
  return best;
}

}  // namespace tokenbroker
