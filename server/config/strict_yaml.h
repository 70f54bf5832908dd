#pragma once
// YAML into a protobuf message, with one reading only: whatever two readers could understand differently is an error.
// Field names are those of the schema (snake_case). A map<string, V> is a mapping; a message whose only field is
// repeated may be written as the bare list.

#include <google/protobuf/message.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/config/yaml_tree.h"

namespace tokenbroker {

// Where each field of a message was written, in one file or in several. Paths are those of errors:
// "roles.reader.grants[0].scopes[1]".
class SourceMap {
 public:
  explicit SourceMap(std::string file) : file_(std::make_shared<const std::string>(std::move(file))) {}

  void Add(std::string path, YamlPosition position) { positions_.emplace(std::move(path), Place{file_, position}); }
  // Takes the places of another map, under the paths that `moved` gives for its own.
  void Append(const SourceMap& other, const std::function<std::string(std::string_view path)>& moved);
  // Whether the field was written at all, be it with its default.
  bool Contains(std::string_view path) const { return positions_.contains(path); }
  // "file:line:column" of the path, or of the nearest known path above it.
  std::string Locate(std::string_view path) const;

 private:
  struct Place {
    std::shared_ptr<const std::string> file;
    YamlPosition position;
  };

  std::shared_ptr<const std::string> file_;  // The first.
  std::map<std::string, Place, std::less<>> positions_;
};

// Fills `out`, which must be empty, from the text of `file` (a name for the errors alone; nothing is opened). Errors
// are INVALID_ARGUMENT, reason CONFIG_INVALID, with "file:line:column: " before the message: a field that the schema
// does not have (with the nearest one that it has), a key twice, a second document, anchors, aliases, merge keys, tags,
// directives, control characters, nesting over 32, more than 4 MiB, numbers that are not plain decimal, booleans other
// than true and false, null, and a list, mapping or value in another's place.
absl::StatusOr<SourceMap> ParseStrictYaml(const std::string& file, std::string_view text,
                                          google::protobuf::Message* out);

// The same error with "file:line:column: " before its message: the place of its first field violation, or the nearest
// place above it. OK and errors without a field come back as they are.
absl::Status Located(const absl::Status& status, const SourceMap& map);

}  // namespace tokenbroker
