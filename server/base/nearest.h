#pragma once
// "Did you mean ...?"

#include <span>
#include <string_view>

namespace tokenbroker {

// The shortest word that begins with `text`, if that has four bytes or more; otherwise the word with the fewest
// single-character changes to it. Empty if none is nearer than a third of its length (and at least two changes), or if
// `text` is longer than 64 bytes.
std::string_view NearestWord(std::span<const std::string_view> words, std::string_view text);

}  // namespace tokenbroker
