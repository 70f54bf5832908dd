// Parameters of a request: those of the path, the query and the body (JSON or form), as Grape sees them.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/gitlab_sim/types.h"

namespace tokenbroker::gitlab_sim {

struct Param {
  enum class Type { kNull, kText, kNumber, kBool, kList, kOther };
  Type type = Type::kText;
  std::string text;                // Scalars.
  std::vector<std::string> items;  // Lists of scalars.
};

class Params {
 public:
  // Reads query and body. False if the body says it is JSON and is not.
  bool Read(const HttpRequest& request);
  void Set(const std::string& name, const std::string& text);
  const Param* Find(const std::string& name) const;
  const std::map<std::string, Param>& all() const { return all_; }

 private:
  void Add(const std::string& name, const std::string& text);
  bool ReadJson(const std::string& body);
  void ReadForm(const std::string& text);
  std::map<std::string, Param> all_;
};

std::string PercentDecode(const std::string& text, bool plus_is_blank);
std::string PercentEncode(const std::string& text);  // Everything outside A-Za-z0-9-._~
std::optional<std::string> FindHeader(const Headers& headers, const std::string& name);
std::string PathOf(const std::string& target);  // Without the query.

// Collects what Grape's validators would say; `error()` joins it as Grape does.
class ParamChecks {
 public:
  explicit ParamChecks(const Params& params) : params_(params) {}

  std::string RequiredText(const std::string& name);
  std::optional<std::string> Text(const std::string& name);
  std::optional<int64_t> Integer(const std::string& name);
  std::optional<bool> Boolean(const std::string& name);
  std::optional<std::chrono::sys_days> Date(const std::string& name);
  std::optional<TimePoint> Time(const std::string& name);
  std::optional<std::string> OneOf(const std::string& name, const std::vector<std::string>& allowed);
  // A list; a plain text is split at commas if `commas`, else it is invalid.
  std::vector<std::string> RequiredList(const std::string& name, const std::vector<std::string>& allowed, bool commas);
  void Fail(const std::string& problem);  // "scopes does not have a valid value"
  bool ok() const { return problems_.empty(); }
  const std::string& error() const { return problems_; }

 private:
  // Null, absent and empty texts count as not given.
  const Param* Given(const std::string& name) const;
  const Params& params_;
  std::string problems_;
};

}  // namespace tokenbroker::gitlab_sim
