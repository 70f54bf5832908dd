// From the text's message to what decides. Every rule that a policy can break is checked in the files compile*.cc.

#include <utility>

#include "server/policy/compile_callers.h"
#include "server/policy/compile_rules.h"
#include "server/policy/engine.h"

namespace tokenbroker {

absl::StatusOr<std::shared_ptr<const Policy>> Policy::Compile(const config::v1::Policy& source, std::string version,
                                                              PolicyOptions options, const RuleLocator& locate) {
  CompiledPolicy compiled;
  compiled.version = std::move(version);
  compiled.options = options;
  absl::StatusOr<std::vector<CallerRule>> callers = CompileCallers(source, compiled.options);
  if (!callers.ok()) return callers.status();
  compiled.callers = *std::move(callers);
  const auto captures = CapturesOf(compiled.callers);
  if (absl::Status bad = CompileRules(source, captures, locate, compiled); !bad.ok()) return bad;
  return std::make_shared<const Engine>(std::move(compiled));
}

}  // namespace tokenbroker
