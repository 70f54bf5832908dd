#pragma once
// Calls beside their floors: short rounds of each in turn, so that whatever else the machine does meets all of them.

#include <vector>

#include "tests/bench/served.h"
#include "tests/bench/table.h"

namespace tokenbroker::bench {

// Creates go to `minting`, lists to the two brokers that have `few` and `many` tokens.
std::vector<Row> SideBySide(Served& minting, Served& few, Served& many, int rounds, Span span);

}  // namespace tokenbroker::bench
