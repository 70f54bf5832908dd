#pragma once
// Writes JSON text: request bodies to GitLab, log lines, audit events. No reader, no tree.
//
//   JsonWriter json;
//   json.Object([&] { json.Field("name", name); json.Array("scopes", [&] { for (...) json.Item(scope); }); });
//   std::string text = json.Take();
//
// Text that is not valid UTF-8 is written with U+FFFD for every bad byte, so that what comes out is always JSON.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace tokenbroker {

class JsonWriter {
 public:
  template <typename Body>
  void Object(Body body) {
    Open('{');
    body();
    Close('}');
  }
  template <typename Body>
  void Object(std::string_view key, Body body) {
    Key(key);
    Object(std::move(body));
  }
  template <typename Body>
  void Array(std::string_view key, Body body) {
    Key(key);
    Open('[');
    body();
    Close(']');
  }

  void Field(std::string_view key, std::string_view value);
  void Field(std::string_view key, const char* value) { Field(key, std::string_view(value)); }
  void Field(std::string_view key, std::int64_t value);
  void Field(std::string_view key, int value) { Field(key, std::int64_t{value}); }
  void Field(std::string_view key, double value);
  void Field(std::string_view key, bool value);
  // `json` is JSON already, as Take gave it.
  void Raw(std::string_view key, std::string_view json);
  void Item(std::string_view value);
  void Item(std::int64_t value);

  std::string Take() { return std::move(text_); }

 private:
  void Open(char bracket);
  void Close(char bracket);
  void Key(std::string_view key);
  void Separate();
  void Quoted(std::string_view value);

  std::string text_;
  bool first_ = true;  // Of the innermost object or array.
  bool after_key_ = false;
};

}  // namespace tokenbroker
