#pragma once
// Texts of others, made safe for a terminal.

#include <string>
#include <string_view>

namespace tokenbroker::tokenctl {

// `text` without anything that could move a cursor or hide what is written: control characters (C0, DEL, C1), line and
// paragraph separators, the characters that turn the direction of writing, and bytes that are not UTF-8 become \n, \t,
// \u009b or \xff.
std::string Printable(std::string_view text);

}  // namespace tokenbroker::tokenctl
