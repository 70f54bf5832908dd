#include "server/base/secret_file.h"

#include <algorithm>
#include <fstream>
#include <string_view>

#include "server/base/error.h"

namespace tokenbroker {
namespace {

constexpr std::size_t kLongest = 4096;

absl::Status Bad(const std::string& path, std::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "SECRET_FILE_INVALID",
               path + " " + std::string(what) + ": it must hold one token in one line, without anything else");
}

}  // namespace

absl::StatusOr<Secret> ReadSecretFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return Error(absl::StatusCode::kNotFound, "SECRET_FILE_INVALID", path + " cannot be read");
  std::string text;
  text.reserve(2 * kLongest);
  text.resize(kLongest + 2);
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.ends_with('\n')) text.pop_back();
  const bool lines = text.find('\n') != std::string::npos;
  const bool control = std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c >= 0x7f; });
  const bool blank = text.find(' ') != std::string::npos;
  const std::size_t size = text.size();
  Secret secret = Secret::TakeFrom(text);
  if (size == 0) return Bad(path, "is empty");
  if (lines) return Bad(path, "has more than one line");
  if (control) return Bad(path, "contains a control character or one that is not ASCII");
  if (blank) return Bad(path, "contains a blank");
  if (size > kLongest) return Bad(path, "is longer than 4096 bytes");
  return secret;
}

}  // namespace tokenbroker
