#pragma once
// YAML as a tree with places, for whoever wants one reading only. Part of strict_yaml.

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace tokenbroker {

// Both count from 1; the column counts bytes.
struct YamlPosition {
  int line = 1;
  int column = 1;
};

struct YamlNode {
  enum class Kind { kNull, kScalar, kSequence, kMap };
  struct Entry;

  Kind kind = Kind::kNull;
  YamlPosition position;
  std::string value;            // A scalar's.
  bool plain = false;           // A scalar without quotes.
  std::vector<YamlNode> items;  // A sequence's.
  std::vector<Entry> entries;   // A map's, in the order of the file, no key twice.
};

struct YamlNode::Entry {
  std::string key;
  YamlPosition position;  // The key's.
  YamlNode value;
};

// What is wrong with a text, and where.
class YamlFault : public std::runtime_error {
 public:
  YamlFault(YamlPosition position, const std::string& what) : std::runtime_error(what), position_(position) {}
  YamlPosition position() const { return position_; }

 private:
  YamlPosition position_;
};

// "scalar" and the like, for a fault's text.
std::string_view NameOf(YamlNode::Kind kind);

// Reads one document. Throws YamlFault for what YAML forbids and for what two readers could understand differently:
// a key twice, a second document, anchors, aliases, merge keys, tags, directives, control characters, text that is not
// UTF-8, nesting over 32, more than 4 MiB; and for a text without content.
YamlNode ReadYamlTree(std::string_view text);

}  // namespace tokenbroker
