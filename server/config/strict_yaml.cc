#include "server/config/strict_yaml.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <regex>
#include <vector>

#include "server/base/error.h"
#include "server/base/nearest.h"

namespace tokenbroker {
namespace {

constexpr std::size_t kMaxNumberBytes = 64;

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// "; did you mean 'scopes'?", or nothing if no field is near.
std::string Suggestion(const Descriptor& type, std::string_view name) {
  std::vector<std::string_view> fields;
  for (int i = 0; i < type.field_count(); ++i) fields.emplace_back(type.field(i)->name());
  const std::string_view best = NearestWord(fields, name);
  return best.empty() ? "" : "; did you mean '" + std::string(best) + "'?";
}

// The one field of a message that may be written as a bare list.
const FieldDescriptor* ListField(const Descriptor& type) {
  if (type.field_count() != 1 || !type.field(0)->is_repeated() || type.field(0)->is_map()) return nullptr;
  return type.field(0);
}

void Require(const YamlNode& node, YamlNode::Kind kind, const std::string& path) {
  if (node.kind == kind) return;
  throw YamlFault(node.position, (path.empty() ? "the file" : path) + ": must be " + std::string(NameOf(kind)) +
                                     ", not " + std::string(NameOf(node.kind)));
}

template <typename Number>
Number ReadNumber(const YamlNode& node, const std::string& path) {
  const std::string& text = node.value;
  const std::string_view digits = std::string_view(text).substr(text.starts_with('-') ? 1 : 0);
  const bool plain = node.plain && !digits.empty() && (digits.front() != '0' || text == "0") &&
                     std::all_of(digits.begin(), digits.end(), [](char each) { return each >= '0' && each <= '9'; });
  if (!plain) throw YamlFault(node.position, path + ": must be a whole number in plain decimal");
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw YamlFault(node.position, path + ": must be from " + std::to_string(std::numeric_limits<Number>::min()) +
                                       " to " + std::to_string(std::numeric_limits<Number>::max()));
  }
  return number;
}

bool ReadBool(const YamlNode& node, const std::string& path) {
  if (node.plain && node.value == "true") return true;
  if (node.plain && node.value == "false") return false;
  throw YamlFault(node.position, path + ": must be true or false");
}

// Returns true for an unquoted text that YAML takes for a number or a boolean, but not in its one canonical spelling:
// 7.0, 1e3, 0x1f, 007, +7, 1_000, .inf, True. As a text it would be compared letter by letter and match nothing.
bool IsOddScalar(const YamlNode& node) {
  if (!node.plain || node.value.empty()) return false;
  if (std::string_view("0123456789+-.TF").find(node.value.front()) == std::string_view::npos) return false;
  for (const std::string_view word : {"True", "TRUE", "False", "FALSE"}) {
    if (node.value == word) return true;
  }
  static const std::regex kOdd(
      "[+-]?(\\.inf|\\.Inf|\\.INF)|\\.nan|\\.NaN|\\.NAN"
      "|[+-]?([0-9][0-9_]*\\.[0-9_]*|\\.[0-9][0-9_]*)([eE][+-]?[0-9]+)?|[+-]?[0-9][0-9_]*[eE][+-]?[0-9]+"
      "|[+-]?0x[0-9a-fA-F_]+|[+-]?0o[0-7_]+|\\+[0-9][0-9_]*|-?0[0-9_]+|-?[0-9]+_[0-9_]*");
  return node.value.size() <= kMaxNumberBytes && std::regex_match(node.value, kOdd);
}

class Filler {
 public:
  explicit Filler(SourceMap* map) : map_(map) {}

  void FillMessage(const YamlNode& node, const std::string& path, Message* out) {
    const Descriptor& type = *out->GetDescriptor();
    const FieldDescriptor* const list = ListField(type);
    if (node.kind == YamlNode::Kind::kSequence && list != nullptr) {
      return FillField(node, node.position, Join(path, list->name()), *list, out);
    }
    Require(node, YamlNode::Kind::kMap, path);
    for (const YamlNode::Entry& entry : node.entries) {
      const FieldDescriptor* const field = type.FindFieldByName(entry.key);
      if (field == nullptr) {
        throw YamlFault(entry.position, Join(path, entry.key) + ": unknown field" + Suggestion(type, entry.key));
      }
      const google::protobuf::OneofDescriptor* const oneof = field->real_containing_oneof();
      if (oneof != nullptr && out->GetReflection()->HasOneof(*out, oneof)) {
        throw YamlFault(entry.position,
                        Join(path, entry.key) + ": only one field of '" + oneof->name() + "' may be set");
      }
      FillField(entry.value, entry.position, Join(path, entry.key), *field, out);
    }
  }

 private:
  static std::string Join(const std::string& path, const std::string& name) {
    return path.empty() ? name : path + '.' + name;
  }

  // A value's place is its own; that of a list or a mapping, which may begin lines below, is its key's.
  void Note(const std::string& path, const YamlNode& node, YamlPosition key) {
    map_->Add(path, node.kind == YamlNode::Kind::kScalar ? node.position : key);
  }

