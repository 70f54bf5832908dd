#include "server/policy/affix_index.h"

#include <algorithm>
#include <optional>

namespace tokenbroker {
namespace {

std::string Reversed(std::string_view text) { return {text.rbegin(), text.rend()}; }

}  // namespace

TextEdges TextEdges::Literal(std::string_view text) {
  TextEdges edges{std::string(text), Reversed(text)};
  edges.begin += '\0';
  edges.reversed_end += '\0';
  return edges;
}

TextEdges TextEdges::Open(std::string_view before, std::string_view after) {
  return {std::string(before), Reversed(after)};
}

void AffixIndex::Add(const TextEdges& edges, int id) {
  begins_.sorted.emplace_back(edges.begin, id);
  ends_.sorted.emplace_back(edges.reversed_end, id);
}

void AffixIndex::Finish() {
  begins_.Finish();
  ends_.Finish();
}

void AffixIndex::Keys::Finish() {
  std::sort(sorted.begin(), sorted.end());
  is_useless = sorted.empty() || sorted.front().first == sorted.back().first;
  for (const Entry& entry : sorted) lengths.insert(entry.first.size());
}

std::vector<AffixIndex::Keys::Range> AffixIndex::Keys::Find(const std::string& key) const {
  std::vector<Range> ranges;
  const auto from = [this](std::string_view text) {
    return std::partition_point(sorted.begin(), sorted.end(), [&](const Entry& entry) { return entry.first < text; });
  };
  for (const std::size_t length : lengths) {
    if (length >= key.size()) break;
    const std::string_view prefix = std::string_view(key).substr(0, length);
    const auto begin = from(prefix);
    const auto end =
        std::partition_point(begin, sorted.end(), [&](const Entry& entry) { return entry.first == prefix; });
    ranges.emplace_back(begin, end);
  }
  const auto begin = from(key);
  ranges.emplace_back(begin, std::partition_point(begin, sorted.end(),
                                                  [&](const Entry& entry) { return entry.first.starts_with(key); }));
  return ranges;
}

bool AffixIndex::Find(const TextEdges& edges, std::size_t limit, std::vector<int>* ids) const {
  std::optional<std::vector<Keys::Range>> best;
  for (const auto& [keys, key] : {std::pair(&begins_, &edges.begin), std::pair(&ends_, &edges.reversed_end)}) {
    std::size_t count = 0;
    if (keys->is_useless) {
      // Everything or nothing.
      if (keys->sorted.empty()) continue;
      const std::string& only = keys->sorted.front().first;
      if (only.starts_with(*key) || key->starts_with(only)) count = keys->sorted.size();
      if (count >= limit) continue;
    }
    std::vector<Keys::Range> ranges = keys->Find(*key);
    count = 0;
    for (const auto& [begin, end] : ranges) count += static_cast<std::size_t>(end - begin);
    if (count >= limit) continue;
    limit = count;
    best = std::move(ranges);
  }
  if (!best.has_value()) return false;
  ids->clear();
  for (const auto& [begin, end] : *best) {
    for (auto each = begin; each != end; ++each) ids->push_back(each->second);
  }
  return true;
}

}  // namespace tokenbroker
