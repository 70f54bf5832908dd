#pragma once
// A policy as it lies on disk: one YAML document, or a folder of them that are one policy together.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/config/strict_yaml.h"
#include "server/policy/policy.h"

namespace tokenbroker {

// One look at a policy file or folder.
struct PolicyText {
  struct Document {
    std::string file;  // The path, for errors.
    std::string text;
  };
  std::vector<Document> documents;  // In the order of their names.
  std::string hash;                 // SHA-256 over names and texts, in hexadecimal.
  // Device and inode of the file, or of the folder behind a ConfigMap's link: another pair is another content that was
  // put in its place at once. Nothing for a plain folder, whose files can only change one after the other.
  std::optional<std::pair<std::uint64_t, std::uint64_t>> place;
};

// With the hash of these documents, and no place.
PolicyText MakePolicyText(std::vector<PolicyText::Document> documents);

// Reads `path`: a file, or a folder's *.yaml and *.yml (not those whose names begin with a dot), at most 1,000 of them
// and 16 MiB together. Of a mounted ConfigMap (a folder with the link "..data") one generation is read as a whole.
// INVALID_ARGUMENT, reason CONFIG_INVALID, with the path: what cannot be read, and a folder without documents.
absl::StatusOr<PolicyText> ReadPolicyText(const std::string& path);

// The documents as one message, and where each of its fields was written. Lists follow each other in the order of the
// files; a role stands in one of them. Errors are INVALID_ARGUMENT, reason CONFIG_INVALID or POLICY_INVALID, with the
// place before the message; a document without anything in it is one, since it may have been cut short.
absl::StatusOr<SourceMap> ParsePolicyText(const PolicyText& policy, config::v1::Policy* out);

// The policy that the documents make. Its version is the first 16 digits of the hash. Errors as ParsePolicyText and
// Policy::Compile, with the place.
absl::StatusOr<std::shared_ptr<const Policy>> CompilePolicyText(const PolicyText& policy, PolicyOptions options);

}  // namespace tokenbroker
