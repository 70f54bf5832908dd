#include "server/policy/grant_index.h"

#include <algorithm>
#include <utility>

#include "server/policy/engine.h"

namespace tokenbroker {
namespace {

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
template <typename T>
using ByText = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;

// Values by texts that others begin or end with.
template <typename T>
struct ByEdge {
  ByText<T> values;
  std::vector<std::size_t> lengths;  // Of the texts, each once.

  T& At(std::string_view edge) {
    if (std::find(lengths.begin(), lengths.end(), edge.size()) == lengths.end()) lengths.push_back(edge.size());
    return values[std::string(edge)];
  }
  template <typename Visit>
  void ForEdgesOf(std::string_view text, bool at_end, const Visit& visit) const {
    for (const std::size_t length : lengths) {
      if (length > text.size()) continue;
      const auto found = values.find(text.substr(at_end ? text.size() - length : 0, length));
      if (found != values.end()) visit(found->second);
    }
  }
};

void AddOnce(PathTrie::Positions& positions, std::uint32_t position) {
  if (positions.empty() || positions.back() != position) positions.push_back(position);
}

void Append(PathTrie::Positions& to, const PathTrie::Positions& from) { to.insert(to.end(), from.begin(), from.end()); }

}  // namespace

SoughtTarget::SoughtTarget(const Target& written) : kind(written.kind), id(written.id()) {
  if (!id.has_value()) path = LowerCase(written.ref);
}

SoughtTarget::SoughtTarget(const ResolvedTarget& known) : kind(known.kind), id(known.id), path(LowerCase(known.path)) {}

// A node stands for the segments on the way to it.
struct PathTrie::Node {
  using Captured = std::vector<std::pair<PathPattern::Segment, std::unique_ptr<Node>>>;

  Positions here;  // Of patterns that end here.
  ByText<std::unique_ptr<Node>> literal;
  // By what stands before the first capture; where nothing does, by what stands after the last one.
  ByEdge<Captured> captured_by_beginning, captured_by_end;
  ByEdge<Positions> starred;  // Of patterns whose next segment has a star, by what stands before it there.

  Node& Next(const PathPattern::Segment& segment) {
    const std::string_view text = segment.text;
    if (!segment.has_capture) return Made(literal[segment.text]);
    const std::string_view beginning = text.substr(0, text.find('{'));
    Captured& same_edge =
        beginning.empty() ? captured_by_end.At(text.substr(text.rfind('}') + 1)) : captured_by_beginning.At(beginning);
    for (auto& [known, node] : same_edge) {
      if (known.text == text) return *node;
    }
    same_edge.emplace_back(segment, std::make_unique<Node>());
    return *same_edge.back().second;
  }

  static Node& Made(std::unique_ptr<Node>& node) {
    if (node == nullptr) node = std::make_unique<Node>();
    return *node;
  }

  void Find(std::string_view rest, const CapturedTexts& texts, Positions& found) const {
    const std::size_t slash = rest.find('/');
    const std::string_view text = rest.substr(0, slash);
    starred.ForEdgesOf(text, /*at_end=*/false, [&](const Positions& positions) { Append(found, positions); });
    const auto descend = [&](const Node& node) {
      if (slash == std::string_view::npos) {
        Append(found, node.here);
      } else {
        node.Find(rest.substr(slash + 1), texts, found);
      }
    };
    const auto next = literal.find(text);
    if (next != literal.end()) descend(*next->second);
    const auto try_captured = [&](const Captured& same_edge) {
      for (const auto& [segment, node] : same_edge) {
        if (SegmentIs(segment, text, texts)) descend(*node);
      }
    };
    captured_by_beginning.ForEdgesOf(text, /*at_end=*/false, try_captured);
    captured_by_end.ForEdgesOf(text, /*at_end=*/true, try_captured);
  }
};

PathTrie::PathTrie() : root_(std::make_unique<Node>()) {}
PathTrie::PathTrie(PathTrie&&) noexcept = default;
PathTrie& PathTrie::operator=(PathTrie&&) noexcept = default;
PathTrie::~PathTrie() = default;

void PathTrie::Add(const PathPattern& pattern, std::uint32_t position) {
  Node* node = root_.get();
  for (const PathPattern::Segment& segment : pattern.segments()) {
    if (segment.has_star) {
      const std::string_view beginning = std::string_view(segment.text).substr(0, segment.text.find_first_of("*{"));
      return AddOnce(node->starred.At(beginning), position);
    }
    node = &node->Next(segment);
  }
  if (pattern.everything_below()) return AddOnce(node->starred.At(""), position);
  AddOnce(node->here, position);
}

void PathTrie::Find(std::string_view path, const CapturedTexts& captured, Positions& found) const {
  root_->Find(path, captured, found);
}

GrantIndex::GrantIndex(Grants grants) : grants_(std::move(grants)) {
  for (std::uint32_t i = 0; i < grants_.size(); ++i) {
    if (grants_[i]->targets.empty()) {
      everywhere_.push_back(i);
      for (Positions& positions : of_kind_) positions.push_back(i);
    }
    for (const CompiledPattern& pattern : grants_[i]->targets) {
      const auto kind = static_cast<std::size_t>(pattern.kind);
      AddOnce(of_kind_[kind], i);
      if (pattern.id.has_value()) {
        AddOnce(by_id_[kind][*pattern.id], i);
      } else {
        by_path_[kind].Add(*pattern.path, i);
      }
    }
  }
}

// Users are granted by id, projects and groups by path, service accounts by either.
bool GrantIndex::NeedsFacts(const SoughtTarget& target) {
  const bool by_id = target.kind == TargetKind::kUser || target.kind == TargetKind::kServiceAccount;
  return (by_id && !target.id.has_value()) || (target.kind != TargetKind::kUser && target.path.empty());
}

GrantIndex::Positions GrantIndex::About(const SoughtTarget& target, const CapturedTexts& captured) const {
  Positions found = everywhere_;
  const auto kind = static_cast<std::size_t>(target.kind);
  if (target.id.has_value()) {
    const auto known = by_id_[kind].find(*target.id);
    if (known != by_id_[kind].end()) Append(found, known->second);
  }
  if (!target.path.empty()) by_path_[kind].Find(target.path, captured, found);
  if (found.size() > 1) {
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
  }
  return found;
}

}  // namespace tokenbroker