  void FillField(const YamlNode& node, YamlPosition key, const std::string& path, const FieldDescriptor& field,
                 Message* out) {
    Note(path, node, key);
    const Reflection& reflection = *out->GetReflection();
    if (field.is_map()) return FillMap(node, path, field, out);
    if (field.is_repeated()) {
      Require(node, YamlNode::Kind::kSequence, path);
      for (std::size_t i = 0; i < node.items.size(); ++i) {
        const YamlNode& item = node.items[i];
        const std::string item_path = path + '[' + std::to_string(i) + ']';
        map_->Add(item_path, item.position);
        if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
          FillMessage(item, item_path, reflection.AddMessage(out, &field));
        } else {
          FillScalar(item, item_path, field, out);
        }
      }
      return;
    }
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      return FillMessage(node, path, reflection.MutableMessage(out, &field));
    }
    FillScalar(node, path, field, out);
  }

  void FillMap(const YamlNode& node, const std::string& path, const FieldDescriptor& field, Message* out) {
    Require(node, YamlNode::Kind::kMap, path);
    const FieldDescriptor& key_field = *field.message_type()->map_key();
    const FieldDescriptor& value_field = *field.message_type()->map_value();
    for (const YamlNode::Entry& entry : node.entries) {
      Message* const pair = out->GetReflection()->AddMessage(out, &field);
      YamlNode key;
      key.kind = YamlNode::Kind::kScalar;
      key.value = entry.key;
      key.plain = true;
      key.position = entry.position;
      FillScalar(key, Join(path, entry.key), key_field, pair);
      FillField(entry.value, entry.position, Join(path, entry.key), value_field, pair);
    }
  }

  static void FillScalar(const YamlNode& node, const std::string& path, const FieldDescriptor& field, Message* out) {
    Require(node, YamlNode::Kind::kScalar, path);
    const Reflection& reflection = *out->GetReflection();
    const bool add = field.is_repeated();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        if (IsOddScalar(node)) {
          throw YamlFault(node.position, path + ": '" + node.value +
                                             "' could be a number, a boolean or a text: write a whole number in plain "
                                             "decimal, true or false, or a text in quotes");
        }
        return add ? reflection.AddString(out, &field, node.value) : reflection.SetString(out, &field, node.value);
      case FieldDescriptor::CPPTYPE_BOOL: {
        const bool value = ReadBool(node, path);
        return add ? reflection.AddBool(out, &field, value) : reflection.SetBool(out, &field, value);
      }
      case FieldDescriptor::CPPTYPE_INT32: {
        const auto value = ReadNumber<std::int32_t>(node, path);
        return add ? reflection.AddInt32(out, &field, value) : reflection.SetInt32(out, &field, value);
      }
      case FieldDescriptor::CPPTYPE_INT64: {
        const auto value = ReadNumber<std::int64_t>(node, path);
        return add ? reflection.AddInt64(out, &field, value) : reflection.SetInt64(out, &field, value);
      }
      case FieldDescriptor::CPPTYPE_UINT32: {
        const auto value = ReadNumber<std::uint32_t>(node, path);
        return add ? reflection.AddUInt32(out, &field, value) : reflection.SetUInt32(out, &field, value);
      }
      case FieldDescriptor::CPPTYPE_UINT64: {
        const auto value = ReadNumber<std::uint64_t>(node, path);
        return add ? reflection.AddUInt64(out, &field, value) : reflection.SetUInt64(out, &field, value);
      }
      default:
        throw YamlFault(node.position, path + ": a field of the type " + field.type_name() + " cannot be written here");
    }
  }

  SourceMap* const map_;
};

std::string ToText(YamlPosition position) {
  return std::to_string(position.line) + ':' + std::to_string(position.column);
}

}  // namespace

void SourceMap::Append(const SourceMap& other, const std::function<std::string(std::string_view path)>& moved) {
  for (const auto& [path, place] : other.positions_) positions_.emplace(moved(path), place);
}

std::string SourceMap::Locate(std::string_view path) const {
  while (true) {
    const auto found = positions_.find(path);
    if (found != positions_.end()) return *found->second.file + ':' + ToText(found->second.position);
    const std::size_t cut = path.find_last_of(".[");
    if (cut == std::string_view::npos) return *file_ + ":1:1";
    path = path.substr(0, cut);
  }
}

absl::StatusOr<SourceMap> ParseStrictYaml(const std::string& file, std::string_view text, Message* out) {
  SourceMap map(file);
  try {
    Filler(&map).FillMessage(ReadYamlTree(text), "", out);
  } catch (const YamlFault& fault) {
    return Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                 file + ':' + ToText(fault.position()) + ": " + fault.what());
  }
  return map;
}

absl::Status Located(const absl::Status& status, const SourceMap& map) {
  const std::vector<FieldViolation> fields = FieldsOf(status);
  if (status.ok() || fields.empty()) return status;
  absl::Status out(status.code(), map.Locate(fields.front().field) + ": " + std::string(status.message()));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) { out.SetPayload(url, payload); });
  return out;
}

}  // namespace tokenbroker
