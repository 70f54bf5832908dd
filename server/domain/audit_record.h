#pragma once
// The audit's records and the rule that chains them. Each process start is a writer with a random name; its records are
// numbered from 1, and each carries the hash of the one before, so that none can be changed, taken out, moved or put in
// afterwards without being noticed. What was cut off at the end of a chain cannot be seen from the chain alone.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "server/base/clock.h"

namespace tokenbroker {

struct AuditEvent {
  WallTime time;
  std::string kind;      // "token.pending", "token.active", ..., "refusal", "refusals".
  std::string token_id;  // Empty if it is about none.
  std::string caller;
  std::string body;  // A JSON object.
};

struct AuditRecord {
  std::string writer;
  std::int64_t seq = 0;
  std::string previous_hash;  // 32 bytes; of a chain's first record all zero.
  std::string hash;           // 32 bytes.
  AuditEvent event;
};

// The hash before a chain's first record.
std::string FirstAuditHash();

// "callers/{name}", as the public API names a caller.
std::string CallerResourceName(std::string_view name);

// The event's token and caller as the public API names them, "tokens/{id}" and "callers/{name}"; empty if it has none.
std::string AuditedToken(const AuditEvent& event);
std::string AuditedCaller(const AuditEvent& event);
// Back: the id, the name, or empty for empty. std::nullopt if the text is no such resource name.
std::optional<std::string> ParseAuditedToken(std::string_view token);
std::optional<std::string> ParseAuditedCaller(std::string_view caller);

// SHA-256 over the previous hash and the event's canonical text, 32 bytes. The canonical text is the fields writer,
// seq, time, kind, token, caller and body in this order, each as "<length in bytes>:<bytes>"; seq and time
// (microseconds since 1970 UTC) in decimal, token and caller as resource names. docs/operations.md says the same for
// those who check it with other means.
std::string AuditHashOf(const std::string& previous, const std::string& writer, std::int64_t seq,
                        const AuditEvent& event);

// Checks records as they come, each writer's in order; those of several writers may be mixed.
class AuditVerifier {
 public:
  // `partial`: a chain may begin later than with its first record.
  explicit AuditVerifier(bool partial) : partial_(partial) {}

  // What is wrong with the next record, in words; nothing if it fits.
  std::optional<std::string> Check(const AuditRecord& record);

  std::int64_t records() const { return records_; }
  std::size_t writers() const { return chains_.size(); }

 private:
  struct Place {
    std::int64_t seq = 0;
    std::string hash;
  };

  const bool partial_;
  std::int64_t records_ = 0;
  std::map<std::string, Place> chains_;
};

}  // namespace tokenbroker
