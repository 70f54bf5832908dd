#include "tests/bench/table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace tokenbroker::bench {
namespace {

constexpr std::size_t kColumns = 7;
using Line = std::array<std::string, kColumns>;

constexpr std::array<bool, kColumns> kToTheRight = {false, true, true, true, false, false, false};

Line LineOf(const Row& row) {
  Line line = {row.work, "", "", "", row.result, row.target, ""};
  if (row.figures.has_value()) {
    line[1] = FormatMicroseconds(row.figures->p50_us);
    line[2] = FormatMicroseconds(row.figures->p99_us);
    line[3] = FormatNumber(row.figures->per_second, 0);
  }
  if (row.met.has_value()) line[6] = *row.met ? "yes" : "NO";
  return line;
}

bool IsPositive(double value) { return std::isfinite(value) && value > 0; }

}  // namespace

std::string FormatNumber(double value, int decimals) {
  std::array<char, 64> text;
  std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  return text.data();
}

std::string FormatMicroseconds(double us) {
  if (us < 10) return FormatNumber(us, 2) + " us";
  if (us < 1000) return FormatNumber(us, 0) + " us";
  if (us < 1e6) return FormatNumber(us / 1e3, 2) + " ms";
  return FormatNumber(us / 1e6, 2) + " s";
}

std::string FormatTable(const std::vector<Row>& rows) {
  std::vector<Line> lines = {{"work", "p50", "p99", "per second", "result", "target", "met"}};
  for (const Row& row : rows) lines.push_back(LineOf(row));
  std::array<std::size_t, kColumns> widths{};
  for (const Line& line : lines) {
    for (std::size_t i = 0; i < kColumns; ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  std::string text;
  for (const Line& line : lines) {
    std::string printed;
    for (std::size_t i = 0; i < kColumns; ++i) {
      const std::string padding(widths[i] - line[i].size(), ' ');
      if (i > 0) printed += "  ";
      printed += kToTheRight[i] ? padding + line[i] : line[i] + padding;
    }
    printed.erase(printed.find_last_not_of(' ') + 1);
    text += printed + '\n';
  }
  return text;
}

bool HasNumbers(const Row& row) {
  if (!row.target.empty() && !row.met.has_value()) return false;
  if (!row.figures.has_value()) return row.result.find_first_of("0123456789") != std::string::npos;
  return IsPositive(row.figures->p50_us) && IsPositive(row.figures->p99_us) && IsPositive(row.figures->per_second);
}

}  // namespace tokenbroker::bench
