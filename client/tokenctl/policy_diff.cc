#include <fstream>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "client/admin_client.h"
#include "client/tokenctl/audit_lines.h"
#include "client/tokenctl/command.h"
#include "client/tokenctl/failure.h"
#include "client/tokenctl/output.h"
#include "client/tokenctl/policy_replay.h"
#include "client/tokenctl/printable.h"
#include "server/base/json_writer.h"
#include "server/base/time_text.h"
#include "server/config/policy_text.h"

namespace tokenbroker::tokenctl {
namespace {

constexpr char kUsage[] =
    "Show who would lose or gain what by another policy, going by what was asked lately.\n"
    "\n"
    "  tokenctl policy diff policy.yaml new-policy.yaml\n"
    "  tokenctl policy diff policy.yaml new-policy.yaml --days 90\n"
    "  tokenctl policy diff policy.yaml new-policy.yaml --audit audit.jsonl\n"
    "\n"
    "Both policies judge what the audit has of the last days: every token that was made and every refusal that was "
    "kept\n"
    "in full. The audit comes from the broker (which takes the verb audit) or from an export. 'may' means that GitLab\n"
    "was not asked about the target then, so that only the request as written could be judged. Quotas are not judged.\n"
    "Ends with exit code 1 if there is a difference.";

struct Options {
  std::string before, after, audit, output;
  int days = 30;
  PolicyOptions compile;
};

int Broken(const absl::Status& why) {
  WriteError("tokenctl: " + Printable(std::string(why.message())) + "\n");
  return kBadUsage;
}

absl::StatusOr<std::shared_ptr<const Policy>> Compile(const std::string& path, const PolicyOptions& options) {
  const absl::StatusOr<PolicyText> text = ReadPolicyText(path);
  if (!text.ok()) return text.status();
  return CompilePolicyText(*text, options);
}

std::string Word(const PolicyChange& change) {
  return std::string(change.maybe ? "may " : "") + (change.loses ? "lose" : "gain");
}

std::string Table(const std::vector<PolicyChange>& changes, const ReplayCounts& counts, WallTime now) {
  std::string text;
  if (!changes.empty()) {
    std::vector<std::vector<std::string>> rows = {{"CALLER", "WOULD", "WHAT", "ASKED", "LAST", "WHY"}};
    for (const PolicyChange& change : changes) {
      rows.push_back({change.caller, Word(change), change.what, std::to_string(change.times),
                      FromNow(change.last_time, now), change.why});
    }
    text = Columns(rows) + "\n";
  }
  text += std::to_string(counts.requests) + " requests replayed, " + std::to_string(changes.size()) + " differences";
  if (counts.only_counted > 0) text += "; " + std::to_string(counts.only_counted) + " refusals were only counted";
  if (counts.without_request > 0) {
    text += "; " + std::to_string(counts.without_request) + " records do not have their request";
  }
  return text + "\n";
}

std::string JsonText(const std::vector<PolicyChange>& changes, const ReplayCounts& counts) {
  JsonWriter json;
  json.Object([&] {
    json.Array("changes", [&] {
      for (const PolicyChange& change : changes) {
        json.Object([&] {
          json.Field("caller", change.caller);
          json.Field("would", Word(change));
          json.Field("what", change.what);
          json.Field("asked", change.times);
          json.Field("last_time", FormatRfc3339(change.last_time));
          json.Field("why", change.why);
        });
      }
    });
    json.Field("requests", counts.requests);
    json.Field("only_counted", counts.only_counted);
    json.Field("without_request", counts.without_request);
  });
  return json.Take() + "\n";
}

WallTime TimeOf(const v1::AuditRecord& record) {
  return WallTime(seconds(record.time().seconds()) + Duration(record.time().nanos() / 1000));
}

// Gives the replay what is not older than `from`; the exit code if that fails.
std::optional<int> Feed(const Options& options, WallTime from, PolicyReplay& replay, Shared& shared) {
  const auto take = [&](const v1::AuditRecord& record) {
    if (TimeOf(record) >= from) replay.Add(record);
    return absl::OkStatus();
  };
  if (!options.audit.empty()) {
    std::ifstream file(options.audit);
    if (!file) return Broken(absl::NotFoundError(options.audit + " cannot be read"));
    const absl::Status read =
        ReadAuditLines(file, [&take](const v1::AuditRecord& record, std::int64_t) { return take(record); });
    if (!read.ok()) return Broken(absl::Status(read.code(), options.audit + ": " + std::string(read.message())));
    return std::nullopt;
  }
  const absl::StatusOr<std::unique_ptr<AdminClient>> client = MakeAdminClient(shared.connection);
  if (!client.ok()) return Report(client.status(), shared);
  v1::ExportAuditRequest request;
  request.mutable_from_time()->set_seconds(MicrosOf(from) / 1'000'000);
  const absl::Status end = (*client)->ExportAudit(request, take, shared.deadline());
  if (!end.ok()) return Report(end, shared);
  return std::nullopt;
}

int Run(const Options& options, Shared& shared) {
  const absl::StatusOr<std::shared_ptr<const Policy>> before = Compile(options.before, options.compile);
  if (!before.ok()) return Broken(before.status());
  const absl::StatusOr<std::shared_ptr<const Policy>> after = Compile(options.after, options.compile);
  if (!after.ok()) return Broken(after.status());
  const WallTime now = WallNow();
  PolicyReplay replay(**before, **after, now);
  if (const std::optional<int> failed = Feed(options, now - hours(24) * options.days, replay, shared)) return *failed;
  const std::vector<PolicyChange> changes = replay.changes();
  const absl::Status written = WriteOut(ChosenOutput(options.output) == "json" ? JsonText(changes, replay.counts())
                                                                               : Table(changes, replay.counts(), now));
  return written.ok() && changes.empty() ? kDone : kOther;
}

}  // namespace

void AddPolicyDiff(CLI::App& policy, Shared& shared) {
  CLI::App& command = AddCommand(policy, "diff", kUsage);
  const auto options = std::make_shared<Options>();
  command.add_option("OLD", options->before, "the policy as it is: a file or a folder")->required();
  command.add_option("NEW", options->after, "the policy as it might be")->required();
  command.add_option("--days", options->days, "how far back to go (30)")->check(CLI::Range(1, 36500));
  command.add_option("--audit", options->audit, "an export to go by, instead of the broker's audit");
  command.add_flag("--allow-admin-targets", options->compile.allow_admin_targets,
                   "as a broker with danger.allow_admin_targets reads them");
  AddOutput(command, options->output, {"table", "json"});
  command.callback([options, &shared] { shared.exit_code = Run(*options, shared); });
}

}  // namespace tokenbroker::tokenctl
