// A pattern and a path, on two lines: what matches does so in any case of letters, and never outside its literal part.

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "server/policy/path_pattern.h"
#include "tests/fuzz/check.h"

namespace tokenbroker {
namespace {

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

void Match(std::string_view text) {
  const std::size_t line = text.find('\n');
  if (line == std::string_view::npos) return;
  const std::string written(text.substr(0, line));
  const std::string path = Lower(std::string(text.substr(line + 1)));
  const auto pattern = PathPattern::Parse(written, 1);
  const auto lower = PathPattern::Parse(Lower(written), 1);
  const std::map<std::string, std::string> captures = {{"team", "blue"}};
  const CapturedTexts captured(captures);
  const bool matches = pattern.ok() && pattern->Matches(path, captured);
  if (!pattern.ok() || written.find('{') != std::string::npos) return;
  fuzz::Check(lower.ok() && lower->Matches(path, captured) == matches, "case of letters decides nothing");
  const std::string literal = Lower(written);
  const std::size_t star = literal.find('*');
  if (star == std::string::npos) {
    fuzz::Check(matches == (path == literal), "without stars it is a comparison");
  } else if (matches) {
    fuzz::Check(path.starts_with(literal.substr(0, star)), "the literal beginning holds");
  }
  if (matches && literal.find("**") == std::string::npos) {
    fuzz::Check(std::count(path.begin(), path.end(), '/') == std::count(literal.begin(), literal.end(), '/'),
                "a star stays inside its segment");
  }
}

}  // namespace
}  // namespace tokenbroker

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tokenbroker::Match({reinterpret_cast<const char*>(data), size});
  return 0;
}
