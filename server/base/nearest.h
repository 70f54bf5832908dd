#pragma once
// "Did you mean ...?"

#include <span>
#include <string_view>

namespace tokenbroker {

// The word with the fewest single-character changes to `text`; empty if none is nearer than a third of its length (and
// at least two changes), or if `text` is longer than 64 bytes.
std::string_view NearestWord(std::span<const std::string_view> words, std::string_view text);

}  // namespace tokenbroker
