#pragma once
// Finds, among many texts of which only beginning and end are known, those that might be equal to another.

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tokenbroker {

// What is known of a text: all of it, or the beginning and the end around something open.
struct TextEdges {
  static TextEdges Literal(std::string_view text);
  static TextEdges Open(std::string_view before, std::string_view after);

  std::string begin;         // A literal ends in a NUL, so that it begins no other.
  std::string reversed_end;  // From the last character back, likewise.
};

// Two texts can be equal only if of their beginnings one is a prefix of the other, and of their ends one is a suffix of
// the other. Immutable once finished; thread-safe then.
class AffixIndex {
 public:
  void Add(const TextEdges& edges, int id);
  // Call once, after the last Add and before Find.
  void Finish();

  // The ids on the side (beginnings or ends) that leaves fewer, with `edges` itself if it was added. Stops counting a
  // side at `limit` and returns false, without a result, if neither side leaves fewer than that.
  bool Find(const TextEdges& edges, std::size_t limit, std::vector<int>* ids) const;

 private:
  // One side's keys in order.
  struct Keys {
    using Entry = std::pair<std::string, int>;
    using Range = std::pair<std::vector<Entry>::const_iterator, std::vector<Entry>::const_iterator>;

    void Finish();
    // Everything whose key is a prefix of `key`, or has it as a prefix.
    std::vector<Range> Find(const std::string& key) const;

    std::vector<Entry> sorted;
    std::set<std::size_t> lengths;
    bool is_useless = false;  // All keys are the same.
  };

  Keys begins_, ends_;
};

}  // namespace tokenbroker
