#include "server/base/json_writer.h"

#include <charconv>
#include <cmath>
#include <cstddef>

namespace tokenbroker {
namespace {

// The length of the valid UTF-8 sequence (RFC 3629) at the start of `text`, or 0.
std::size_t SequenceLength(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  std::size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;  // No surrogates.
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
  }
  if (length == 0 || text.size() < length) return 0;
  if (byte(1) < low || byte(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
  }
  return length;
}

// U+0085, U+2028 and U+2029 end a line for some readers, though JSON allows them in a text.
const char* EscapeOfLineEnd(std::string_view character) {
  if (character == "\xc2\x85") return "\\u0085";
  if (character == "\xe2\x80\xa8") return "\\u2028";
  if (character == "\xe2\x80\xa9") return "\\u2029";
  return nullptr;
}

}  // namespace

void JsonWriter::Separate() {
  if (!after_key_ && !first_) text_ += ',';
  first_ = false;
  after_key_ = false;
}

void JsonWriter::Open(char bracket) {
  Separate();
  text_ += bracket;
  first_ = true;
}

void JsonWriter::Close(char bracket) {
  text_ += bracket;
  first_ = false;
}

void JsonWriter::Key(std::string_view key) {
  Separate();
  Quoted(key);
  text_ += ':';
  after_key_ = true;
}

void JsonWriter::Quoted(std::string_view value) {
  constexpr char kHex[] = "0123456789abcdef";
  text_ += '"';
  while (!value.empty()) {
    const auto c = static_cast<unsigned char>(value[0]);
    std::size_t length = SequenceLength(value);
    if (length == 0) {
      text_ += "\xef\xbf\xbd";
      length = 1;
    } else if (c == '"' || c == '\\') {
      text_ += '\\';
      text_ += static_cast<char>(c);
    } else if (c == '\n') {
      text_ += "\\n";
    } else if (c < 0x20 || c == 0x7f) {
      text_ += "\\u00";
      text_ += kHex[c >> 4];
      text_ += kHex[c & 15];
    } else if (const char* const escaped = EscapeOfLineEnd(value.substr(0, length)); escaped != nullptr) {
      text_ += escaped;
    } else {
      text_ += value.substr(0, length);
    }
    value.remove_prefix(length);
  }
  text_ += '"';
}

void JsonWriter::Field(std::string_view key, std::string_view value) {
  Key(key);
  Item(value);
}

void JsonWriter::Field(std::string_view key, std::int64_t value) {
  Key(key);
  Item(value);
}

void JsonWriter::Field(std::string_view key, double value) {
  Key(key);
  Separate();
  if (!std::isfinite(value)) {
    text_ += "null";
    return;
  }
  char buffer[32];
  const auto end = std::to_chars(std::begin(buffer), std::end(buffer), value).ptr;
  text_.append(buffer, end);
}

void JsonWriter::Field(std::string_view key, bool value) {
  Key(key);
  Separate();
  text_ += value ? "true" : "false";
}

void JsonWriter::Raw(std::string_view key, std::string_view json) {
  Key(key);
  Separate();
  text_ += json;
}

void JsonWriter::Item(std::string_view value) {
  Separate();
  Quoted(value);
}

void JsonWriter::Item(std::int64_t value) {
  Separate();
  text_ += std::to_string(value);
}

}  // namespace tokenbroker
