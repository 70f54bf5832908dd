#pragma once
// What the bench found, as a table for people.

#include <optional>
#include <string>
#include <vector>

#include "tests/bench/measure.h"

namespace tokenbroker::bench {

struct Row {
  std::string work;
  std::optional<Figures> figures;  // Of an operation, if the row is about one.
  std::string result;              // Otherwise, or besides: "24.1 MB", "1.31 x echo".
  std::string target;              // Empty: none.
  std::optional<bool> met;         // Set where there is a target.
};

// "135 us", "1.20 ms", "2.5 s".
std::string FormatMicroseconds(double us);
// With `decimals` digits after the point.
std::string FormatNumber(double value, int decimals);

// One row a line, columns aligned.
std::string FormatTable(const std::vector<Row>& rows);

// False for a row that says nothing: no figures and no result, or figures that are not positive numbers.
bool HasNumbers(const Row& row);

}  // namespace tokenbroker::bench
