// Folders of documents: one policy together, and every fault told at its place.
#include "server/config/policy_text.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "server/base/error.h"

namespace tokenbroker {
namespace {

namespace fs = std::filesystem;

constexpr char kCallers[] = "callers: [{name: web, identities: [{dns: web}]}]\n";
constexpr char kRole[] =
    "roles:\n"
    "  reader: [{verbs: [create], targets: [{user: 42}], scopes: [read_api], max_ttl: 1h}]\n";
constexpr char kBinding[] = "bindings: [{callers: [web], roles: [reader]}]\n";

class PolicyTextTest : public testing::Test {
 protected:
  PolicyTextTest()
      : folder_(fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  // Of the folder; its message if it is not one.
  std::string Fault() const {
    const absl::StatusOr<PolicyText> text = ReadPolicyText(folder_.string());
    if (!text.ok()) return std::string(text.status().message());
    return std::string(CompilePolicyText(*text, {}).status().message());
  }

  const fs::path folder_;
};

TEST_F(PolicyTextTest, TheDocumentsOfAFolderAreOnePolicy) {
  Write("10-callers.yaml", kCallers);
  Write("20-roles.yml", kRole);
  Write("30-bindings.yaml", kBinding);
  Write(".hidden.yaml", "nonsense: [");
  Write("README.md", "not a policy");
  Write("40-old.yaml.bak", "nonsense: [");
  const absl::StatusOr<PolicyText> text = ReadPolicyText(folder_.string());
  ASSERT_TRUE(text.ok()) << text.status();
  ASSERT_EQ(text->documents.size(), 3u);
  EXPECT_EQ(text->documents[1].file, path("20-roles.yml"));
  EXPECT_FALSE(text->place.has_value());
  const auto policy = CompilePolicyText(*text, {});
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_EQ((*policy)->version(), text->hash.substr(0, 16));
  EXPECT_EQ((*policy)->GrantsOf({"web", ""}).size(), 1u);
}

TEST_F(PolicyTextTest, AFaultIsToldInItsOwnDocument) {
  Write("a.yaml", kCallers);
  Write("b.yaml", "# second\ncallers:\n  - name: Bad Name\n    identities: [{dns: b}]\n");
  const std::string fault = Fault();
  EXPECT_TRUE(fault.starts_with(path("b.yaml") + ":3:")) << fault;
  EXPECT_NE(fault.find("callers[1].name"), std::string::npos) << fault;
}

TEST_F(PolicyTextTest, DeniesOfALaterDocumentKeepTheirPlace) {
  Write("a.yaml", "denies: [{verbs: [create]}, {verbs: [revoke]}]\n");
  Write("b.yaml", "denies:\n  - verbs: [create]\n  - verbs: [crate]\n");
  const std::string fault = Fault();
  EXPECT_TRUE(fault.starts_with(path("b.yaml") + ":3:")) << fault;
  EXPECT_NE(fault.find("denies[3].verbs[0]"), std::string::npos) << fault;
}

TEST_F(PolicyTextTest, ARoleStandsInOneDocument) {
  Write("a.yaml", kRole);
  Write("b.yaml", std::string("# again\n") + kRole);
  const std::string fault = Fault();
  EXPECT_TRUE(fault.starts_with(path("b.yaml") + ":3:")) << fault;
  EXPECT_NE(fault.find("stands in " + path("a.yaml") + ":2:"), std::string::npos) << fault;
}

// A document that was cut to nothing may have held the denies.
TEST_F(PolicyTextTest, AnEmptyDocumentIsAFault) {
  Write("a.yaml", kCallers);
  Write("b.yaml", "# nothing yet\n");
  EXPECT_TRUE(Fault().starts_with(path("b.yaml"))) << Fault();
}

TEST_F(PolicyTextTest, AFolderWithoutDocumentsIsAFault) {
  Write("README.md", "x");
  EXPECT_EQ(Fault(), folder_.string() + ": no *.yaml in it");
}

TEST_F(PolicyTextTest, AFileAndAFolderWithNamesOfTheirOwnHaveHashesOfTheirOwn) {
  Write("a.yaml", kCallers);
  Write("b.yaml", kRole);
  const std::string both = ReadPolicyText(folder_.string())->hash;
  fs::rename(path("b.yaml"), path("c.yaml"));
  EXPECT_NE(ReadPolicyText(folder_.string())->hash, both);
  EXPECT_NE(ReadPolicyText(path("a.yaml"))->hash, ReadPolicyText(path("c.yaml"))->hash);
}

// As the kubelet mounts a ConfigMap: the names are links through "..data", which is exchanged.
TEST_F(PolicyTextTest, OfAMountedConfigMapOneGenerationIsRead) {
  for (const std::string generation : {"..1", "..2"}) {
    fs::create_directory(folder_ / generation);
    Write(generation + "/a.yaml", "callers: [{name: web" + generation.substr(2) + ", identities: [{dns: web}]}]\n");
  }
  fs::create_directory_symlink("..1", folder_ / "..data");
  fs::create_symlink("..data/a.yaml", folder_ / "a.yaml");
  const absl::StatusOr<PolicyText> first = ReadPolicyText(folder_.string());
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(first->place.has_value());
  EXPECT_EQ(first->documents[0].file, path("a.yaml"));

  fs::create_directory_symlink("..2", folder_ / "..next");
  fs::rename(folder_ / "..next", folder_ / "..data");
  const absl::StatusOr<PolicyText> second = ReadPolicyText(folder_.string());
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_NE(*second->place, *first->place);
  EXPECT_NE(second->documents[0].text, first->documents[0].text);
}

}  // namespace
}  // namespace tokenbroker
