#include "server/config/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>
#include <utility>

namespace tokenbroker {
namespace {

constexpr std::size_t kLongestText = std::size_t{4} << 20;
constexpr std::size_t kDeepest = 32;

YamlPosition PositionOf(const YAML::Mark& mark) { return {std::max(mark.line, 0) + 1, std::max(mark.column, 0) + 1}; }

// At the end of a text yaml-cpp's marks lose their column, but not their offset.
YamlPosition PositionAt(std::string_view text, int offset) {
  const std::string_view before = text.substr(0, static_cast<std::size_t>(std::max(offset, 0)));
  const std::size_t newline = before.rfind('\n');
  const std::size_t line_start = newline == std::string_view::npos ? 0 : newline + 1;
  return {static_cast<int>(std::count(before.begin(), before.end(), '\n')) + 1,
          static_cast<int>(before.size() - line_start) + 1};
}

// The length of the UTF-8 sequence at the beginning of `text` and its code point; length 0 if there is none.
std::pair<std::size_t, char32_t> DecodeUtf8(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {1, first};
  const std::size_t length = first >= 0xf0 && first < 0xf5 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
  if (length == 0 || first >= 0xf5 || text.size() < length) return {0, 0};
  char32_t point = first & (0xffU >> (length + 1));
  for (std::size_t at = 1; at < length; ++at) {
    if ((byte(at) & 0xc0U) != 0x80U) return {0, 0};
    point = (point << 6U) | (byte(at) & 0x3fU);
  }
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (point < kSmallest[length] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return {0, 0};
  return {length, point};
}

bool IsControl(char32_t point) {
  return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x2028 || point == 0x2029 || point == 0xfeff;
}

// Readers disagree on which of these end a line or are part of a word.
void CheckCharacters(std::string_view text) {
  YamlPosition at;
  while (!text.empty()) {
    if (at.column == 1 && text.front() == '%') throw YamlFault(at, "directives have no place here");
    const auto [length, point] = DecodeUtf8(text);
    if (length == 0) throw YamlFault(at, "the text is not UTF-8");
    const bool newline = point == '\n' || (point == '\r' && text.size() > 1 && text[1] == '\n');
    if (!newline && point != '\t' && IsControl(point)) throw YamlFault(at, "a control character has no place here");
    if (point == '\n') {
      at = {at.line + 1, 1};
    } else {
      at.column += static_cast<int>(length);
    }
    text.remove_prefix(length);
  }
}

// An escape in double quotes can make what the text itself may not hold.
void CheckScalar(std::string_view value, YamlPosition at) {
  while (!value.empty()) {
    const auto [length, point] = DecodeUtf8(value);
    if (length == 0) throw YamlFault(at, "the text is not UTF-8");
    if (point != '\n' && point != '\t' && IsControl(point)) {
      throw YamlFault(at, "a control character has no place here");
    }
    value.remove_prefix(length);
  }
}

class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::string_view text) : text_(text) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) throw YamlFault(PositionOf(mark), "a second document; the file must hold one");
  }
  void OnDocumentEnd() override {}
  void OnAnchor(const YAML::Mark& mark, const std::string& /*name*/) override { RefuseAnchor(mark); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override { RefuseAnchor(mark); }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    CheckProperties(mark, "?", anchor);
    YamlNode node;
    node.position = PositionOf(mark);
    if (ExpectsKey()) throw YamlFault(node.position, "a key is missing, or is null; quote it if it is a text");
    Attach(std::move(node));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    CheckProperties(mark, tag, anchor);
    YamlNode node;
    node.kind = YamlNode::Kind::kScalar;
    node.position = PositionOf(mark);
    node.value = value;
    node.plain = tag == "?";
    CheckScalar(value, node.position);
    if (ExpectsKey()) return SetKey(node);
    Attach(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    Open(mark, tag, anchor, YamlNode::Kind::kSequence);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    Open(mark, tag, anchor, YamlNode::Kind::kMap);
  }
  void OnMapEnd() override { Close(); }

  std::optional<YamlNode> Take() && { return std::move(root_); }

 private:
  struct Level {
    YamlNode node;
    std::optional<YamlNode::Entry> entry;  // A map's, whose value is awaited.
    std::map<std::string, int> lines;      // Of a map's keys.
  };

  static void RefuseAnchor(const YAML::Mark& mark) {
    throw YamlFault(PositionOf(mark), "anchors and aliases have no place here; write it out");
  }
  void CheckProperties(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) const {
    if (anchor != 0) RefuseAnchor(mark);
    // A lone "!" looks like the mark of a quoted scalar, so the text is asked as well.
    const bool bang = mark.pos >= 0 && static_cast<std::size_t>(mark.pos) < text_.size() &&
                      text_[static_cast<std::size_t>(mark.pos)] == '!';
    if (bang || (!tag.empty() && tag != "?" && tag != "!")) {
      throw YamlFault(PositionOf(mark), "tags have no place here");
    }
  }
  bool ExpectsKey() const {
    return !levels_.empty() && levels_.back().node.kind == YamlNode::Kind::kMap && !levels_.back().entry.has_value();
  }
  void SetKey(const YamlNode& key) {
    if (key.plain && key.value == "<<") throw YamlFault(key.position, "merge keys have no place here; write it out");
    const auto [first, is_new] = levels_.back().lines.emplace(key.value, key.position.line);
    if (!is_new) {
      throw YamlFault(key.position, "the key '" + key.value + "' a second time; the first is in line " +
                                        std::to_string(first->second));
    }
    levels_.back().entry = YamlNode::Entry{key.value, key.position, {}};
  }
  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlNode::Kind kind) {
    CheckProperties(mark, tag, anchor);
    if (ExpectsKey()) throw YamlFault(PositionOf(mark), "a key must be a text");
    if (levels_.size() >= kDeepest) throw YamlFault(PositionOf(mark), "nested deeper than 32 levels");
    YamlNode node;
    node.kind = kind;
    node.position = PositionOf(mark);
    levels_.push_back({std::move(node), std::nullopt, {}});
  }
  void Close() {
    YamlNode node = std::move(levels_.back().node);
    levels_.pop_back();
    Attach(std::move(node));
  }
  void Attach(YamlNode node) {
    if (levels_.empty()) {
      root_ = std::move(node);
      return;
    }
    Level& level = levels_.back();
    if (level.node.kind == YamlNode::Kind::kSequence) {
      level.node.items.push_back(std::move(node));
      return;
    }
    level.entry->value = std::move(node);
    level.node.entries.push_back(*std::move(level.entry));
    level.entry.reset();
  }

  std::string_view text_;
  int documents_ = 0;
  std::vector<Level> levels_;
  std::optional<YamlNode> root_;
};

}  // namespace

std::string_view NameOf(YamlNode::Kind kind) {
  switch (kind) {
    case YamlNode::Kind::kNull:
      return "nothing (null)";
    case YamlNode::Kind::kScalar:
      return "a single value";
    case YamlNode::Kind::kSequence:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a mapping";
  }
  return "";
}

YamlNode ReadYamlTree(std::string_view text) {
  if (text.size() > kLongestText) throw YamlFault({}, "the file is larger than 4 MiB");
  CheckCharacters(text);
  TreeBuilder builder(text);
  try {
    std::istringstream in{std::string(text)};
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    throw YamlFault(PositionAt(text, error.mark.pos), error.msg);
  }
  std::optional<YamlNode> root = std::move(builder).Take();
  if (!root.has_value()) throw YamlFault({}, "the file is empty");
  return *std::move(root);
}

}  // namespace tokenbroker
