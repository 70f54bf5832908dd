#include "server/domain/audit_record.h"

#include <openssl/sha.h>

namespace tokenbroker {
namespace {

constexpr std::string_view kTokens = "tokens/";
constexpr std::string_view kCallers = "callers/";

// Each part with its length in front: no two events have one text.
void AddPart(std::string& text, std::string_view part) {
  text += std::to_string(part.size());
  text += ':';
  text += part;
}

std::optional<std::string> WithoutCollection(std::string_view name, std::string_view collection) {
  if (name.empty()) return "";
  if (!name.starts_with(collection) || name.size() == collection.size()) return std::nullopt;
  return std::string(name.substr(collection.size()));
}

}  // namespace

std::string FirstAuditHash() { return std::string(SHA256_DIGEST_LENGTH, '\0'); }

std::string CallerResourceName(std::string_view name) { return std::string(kCallers).append(name); }

std::string AuditedToken(const AuditEvent& event) {
  return event.token_id.empty() ? "" : std::string(kTokens) + event.token_id;
}

std::string AuditedCaller(const AuditEvent& event) {
  return event.caller.empty() ? "" : CallerResourceName(event.caller);
}

std::optional<std::string> ParseAuditedToken(std::string_view token) { return WithoutCollection(token, kTokens); }

std::optional<std::string> ParseAuditedCaller(std::string_view caller) { return WithoutCollection(caller, kCallers); }

std::string AuditHashOf(const std::string& previous, const std::string& writer, std::int64_t seq,
                        const AuditEvent& event) {
  std::string text = previous;
  AddPart(text, writer);
  AddPart(text, std::to_string(seq));
  AddPart(text, std::to_string(MicrosOf(event.time)));
  AddPart(text, event.kind);
  AddPart(text, AuditedToken(event));
  AddPart(text, AuditedCaller(event));
  AddPart(text, event.body);
  std::string hash(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(hash.data()));
  return hash;
}

std::optional<std::string> AuditVerifier::Check(const AuditRecord& record) {
  const auto [place, is_new] = chains_.try_emplace(record.writer, Place{0, FirstAuditHash()});
  Place& last = place->second;
  if (is_new && partial_ && record.seq > 1) last = {record.seq - 1, record.previous_hash};
  if (record.seq > last.seq + 1) {
    return "record " + std::to_string(last.seq + 1) +
           (record.seq == last.seq + 2 ? " is" : " to " + std::to_string(record.seq - 1) + " are") +
           " missing before it";
  }
  if (record.seq <= last.seq) return "it comes after record " + std::to_string(last.seq);
  if (record.previous_hash != last.hash) return "it does not follow the record before it";
  if (record.hash != AuditHashOf(record.previous_hash, record.writer, record.seq, record.event)) {
    return "its hash does not fit what it says";
  }
  last = {record.seq, record.hash};
  ++records_;
  return std::nullopt;
}

}  // namespace tokenbroker
