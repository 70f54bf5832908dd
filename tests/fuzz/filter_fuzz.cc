// The language of lists: every text has terms or an error that names its field.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/error.h"
#include "server/broker/filter_parser.h"
#include "tests/fuzz/check.h"

namespace tokenbroker {
namespace {

void CheckFault(const absl::Status& status, std::string_view field) {
  const std::vector<FieldViolation> fields = FieldsOf(status);
  fuzz::Check(ReasonOf(status) == "FIELD_INVALID" && fields.size() == 1 && fields.front().field == field,
              "a fault names its field");
}

}  // namespace
}  // namespace tokenbroker

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tokenbroker;  // NOLINT(google-build-using-namespace): one function
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<std::vector<TokenTerm>> terms = ParseFilter(text);
  if (!terms.ok()) {
    CheckFault(terms.status(), "filter");
  } else {
    fuzz::Check(terms->size() <= 10, "at most ten terms");
    Token token;
    (void)Matches(*terms, token);
  }
  const absl::StatusOr<ListOrder> order = ParseOrderBy(text, terms.ok() ? *terms : std::vector<TokenTerm>());
  if (!order.ok()) CheckFault(order.status(), "order_by");
  return 0;
}
