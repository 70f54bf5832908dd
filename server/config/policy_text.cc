#include "server/config/policy_text.h"

#include <openssl/evp.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <system_error>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/base/error.h"
#include "server/base/file_text.h"

namespace tokenbroker {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostDocuments = 1000;
constexpr std::size_t kMostBytes = std::size_t{16} << 20;
constexpr std::size_t kVersionDigits = 16;

absl::Status Bad(const std::string& path, const std::string& what) {
  return Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID", path + ": " + what);
}

std::string HashOf(const std::vector<PolicyText::Document>& documents) {
  std::string all;
  for (const PolicyText::Document& document : documents) {
    if (documents.size() > 1) absl::StrAppend(&all, document.file.size(), " ", document.file, " ");
    absl::StrAppend(&all, document.text);
    if (documents.size() > 1) absl::StrAppend(&all, " ", document.text.size(), "\n");
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned size = 0;
  EVP_Digest(all.data(), all.size(), hash.data(), &size, EVP_sha256(), nullptr);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(hash.data()), size));
}

bool IsDocument(const fs::path& path) {
  const std::string name = path.filename().string();
  return !name.starts_with('.') && (path.extension() == ".yaml" || path.extension() == ".yml");
}

absl::StatusOr<std::vector<std::string>> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (IsDocument(entry->path())) names.push_back(entry->path().filename().string());
    if (names.size() > kMostDocuments) return Bad(folder, "more than 1000 documents");
  }
  if (error) return Bad(folder, "cannot be read: " + error.message());
  if (names.empty()) return Bad(folder, "no *.yaml in it");
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<PolicyText> ReadFile(const std::string& path) {
  absl::StatusOr<FileText> file = ReadFileText(path);
  if (!file.ok()) return file.status();
  PolicyText policy;
  policy.place = {file->device, file->inode};
  policy.documents.push_back({path, std::move(file->text)});
  return policy;
}

absl::StatusOr<PolicyText> ReadFolder(const std::string& path) {
  PolicyText policy;
  std::string folder = path;
  // The link is followed once: while the files are read it may come to stand for the next generation.
  std::error_code no_link;
  const fs::path generation = fs::canonical(fs::path(path) / "..data", no_link);
  if (!no_link) {
    struct stat facts {};
    if (stat(generation.c_str(), &facts) != 0) return Bad(path, "was exchanged while it was read");
    policy.place = {facts.st_dev, facts.st_ino};
    folder = generation.string();
  }
  const absl::StatusOr<std::vector<std::string>> names = NamesIn(folder);
  if (!names.ok()) return names.status();
  std::size_t bytes = 0;
  for (const std::string& name : *names) {
    absl::StatusOr<FileText> file = ReadFileText((fs::path(folder) / name).string());
    if (!file.ok()) return file.status();
    bytes += file->text.size();
    if (bytes > kMostBytes) return Bad(path, "the documents have more than 16 MiB together");
    policy.documents.push_back({(fs::path(path) / name).string(), std::move(file->text)});
  }
  return policy;
}

// The path of a field of a document in the policy that it is a part of: "denies[2].targets" behind 5 denies is
// "denies[7].targets".
std::string Moved(std::string_view path, const config::v1::Policy& behind) {
  const std::pair<std::string_view, int> lists[] = {
      {"callers[", behind.callers_size()}, {"bindings[", behind.bindings_size()}, {"denies[", behind.denies_size()}};
  for (const auto& [list, count] : lists) {
    if (!path.starts_with(list)) continue;
    int index = 0;
    const char* const begin = path.data() + list.size();
    const auto [end, error] = std::from_chars(begin, path.data() + path.size(), index);
    if (error != std::errc()) break;
    return absl::StrCat(std::string(list), index + count,
                        std::string(path.substr(static_cast<std::size_t>(end - path.data()))));
  }
  return std::string(path);
}

absl::Status AddDocument(const PolicyText::Document& document, config::v1::Policy* out, SourceMap* map) {
  config::v1::Policy part;
  const absl::StatusOr<SourceMap> part_map = ParseStrictYaml(document.file, document.text, &part);
  if (!part_map.ok()) return part_map.status();
  for (const auto& [name, role] : part.roles()) {
    if (!out->roles().contains(name)) continue;
    const std::string field = "roles." + name;
    return Error(absl::StatusCode::kInvalidArgument, "POLICY_INVALID",
                 part_map->Locate(field) + ": " + field + ": stands in " + map->Locate(field) + " as well")
        .Field(field, "stands in two documents");
  }
  map->Append(*part_map, [out](std::string_view path) { return Moved(path, *out); });
  out->MergeFrom(part);
  return absl::OkStatus();
}

}  // namespace

PolicyText MakePolicyText(std::vector<PolicyText::Document> documents) {
  PolicyText policy;
  policy.hash = HashOf(documents);
  policy.documents = std::move(documents);
  return policy;
}

absl::StatusOr<PolicyText> ReadPolicyText(const std::string& path) {
  std::error_code error;
  absl::StatusOr<PolicyText> policy = fs::is_directory(path, error) ? ReadFolder(path) : ReadFile(path);
  if (policy.ok()) policy->hash = HashOf(policy->documents);
  return policy;
}

absl::StatusOr<SourceMap> ParsePolicyText(const PolicyText& policy, config::v1::Policy* out) {
  SourceMap map(policy.documents.empty() ? "" : policy.documents.front().file);
  for (const PolicyText::Document& document : policy.documents) {
    const absl::Status added = AddDocument(document, out, &map);
    if (!added.ok()) return added;
  }
  return map;
}

absl::StatusOr<std::shared_ptr<const Policy>> CompilePolicyText(const PolicyText& policy, PolicyOptions options) {
  config::v1::Policy source;
  const absl::StatusOr<SourceMap> map = ParsePolicyText(policy, &source);
  if (!map.ok()) return map.status();
  absl::StatusOr<std::shared_ptr<const Policy>> compiled =
      Policy::Compile(source, policy.hash.substr(0, kVersionDigits), options,
                      [&map](const std::string& place) { return map->Locate(place); });
  if (!compiled.ok()) return Located(compiled.status(), *map);
  return compiled;
}

}  // namespace tokenbroker
