#include "server/config/policy_file.h"

#include <utility>

#include "server/base/error.h"

namespace tokenbroker {
namespace {

constexpr Duration kPollEvery = seconds(1);
constexpr Duration kQuiet = seconds(1);

}  // namespace

absl::Status CheckPolicyFile(const std::string& path, PolicyOptions options) {
  const absl::StatusOr<PolicyText> text = ReadPolicyText(path);
  if (!text.ok()) return text.status();
  return CompilePolicyText(*text, options).status();
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
  const absl::StatusOr<PolicyText> text = ReadPolicyText(path_);
  Judge(text, text.ok() ? text->hash : std::string(text.status().message()));
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
  const absl::StatusOr<PolicyText> text = ReadPolicyText(path_);
  std::string content = text.ok() ? text->hash : std::string(text.status().message());
  if (content == judged_) {
    waiting_.reset();
    if (text.ok()) judged_place_ = text->place;
    return;
  }
  const bool exchanged =
      text.ok() && text->place.has_value() && judged_place_.has_value() && *judged_place_ != *text->place;
  if (text.ok() && !exchanged && !IsQuiet(*text, content)) return;
  Judge(text, std::move(content));
}

bool PolicyFile::IsQuiet(const PolicyText& text, const std::string& content) {
  if (!waiting_.has_value() || waiting_->content != content || waiting_->changed_nanos != text.changed_nanos) {
    waiting_ = Waiting{content, text.changed_nanos, clock_.Boot()};
  }
  return clock_.Boot() - waiting_->since >= kQuiet;
}

void PolicyFile::Judge(const absl::StatusOr<PolicyText>& text, std::string content) {
  waiting_.reset();
  judged_ = std::move(content);
  judged_place_.reset();
  if (!text.ok()) return Refuse(text.status());
  judged_place_ = text->place;

  absl::StatusOr<std::shared_ptr<const Policy>> policy = CompilePolicyText(*text, options_);
  if (!policy.ok()) return Refuse(policy.status());
  metrics_.PolicyLoaded((*policy)->version(), text->hash, clock_.Now());
  metrics_.SetFilesGood("policy", true, clock_.Now());
  log_.Info("policy loaded", {{"file", path_}, {"version", (*policy)->version()}});
  const std::lock_guard lock(mutex_);
  current_ = *std::move(policy);
  ready_ = absl::OkStatus();
}

void PolicyFile::Refuse(const absl::Status& why) {
  const std::string error(why.message());
  metrics_.PolicyRefused();
  metrics_.SetFilesGood("policy", false, clock_.Now());
  const std::lock_guard lock(mutex_);
  log_.Warn("policy not loaded", {{"file", path_}, {"error", error}, {"in_force", current_->version()}});
  if (!ready_.ok()) ready_ = Error(absl::StatusCode::kUnavailable, "POLICY_MISSING", error);
}

}  // namespace tokenbroker
