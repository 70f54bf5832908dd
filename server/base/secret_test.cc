#include "server/base/secret.h"

#include <gtest/gtest.h>

#include <sstream>
#include <type_traits>

#include "server/base/random.h"

namespace tokenbroker {
namespace {

template <typename T>
concept Printable = requires(std::ostream& out, const T& value) {
  out << value;
};
template <typename T>
concept Comparable = requires(const T& a, const T& b) {
  a == b;
};

// What the type forbids.
static_assert(!std::is_copy_constructible_v<Secret>);
static_assert(!std::is_copy_assignable_v<Secret>);
static_assert(!Printable<Secret>);
static_assert(!Comparable<Secret>);
static_assert(!std::is_convertible_v<Secret, std::string>);

TEST(SecretTest, MovesAndLeavesNothingBehind) {
  Secret first("glpat-one");
  Secret second = std::move(first);
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(second.Reveal(), "glpat-one");
  second = Secret("glpat-two");
  EXPECT_EQ(second.Clone().Reveal(), "glpat-two");
}

TEST(SecretTest, TakeFromWipesTheSource) {
  std::string text = "a secret that is too long for the small string buffer";
  char* bytes = text.data();
  const std::size_t size = text.size();
  const Secret secret = Secret::TakeFrom(text);
  EXPECT_TRUE(text.empty());
  for (std::size_t i = 1; i < size; ++i) EXPECT_EQ(bytes[i], 0);  // The string still owns them.
  EXPECT_TRUE(secret.Reveal().starts_with("a secret"));
}

TEST(RandomTest, IdsSortByTimeAndAreLowerCase) {
  SystemRandom random;
  std::string previous;
  for (int ms = 0; ms < 2000; ++ms) {
    const std::string id = MakeSortableId(FromMicros(1'764'000'000'000'000 + ms * 1000), random);
    EXPECT_EQ(id.size(), 26u);
    EXPECT_EQ(id.find_first_not_of("0123456789abcdefghjkmnpqrstvwxyz"), std::string::npos);
    EXPECT_LT(previous, id);
    previous = id;
  }
}

TEST(RandomTest, UuidsAreOfVersion4) {
  SystemRandom random;
  const std::string uuid = MakeUuid4(random);
  ASSERT_EQ(uuid.size(), 36u);
  EXPECT_EQ(uuid[14], '4');
  EXPECT_NE(std::string("89ab").find(uuid[19]), std::string::npos);
  EXPECT_NE(uuid, MakeUuid4(random));
}

}  // namespace
}  // namespace tokenbroker
