#pragma once
// Testonly: policies without the section that says how callers are recognised.

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "server/policy/compile_rules.h"

namespace tokenbroker {

inline absl::StatusOr<std::shared_ptr<const Policy>> CompileForTest(const config::v1::Policy& source,
                                                                    const CapturesByCaller& callers,
                                                                    const RuleLocator& locate = nullptr) {
  CompiledPolicy compiled;
  compiled.version = "v1";
  const absl::Status bad = CompileRules(source, callers, locate, compiled);
  if (!bad.ok()) return bad;
  return std::make_shared<const Engine>(std::move(compiled));
}

inline config::v1::Policy SourceOf(const std::string& text) {
  config::v1::Policy source;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &source)) << text;
  return source;
}

// Of the text format; for callers with these captures.
inline std::shared_ptr<const Policy> PolicyForTest(const std::string& text, const CapturesByCaller& callers) {
  const auto compiled = CompileForTest(SourceOf(text), callers);
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  return compiled.ok() ? *compiled : Policy::DenyAll();
}

}  // namespace tokenbroker
