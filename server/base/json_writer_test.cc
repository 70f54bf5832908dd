#include "server/base/json_writer.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

namespace tokenbroker {
namespace {

TEST(JsonWriterTest, NestsAndSeparates) {
  JsonWriter json;
  json.Object([&] {
    json.Field("name", "a");
    json.Array("scopes", [&] {
      json.Item("api");
      json.Item(7);
    });
    json.Array("none", [] {});
    json.Object("inner", [&] { json.Field("yes", true); });
    json.Field("rate", 0.5);
    json.Field("count", std::int64_t{-3});
  });
  EXPECT_EQ(json.Take(), R"({"name":"a","scopes":["api",7],"none":[],"inner":{"yes":true},"rate":0.5,"count":-3})");
}

// Whatever bytes come in, what comes out is JSON, and what was UTF-8 is unchanged.
TEST(JsonWriterTest, AnyBytesGiveValidJson) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  for (const std::string& text : {bytes, std::string("\xff\xfe"), std::string("\xed\xa0\x80"), std::string("\xc0\xaf"),
                                  std::string("\xf4\x90\x80\x80"), std::string("\xe2\x82"), std::string("a\0b", 3)}) {
    JsonWriter json;
    json.Object([&] { json.Field("text", text); });
    EXPECT_TRUE(nlohmann::json::accept(json.Take()));
  }
  const std::string good = "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x94\x91 \"\\\n\t";
  JsonWriter json;
  json.Object([&] { json.Field("text", good); });
  EXPECT_EQ(nlohmann::json::parse(json.Take())["text"], good);
}

TEST(JsonWriterTest, NoTextEndsALine) {
  JsonWriter json;
  json.Object([&] {
    json.Field("text",
               "a\nb\rc\xc2\x85"
               "d\xe2\x80\xa8"
               "e\xe2\x80\xa9"
               "f\xe2\x80\xaa");
  });
  EXPECT_EQ(json.Take(), "{\"text\":\"a\\nb\\u000dc\\u0085d\\u2028e\\u2029f\xe2\x80\xaa\"}");
}

TEST(JsonWriterTest, JsonStaysWhatItWas) {
  JsonWriter inner;
  inner.Object([&] { inner.Field("a", 1); });
  JsonWriter json;
  json.Object([&] {
    json.Field("before", true);
    json.Raw("inner", inner.Take());
    json.Field("after", "x");
  });
  EXPECT_EQ(json.Take(), R"({"before":true,"inner":{"a":1},"after":"x"})");
}

TEST(JsonWriterTest, NumbersThatJsonDoesNotKnowAreNull) {
  JsonWriter json;
  json.Object([&] { json.Field("x", std::numeric_limits<double>::infinity()); });
  EXPECT_EQ(json.Take(), R"({"x":null})");
}

}  // namespace
}  // namespace tokenbroker
