#include <chrono>
#include <memory>
#include <utility>

#include "client/tokenctl/command.h"
#include "client/tokenctl/output.h"
#include "client/tokenctl/printable.h"
#include "server/config/policy_cases.h"
#include "server/config/policy_lint.h"
#include "server/config/policy_options.h"
#include "server/config/policy_text.h"
#include "server/config/server_config.h"

namespace tokenbroker::tokenctl {
namespace {

constexpr char kUsage[] =
    "Check a policy before a broker reads it, and what it changes.\n"
    "\n"
    "  tokenctl policy lint policy.yaml\n"
    "  tokenctl policy test policy.yaml cases.yaml\n"
    "  tokenctl policy diff policy.yaml new-policy.yaml\n"
    "  tokenctl policy violations";

constexpr char kLintUsage[] =
    "Read a policy (a file, or a folder of them) as the broker does, and tell what is wrong with it.\n"
    "\n"
    "  tokenctl policy lint policy.yaml\n"
    "\n"
    "An error is what a broker would refuse it for: exit code 1. A warning is what it would take, and what is hardly\n"
    "meant; with --strict it counts as an error.";

constexpr char kTestUsage[] =
    "Try a policy on cases: who asks for what, and what must become of it.\n"
    "\n"
    "  tokenctl policy test policy.yaml cases.yaml\n"
    "\n"
    "  cases:\n"
    "    - name: the builder reads code\n"
    "      peer: {spiffe: spiffe://example.org/ns/ci/sa/builder}\n"
    "      target: {project: acme/apps/web}\n"
    "      scopes: [read_repository]\n"
    "      access_level: 20\n"
    "      ttl: 1h\n"
    "      expect: allow\n"
    "\n"
    "Nothing is asked of GitLab: a case says itself what its target is. "
    "proto/tokenbroker/config/v1/policy_cases.proto\n"
    "has the whole schema. Ends with exit code 1 if a case does not hold.";

struct Options {
  std::string policy, cases, config;
  bool strict = false;
  PolicyOptions compile;
};

int Broken(const absl::Status& why) {
  WriteError("tokenctl: " + Printable(std::string(why.message())) + "\n");
  return kOther;
}

// As the broker with this configuration compiles a policy; without one, names of instances and issuers are not checked.
absl::StatusOr<PolicyOptions> CompileOptions(const Options& options) {
  if (options.config.empty()) return options.compile;
  const absl::StatusOr<ServerConfig> config = LoadServerConfig(options.config);
  if (!config.ok()) return config.status();
  PolicyOptions compile = PolicyOptionsOf(*config);
  compile.allow_admin_targets = compile.allow_admin_targets || options.compile.allow_admin_targets;
  return compile;
}

int Lint(const Options& options) {
  const absl::StatusOr<PolicyOptions> compile = CompileOptions(options);
  if (!compile.ok()) return Broken(compile.status());
  const absl::StatusOr<PolicyText> text = ReadPolicyText(options.policy);
  if (!text.ok()) return Broken(text.status());
  const absl::StatusOr<std::shared_ptr<const Policy>> policy = CompilePolicyText(*text, *compile);
  if (!policy.ok()) return Broken(policy.status());
  const absl::StatusOr<std::vector<std::string>> warnings = LintPolicyText(*text, compile->known.has_value());
  if (!warnings.ok()) return Broken(warnings.status());
  for (const std::string& warning : *warnings) WriteError("warning: " + Printable(warning) + "\n");
  if (options.strict && !warnings->empty()) return kOther;
  const absl::Status written =
      WriteOut("OK: version " + (*policy)->version() + ", " + std::to_string((*policy)->callers().size()) +
               " callers, " + std::to_string(warnings->size()) + " warnings\n");
  return written.ok() ? kDone : kOther;
}

int Test(const Options& options) {
  const absl::StatusOr<PolicyOptions> compile = CompileOptions(options);
  if (!compile.ok()) return Broken(compile.status());
  const absl::StatusOr<PolicyText> text = ReadPolicyText(options.policy);
  if (!text.ok()) return Broken(text.status());
  const absl::StatusOr<std::shared_ptr<const Policy>> policy = CompilePolicyText(*text, *compile);
  if (!policy.ok()) return Broken(policy.status());
  absl::StatusOr<CaseInstances> instances = InstancesOf(*text);
  if (!instances.ok()) return Broken(instances.status());
  if (compile->known.has_value()) *instances = {compile->known->instances, true};
  const WallTime now(std::chrono::duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch()));
  const absl::StatusOr<std::vector<CaseResult>> results = RunPolicyCases(options.cases, **policy, now, *instances);
  if (!results.ok()) return Broken(results.status());
  int failed = 0;
  for (const CaseResult& result : *results) {
    if (!result.warning.empty()) {
      WriteError("warning: " + Printable(result.position + ": " + result.name + ": " + result.warning) + "\n");
    }
    if (result.difference.empty()) continue;
    ++failed;
    WriteError(Printable(result.position + ": " + result.name + ": " + result.difference) + "\n");
  }
  const absl::Status written = WriteOut(std::to_string(results->size() - static_cast<std::size_t>(failed)) +
                                        " passed, " + std::to_string(failed) + " failed\n");
  return written.ok() && failed == 0 ? kDone : kOther;
}

}  // namespace

void AddPolicy(CLI::App& app, Shared& shared) {
  CLI::App& policy = AddCommand(app, "policy", kUsage);
  policy.require_subcommand(1);
  const auto options = std::make_shared<Options>();
  const auto add = [&](const char* name, const char* usage) -> CLI::App& {
    CLI::App& command = AddCommand(policy, name, usage);
    command.add_option("POLICY", options->policy, "the policy: a file or a folder")->required();
    command.add_flag("--allow-admin-targets", options->compile.allow_admin_targets,
                     "as a broker with danger.allow_admin_targets reads it");
    command.add_option("--config", options->config,
                       "the broker's configuration: names of instances and issuers are compared with it");
    return command;
  };

  CLI::App& lint = add("lint", kLintUsage);
  lint.add_flag("--strict", options->strict, "warnings are errors");
  lint.callback([options, &shared] { shared.exit_code = Lint(*options); });

  CLI::App& test = add("test", kTestUsage);
  test.add_option("CASES", options->cases, "the file with the cases")->required();
  test.callback([options, &shared] { shared.exit_code = Test(*options); });

  AddPolicyDiff(policy, shared);
  AddPolicyViolations(policy, shared);
}

}  // namespace tokenbroker::tokenctl
