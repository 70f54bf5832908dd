#pragma once
// Who calls, among many who might.

#include <vector>

#include "tests/bench/table.h"

namespace tokenbroker::bench {

// Recognising a caller among 1,000 rules: all literal, all with open places, and tokens by a claim.
std::vector<Row> RecogniseRows(Span span);

// Compiling a policy of 4,096 callers whose identities have captures, whichever segment tells them apart.
std::vector<Row> CompileRows(Span span);

}  // namespace tokenbroker::bench
