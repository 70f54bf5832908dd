#include "server/base/secret_file.h"

#include <algorithm>
#include <fstream>
#include <string_view>
#include <utility>

#include "server/base/error.h"

namespace tokenbroker {
namespace {

constexpr std::size_t kLongest = 4096;

absl::Status Bad(const std::string& path, std::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "SECRET_FILE_INVALID",
               path + " " + std::string(what) + ": it must hold one token in one line, without anything else");
}

}  // namespace

absl::StatusOr<Secret> ParseSecretText(const std::string& path, std::string text) {
  constexpr std::string_view kBlanks = " \t\r\n\v\f";
  const std::size_t first = text.find_first_not_of(kBlanks);
  const std::size_t last = text.find_last_not_of(kBlanks);
  const std::string_view token =
      first == std::string::npos ? std::string_view() : std::string_view(text).substr(first, last - first + 1);
  const bool lines = token.find_first_of("\n\r") != std::string_view::npos;
  const bool blank = token.find_first_of(" \t") != std::string_view::npos;
  const bool control = std::any_of(token.begin(), token.end(), [](unsigned char c) { return c < 0x20 || c >= 0x7f; });
  const std::size_t size = token.size();
  Secret secret{token};
  Wipe(text);
  if (size == 0) return Bad(path, "is empty");
  if (lines) return Bad(path, "has more than one line");
  if (blank) return Bad(path, "contains a blank");
  if (control) return Bad(path, "contains a control character or one that is not ASCII");
  if (size > kLongest) return Bad(path, "is longer than 4096 bytes");
  return secret;
}

absl::StatusOr<Secret> ReadSecretFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return Error(absl::StatusCode::kNotFound, "SECRET_FILE_INVALID", path + " cannot be read");
  std::string text;
  text.reserve(2 * kLongest);
  text.resize(kLongest + 16);
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return ParseSecretText(path, std::move(text));
}

}  // namespace tokenbroker
