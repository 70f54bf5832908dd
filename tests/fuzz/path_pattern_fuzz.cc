// A pattern and a path, on two lines: what matches does so in any case of letters, and never outside its literal part.

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "server/policy/path_pattern.h"
#include "tests/fuzz/check.h"

namespace tokenbroker {
namespace {

std::string UpperCase(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

void Match(std::string_view text) {
  const std::size_t line = text.find('\n');
  if (line == std::string_view::npos) return;
  const std::string pattern_text(text.substr(0, line));
  const std::string path(text.substr(line + 1));
  const auto pattern = PathPattern::Parse(pattern_text, 1);
  if (!pattern.ok()) return;
  const bool matches = pattern->Matches(path);
  fuzz::Check(pattern->Matches(UpperCase(path)) == matches, "case of letters decides nothing");
  const std::size_t star = pattern_text.find('*');
  if (star == std::string::npos) {
    fuzz::Check(matches == (UpperCase(path) == UpperCase(pattern_text)), "without stars it is a comparison");
  } else if (matches) {
    fuzz::Check(UpperCase(path).starts_with(UpperCase(pattern_text.substr(0, star))), "the literal beginning holds");
  }
  if (matches && pattern_text.find("**") == std::string::npos) {
    fuzz::Check(std::count(path.begin(), path.end(), '/') == std::count(pattern_text.begin(), pattern_text.end(), '/'),
                "a star stays inside its segment");
  }
}

}  // namespace
}  // namespace tokenbroker

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tokenbroker::Match({reinterpret_cast<const char*>(data), size});
  return 0;
}
