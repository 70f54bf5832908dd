#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <utility>

#include "absl/strings/escaping.h"
#include "client/admin_client.h"
#include "client/tokenctl/audit_lines.h"
#include "client/tokenctl/command.h"
#include "client/tokenctl/failure.h"
#include "client/tokenctl/output.h"
#include "client/tokenctl/printable.h"
#include "server/base/time_text.h"
#include "server/domain/audit_record.h"

namespace tokenbroker::tokenctl {
namespace {

constexpr char kUsage[] =
    "Export the broker's audit, and check an export.\n"
    "\n"
    "  tokenctl audit export > audit.jsonl\n"
    "  tokenctl audit verify audit.jsonl";

constexpr char kExportUsage[] =
    "Write the audit to the standard output, a JSON object a line.\n"
    "\n"
    "  tokenctl audit export > audit.jsonl\n"
    "  tokenctl audit export --from 2026-11-01T00:00:00Z\n"
    "  tokenctl --timeout 1h audit export --after WRITER/SEQ >> audit.jsonl\n"
    "\n"
    "Needs the verb audit. If it breaks off, the message says how to go on.";

constexpr char kVerifyUsage[] =
    "Check an export: each writer's records must be all there, in order and unaltered.\n"
    "\n"
    "  tokenctl audit verify audit.jsonl\n"
    "  tokenctl audit export | tokenctl audit verify\n"
    "\n"
    "Names the first bad record and ends with exit code 1. Needs no broker. What was cut off at the end of a writer's\n"
    "chain cannot be seen from the chain alone: compare with a newer export.";

struct ExportOptions {
  std::string after, from;
};

struct VerifyOptions {
  std::string file = "-";
  bool partial = false;
};

int Misused(const std::string& why) {
  WriteError("tokenctl: " + Printable(why) + "\n");
  return kBadUsage;
}

// "WRITER/SEQ"
bool ReadPosition(const std::string& text, v1::AuditPosition& position) {
  const std::size_t slash = text.rfind('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == text.size() || text.size() - slash > 19) return false;
  if (text.find_first_not_of("0123456789", slash + 1) != std::string::npos) return false;
  position.set_writer(text.substr(0, slash));
  position.set_seq(std::stoll(text.substr(slash + 1)));
  return true;
}

absl::Status WriteLine(const v1::AuditRecord& record) {
  const absl::StatusOr<std::string> line = AuditLine(record);
  return line.ok() ? WriteOut(*line) : line.status();
}

int Export(const ExportOptions& options, Shared& shared) {
  v1::ExportAuditRequest request;
  if (!options.after.empty() && !ReadPosition(options.after, *request.mutable_after())) {
    return Misused("--after: must be WRITER/SEQ, as a record has them");
  }
  if (!options.from.empty()) {
    const std::optional<WallTime> from = ParseRfc3339(options.from);
    if (!from.has_value()) return Misused("--from: must be a time as in 2026-11-25T08:00:00Z");
    *request.mutable_from_time() = ToTimestamp(*from);
  }
  absl::StatusOr<std::unique_ptr<AdminClient>> client = MakeAdminClient(shared.connection);
  if (!client.ok()) return Report(client.status(), shared);
  std::string last;
  const absl::Status end = (*client)->ExportAudit(
      request,
      [&last](const v1::AuditRecord& record) {
        const absl::Status written = WriteLine(record);
        if (written.ok()) last = record.writer() + "/" + std::to_string(record.seq());
        return written;
      },
      shared.deadline());
  if (end.ok()) return kDone;
  const int exit_code = Report(end, shared);
  if (!last.empty()) WriteError("tokenctl: the export broke off; go on with --after " + Printable(last) + "\n");
  return exit_code;
}

// `message` has proper names: ReadAuditLines has checked them.
AuditRecord RecordOf(const v1::AuditRecord& message) {
  AuditRecord record;
  record.writer = message.writer();
  record.seq = message.seq();
  record.previous_hash = absl::HexStringToBytes(message.previous_hash());
  record.hash = absl::HexStringToBytes(message.hash());
  record.event.time = WallTime(seconds(message.time().seconds()) + Duration(message.time().nanos() / 1000));
  record.event.kind = message.kind();
  record.event.token_id = ParseAuditedToken(message.token()).value_or("");
  record.event.caller = ParseAuditedCaller(message.caller()).value_or("");
  record.event.body = message.body();
  return record;
}

int Check(std::istream& in, bool partial) {
  AuditVerifier verifier(partial);
  const absl::Status checked = ReadAuditLines(in, [&verifier](const v1::AuditRecord& record, std::int64_t line) {
    const std::optional<std::string> bad = verifier.Check(RecordOf(record));
    if (!bad.has_value()) return absl::OkStatus();
    return absl::DataLossError("line " + std::to_string(line) + ": record " + std::to_string(record.seq()) +
                               " of writer " + record.writer() + ": " + *bad);
  });
  if (!checked.ok()) {
    WriteError("tokenctl: " + Printable(std::string(checked.message())) + "\n");
    return kOther;
  }
  const absl::Status written = WriteOut("OK: " + std::to_string(verifier.records()) + " records of " +
                                        std::to_string(verifier.writers()) + " writers\n");
  return written.ok() ? kDone : kOther;
}

int Verify(const VerifyOptions& options) {
  if (options.file == "-") return Check(std::cin, options.partial);
  std::ifstream file(options.file);
  if (!file) return Misused(options.file + " cannot be read");
  return Check(file, options.partial);
}

}  // namespace

void AddAudit(CLI::App& app, Shared& shared) {
  CLI::App& audit = AddCommand(app, "audit", kUsage);
  audit.require_subcommand(1);

  CLI::App& export_command = AddCommand(audit, "export", kExportUsage);
  const auto export_options = std::make_shared<ExportOptions>();
  export_command.add_option("--after", export_options->after, "begin after this record: WRITER/SEQ");
  export_command.add_option("--from", export_options->from,
                            "of each writer only from its first record of this time on");
  export_command.callback([export_options, &shared] { shared.exit_code = Export(*export_options, shared); });

  CLI::App& verify = AddCommand(audit, "verify", kVerifyUsage);
  const auto verify_options = std::make_shared<VerifyOptions>();
  verify.add_option("file", verify_options->file, "the export; - for the standard input (the default)");
  verify.add_flag("--partial", verify_options->partial, "chains may begin late, as after export --from");
  verify.callback([verify_options, &shared] { shared.exit_code = Verify(*verify_options); });
}

}  // namespace tokenbroker::tokenctl
