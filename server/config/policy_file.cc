#include "server/config/policy_file.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/error.h"

namespace tokenbroker {
namespace {

// A policy as a set of watched files: name and text of each document.
absl::StatusOr<WatchedFiles::Snapshot> Read(const std::string& path) {
  absl::StatusOr<PolicyText> policy = ReadPolicyText(path);
  if (!policy.ok()) return policy.status();
  WatchedFiles::Snapshot snapshot;
  if (policy->place.has_value()) snapshot.place = absl::StrCat(policy->place->first, ":", policy->place->second);
  for (PolicyText::Document& each : policy->documents) {
    snapshot.contents.push_back(std::move(each.file));
    snapshot.contents.push_back(std::move(each.text));
  }
  return snapshot;
}

PolicyText TextOf(const WatchedFiles::Contents& contents) {
  std::vector<PolicyText::Document> documents;
  for (std::size_t i = 0; i + 1 < contents.size(); i += 2) documents.push_back({contents[i], contents[i + 1]});
  return MakePolicyText(std::move(documents));
}

}  // namespace

absl::Status CheckPolicyFile(const std::string& path, PolicyOptions options) {
  const absl::StatusOr<PolicyText> text = ReadPolicyText(path);
  if (!text.ok()) return text.status();
  return CompilePolicyText(*text, options).status();
}

PolicyFile::PolicyFile(std::string path, PolicyOptions options, Clock& clock, Metrics& metrics, Log& log)
    : path_(std::move(path)),
      options_(std::move(options)),
      clock_(clock),
      metrics_(metrics),
      log_(log),
      ready_(Error(absl::StatusCode::kUnavailable, "POLICY_MISSING", path_ + ": not read yet")),
      files_({"policy", [this] { return Read(path_); },
              [this](const WatchedFiles::Contents& contents) { return Take(contents); },
              [this](const absl::Status& taken) { Report(taken); }},
             clock, metrics, log) {}

std::shared_ptr<const Policy> PolicyFile::Current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

absl::Status PolicyFile::ready() const {
  const std::lock_guard lock(mutex_);
  return ready_;
}

absl::Status PolicyFile::Take(const WatchedFiles::Contents& contents) {
  const PolicyText text = TextOf(contents);
  absl::StatusOr<std::shared_ptr<const Policy>> policy = CompilePolicyText(text, options_);
  if (!policy.ok()) return policy.status();
  metrics_.PolicyLoaded((*policy)->version(), text.hash, clock_.Now());
  const std::lock_guard lock(mutex_);
  current_ = *std::move(policy);
  ready_ = absl::OkStatus();
  return absl::OkStatus();
}

void PolicyFile::Report(const absl::Status& taken) {
  const std::lock_guard lock(mutex_);
  if (taken.ok()) {
    log_.Info("policy loaded", {{"file", path_}, {"version", current_->version()}});
    return;
  }
  const std::string error(taken.message());
  metrics_.PolicyRefused();
  log_.Warn("policy not loaded", {{"file", path_}, {"error", error}, {"in_force", current_->version()}});
  if (!ready_.ok()) ready_ = Error(absl::StatusCode::kUnavailable, "POLICY_MISSING", error);
}

}  // namespace tokenbroker
