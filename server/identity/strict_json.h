#pragma once
// JSON with one reading only, for what strangers send: tokens, key sets, discovery documents.

#include <jansson.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace tokenbroker {

struct JsonRelease {
  void operator()(json_t* json) const { json_decref(json); }
};
using Json = std::unique_ptr<json_t, JsonRelease>;

// One JSON object. Null if the text is anything else: not UTF-8, a key twice at any depth, a NUL byte in a text or key,
// a number beyond 64 bits, more than 16 levels, something behind the end.
Json ParseStrictJson(std::string_view text);

// The member of this name if it is a text.
std::optional<std::string> TextOf(const json_t* object, const char* name);
// The content of a value that is a text.
std::string TextOf(const json_t* text);

}  // namespace tokenbroker
