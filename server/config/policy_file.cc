#include "server/config/policy_file.h"

#include <openssl/sha.h>

#include <array>
#include <utility>

#include "absl/strings/escaping.h"
#include "server/base/error.h"
#include "server/config/strict_yaml.h"

namespace tokenbroker {
namespace {

constexpr Duration kPollEvery = seconds(1);
constexpr Duration kQuiet = seconds(1);

std::string HashOf(std::string_view text) {
  std::array<char, SHA256_DIGEST_LENGTH> hash{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(hash.data()));
  return absl::BytesToHexString(absl::string_view(hash.data(), hash.size()));
}

// The first 16 hexadecimal digits of the content's SHA-256.
std::string VersionOf(const std::string& hash) { return hash.substr(0, 16); }

absl::StatusOr<std::shared_ptr<const Policy>> CompileText(const std::string& path, const std::string& text,
                                                          std::string version, PolicyOptions options) {
  config::v1::Policy source;
  const absl::StatusOr<SourceMap> map = ParseStrictYaml(path, text, &source);
  if (!map.ok()) return map.status();
  absl::StatusOr<std::shared_ptr<const Policy>> policy = Policy::Compile(
      source, std::move(version), options, [&map](const std::string& place) { return map->Locate(place); });
  if (!policy.ok()) return Located(policy.status(), *map);
  return policy;
}

}  // namespace

absl::Status CheckPolicyFile(const std::string& path, PolicyOptions options) {
  const absl::StatusOr<FileText> file = ReadFileText(path);
  if (!file.ok()) return file.status();
  return CompileText(path, file->text, "checked", options).status();
}

PolicyFile::PolicyFile(std::string path, PolicyOptions options, Clock& clock, Metrics& metrics, Log& log)
    : path_(std::move(path)),
      options_(options),
      clock_(clock),
      metrics_(metrics),
      log_(log),
      ready_(Error(absl::StatusCode::kUnavailable, "POLICY_MISSING", path_ + ": not read yet")) {}

PolicyFile::~PolicyFile() {
  const std::lock_guard lock(gate_->mutex);
  gate_->closed = true;
}

void PolicyFile::LoadAtStart() {
  const std::lock_guard lock(gate_->mutex);
  const absl::StatusOr<FileText> file = ReadFileText(path_);
  Judge(file, file.ok() ? HashOf(file->text) : std::string(file.status().message()));
}

void PolicyFile::Start() {
  const std::lock_guard lock(gate_->mutex);
  PollAgainLater();
}

std::shared_ptr<const Policy> PolicyFile::Current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

absl::Status PolicyFile::ready() const {
  const std::lock_guard lock(mutex_);
  return ready_;
}

void PolicyFile::PollAgainLater() {
  timer_ = clock_.CallAt(clock_.Boot() + kPollEvery, [this, gate = gate_] {
    const std::lock_guard lock(gate->mutex);
    if (gate->closed) return;
    Poll();
    PollAgainLater();
  });
}

void PolicyFile::Poll() {
  const absl::StatusOr<FileText> file = ReadFileText(path_);
  std::string content = file.ok() ? HashOf(file->text) : std::string(file.status().message());
  if (content == judged_) {
    waiting_.reset();
    if (file.ok()) judged_inode_ = {file->device, file->inode};
    return;
  }
  const bool exchanged =
      file.ok() && judged_inode_.has_value() && *judged_inode_ != std::pair(file->device, file->inode);
  if (file.ok() && !exchanged && !IsQuiet(*file, content)) return;
  Judge(file, std::move(content));
}

bool PolicyFile::IsQuiet(const FileText& file, const std::string& content) {
  if (!waiting_.has_value() || waiting_->content != content || waiting_->changed_nanos != file.changed_nanos) {
    waiting_ = Waiting{content, file.changed_nanos, clock_.Boot()};
  }
  return clock_.Boot() - waiting_->since >= kQuiet;
}

void PolicyFile::Judge(const absl::StatusOr<FileText>& file, std::string content) {
  waiting_.reset();
  judged_ = std::move(content);
  judged_inode_.reset();
  if (!file.ok()) return Refuse(file.status());
  judged_inode_ = {file->device, file->inode};

  absl::StatusOr<std::shared_ptr<const Policy>> policy = CompileText(path_, file->text, VersionOf(judged_), options_);
  if (!policy.ok()) return Refuse(policy.status());
  metrics_.PolicyLoaded(true, clock_.Now());
  log_.Info("policy loaded", {{"file", path_}, {"version", (*policy)->version()}});
  const std::lock_guard lock(mutex_);
  current_ = *std::move(policy);
  ready_ = absl::OkStatus();
}

void PolicyFile::Refuse(const absl::Status& why) {
  const std::string error(why.message());
  metrics_.PolicyLoaded(false, clock_.Now());
  const std::lock_guard lock(mutex_);
  log_.Warn("policy not loaded", {{"file", path_}, {"error", error}, {"in_force", current_->version()}});
  if (!ready_.ok()) ready_ = Error(absl::StatusCode::kUnavailable, "POLICY_MISSING", error);
}

}  // namespace tokenbroker
