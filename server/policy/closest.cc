#include "server/policy/closest.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "server/domain/expiry.h"
#include "server/domain/scope.h"
#include "server/policy/matching.h"

namespace tokenbroker {
namespace {

constexpr std::size_t kMaxDisplayName = 80;
constexpr std::size_t kMaxLabelValue = 128;
constexpr std::size_t kMaxLabels = 16;
constexpr std::size_t kMaxScopes = 16;
constexpr std::size_t kMaxOtherTargets = 100;

// A request that is allowed, and how far it is from what was asked for.
struct Proposal {
  AccessRequest request;
  std::tuple<int, int, Duration> distance;  // Fields changed, scopes removed, the ttl's change.
};

std::size_t Characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

bool IsDisplayName(std::string_view text) {
  return !text.empty() && text.front() != ' ' && text.back() != ' ' && Characters(text) <= kMaxDisplayName &&
         text.find("[tb:") == text.npos;
}

// A text that the pattern matches: `text` where its first star is, nothing where others are.
std::string FillStars(std::string_view pattern, std::string_view text) {
  std::string filled;
  for (const char each : pattern) {
    if (each != '*') {
      filled += each;
      continue;
    }
    filled += text;
    text = "";
  }
  return filled;
}

// The denies that hit some request of this verb at a target. Those without scopes hit all of them.
class DeniedScopes {
 public:
  DeniedScopes(const GrantIndex& denies, Verb verb, const Target& target, const TargetFacts* facts) {
    const CapturedTexts none;
    const auto add = [&](const CompiledGrant& deny, bool hits) {
      if (!hits || (!deny.verbs.empty() && !HasVerb(deny, verb))) return true;
      everything_ = everything_ || deny.scopes.empty();
      denies_.push_back(&deny);
      return !everything_;
    };
    // Another target than the caller's own is proposed only if no deny could be about it.
    const bool maybe = facts == nullptr;
    const SoughtTarget written(target);
    denies.ForEach(written, none, maybe, [&](const CompiledGrant& deny) {
      const Match match = MatchWritten(deny, target.instance, written, none);
      return add(deny, match == Match::kYes || (maybe && match == Match::kMaybe));
    });
    if (facts == nullptr) return;
    const SoughtTarget known(facts->target);
    denies.ForEach(known, none, /*maybe=*/false, [&](const CompiledGrant& deny) {
      return add(deny, MatchesFacts(deny, facts->target.instance, known, none));
    });
  }

  bool everything() const { return everything_; }
  bool Hits(std::string_view scope) const {
    return std::any_of(denies_.begin(), denies_.end(), [&](const CompiledGrant* deny) {
      return std::any_of(deny->scopes.begin(), deny->scopes.end(),
                         [&](const std::string& denied) { return Gives(scope, denied); });
    });
  }

 private:
  bool everything_ = false;
  std::vector<const CompiledGrant*> denies_;
};

// What one grant allows at one target, as close to the request as can be. Each step changes one field, or fails; what
// costs least comes first.
class Bend {
 public:
  Bend(const CompiledGrant& grant, const AccessRequest& asked, const DeniedScopes& denied)
      : grant_(grant), asked_(asked), denied_(denied) {}

  // Puts what comes of it into `best`, if it is closer.
  void At(const Target& target, bool changed, std::optional<Proposal>& best) && {
    fields_changed_ = changed ? 1 : 0;
    if (denied_.everything() || !Level() || !Ttl()) return;
    const auto too_far = [&] { return best.has_value() && fields_changed_ > std::get<0>(best->distance); };
    if (too_far() || !DisplayName() || !Labels() || too_far() || !Scopes()) return;
    const Duration ttl_changed = ttl_ > asked_.ttl ? ttl_ - asked_.ttl : asked_.ttl - ttl_;
    const std::tuple distance(fields_changed_, scopes_removed_, ttl_changed);
    if (best.has_value() && distance >= best->distance) return;
    best = Proposal{asked_, distance};
    best->request.target = target;
    best->request.access_level = level_;
    best->request.ttl = ttl_;
    if (name_.has_value()) best->request.display_name = *std::move(name_);
    if (labels_.has_value()) best->request.labels = *std::move(labels_);
    best->request.scopes = std::move(scopes_);
  }

 private:
  bool Takes(std::string_view scope) const {
    return ScopeFits(scope, asked_.target.kind) && CoversScope(grant_, scope) && !denied_.Hits(scope);
  }

  bool Level() {
    level_ = asked_.access_level;
    if (asked_.target.kind != TargetKind::kProject && asked_.target.kind != TargetKind::kGroup) return level_ == 0;
    for (const int level : {50, 40, 30, 25, 20, 15, 10}) {
      if (!LevelCovers(asked_.access_level, level) || !LevelCovers(grant_.max_access_level, level)) continue;
      level_ = level;
      return Changed(level_ != asked_.access_level);
    }
    return false;
  }

  bool Ttl() {
    if (!grant_.max_ttl.has_value()) return false;
    const Duration least = grant_.min_ttl.value_or(kMinTtl);
    Duration most = *grant_.max_ttl;
    if (grant_.not_after.has_value() && *grant_.not_after - asked_.now < most) {
      most = duration_cast<seconds>(*grant_.not_after - asked_.now);
      if (asked_.ttl > most && asked_.ttl <= *grant_.not_after - asked_.now) most = asked_.ttl;
    }
    if (least > most) return false;
    ttl_ = std::clamp(asked_.ttl, least, most);
    return Changed(ttl_ != asked_.ttl);
  }

  bool DisplayName() {
    const std::string& pattern = grant_.display_name;
    if (pattern.empty() || GlobMatches(pattern, asked_.display_name)) return true;
    for (const std::string_view text : {std::string_view(asked_.display_name), std::string_view()}) {
      name_ = FillStars(pattern, text);
      if (IsDisplayName(*name_)) return Changed(true);
    }
    return false;
  }

  bool Labels() {
    for (const auto& [key, pattern] : grant_.required_labels) {
      const auto asked = asked_.labels.find(key);
      if (asked != asked_.labels.end() && GlobMatches(pattern, asked->second)) continue;
      if (!labels_.has_value()) labels_ = asked_.labels;
      std::string value = FillStars(pattern, asked == asked_.labels.end() ? "" : asked->second);
      if (Characters(value) > kMaxLabelValue) value = FillStars(pattern, "");
      (*labels_)[key] = std::move(value);
    }
    if (!labels_.has_value()) return true;
    return labels_->size() <= std::max(kMaxLabels, asked_.labels.size()) && Changed(true);
  }

  bool Scopes() {
    std::vector<std::string_view> removed;
    for (const std::string& scope : asked_.scopes) {
      if (Takes(scope)) {
        scopes_.push_back(scope);
      } else {
        removed.push_back(scope);
      }
    }
    scopes_removed_ = static_cast<int>(removed.size());
    if (removed.empty()) return !scopes_.empty();
    // In place of what goes, the most of what it implied.
    std::vector<std::string_view> weaker;
    for (const std::string_view known : KnownScopes()) {
      const bool implied =
          std::any_of(removed.begin(), removed.end(), [&](std::string_view gone) { return Implies(gone, known); });
      if (implied && Takes(known) && !AnyImplies(scopes_, known)) weaker.push_back(known);
    }
    for (const std::string_view scope : weaker) {
      const bool less = std::any_of(weaker.begin(), weaker.end(),
                                    [&](std::string_view other) { return other != scope && Implies(other, scope); });
      if (!less && scopes_.size() < kMaxScopes) scopes_.emplace_back(scope);
    }
    return !scopes_.empty() && Changed(true);
  }

  bool Changed(bool changed) {
    fields_changed_ += changed ? 1 : 0;
    return true;
  }

  const CompiledGrant& grant_;
  const AccessRequest& asked_;
  const DeniedScopes& denied_;
  int fields_changed_ = 0;
  int scopes_removed_ = 0;
  int level_ = 0;
  Duration ttl_{0};
  std::optional<std::string> name_;
  std::optional<std::map<std::string, std::string>> labels_;
  std::vector<std::string> scopes_;
};

// The target that a pattern names in full; nothing if it names several, or none for certain.
std::optional<Target> OnlyTarget(const CompiledPattern& pattern, const Target& asked, const CapturedTexts& captured) {
  if (pattern.kind != asked.kind || !pattern.name.empty()) return std::nullopt;
  if (pattern.id.has_value()) return Target{asked.instance, pattern.kind, std::to_string(*pattern.id)};
  std::optional<std::string> path = pattern.path->OnlyPath(captured);
  if (!path.has_value()) return std::nullopt;
  return Target{asked.instance, pattern.kind, *std::move(path)};
}

// The first targets that grants name in full, the request's own aside; each once.
std::vector<Target> OtherTargets(const GrantIndex& grants, const AccessRequest& request,
                                 const CapturedTexts& captured) {
  std::map<std::string, Target> targets;
  for (const auto& grant : grants.all()) {
    for (const CompiledPattern& pattern : grant->targets) {
      if (targets.size() > kMaxOtherTargets) break;
      std::optional<Target> target = OnlyTarget(pattern, request.target, captured);
      if (!target.has_value()) continue;
      std::string key = LowerCase(target->ref);
      targets.emplace(std::move(key), *std::move(target));
    }
  }
  targets.erase(LowerCase(request.target.ref));
  std::vector<Target> out;
  for (auto& [key, target] : targets) out.push_back(std::move(target));
  return out;
}

bool IsOver(const CompiledGrant& grant, const AccessRequest& request) {
  if (grant.not_after.has_value() && request.now >= *grant.not_after) return true;
  return request.verb == Verb::kRotate && grant.max_chain_age.has_value() && request.chain_age > *grant.max_chain_age;
}

}  // namespace

std::optional<AccessRequest> ClosestAllowed(const RulesInForce& rules, const Caller& caller,
                                            const AccessRequest& request, const TargetFacts* facts) {
  if (!MakesToken(request.verb)) return std::nullopt;
  const CapturedTexts captured(caller.captures);
  std::optional<Proposal> best;
  // Bends the request to each grant that `matches` the target.
  const auto consider = [&](const Target& target, const SoughtTarget& sought, const TargetFacts* known, bool changed,
                            const auto& matches) {
    const DeniedScopes denied(rules.denies, request.verb, target, known);
    rules.grants.ForEach(sought, captured, /*maybe=*/false, [&](const CompiledGrant& grant) {
      if (!HasVerb(grant, request.verb) || IsOver(grant, request) || !matches(grant)) return true;
      Bend(grant, request, denied).At(target, changed, best);
      return true;
    });
  };
  const auto consider_written = [&](const Target& target, bool changed) {
    const SoughtTarget sought(target);
    consider(target, sought, nullptr, changed, [&](const CompiledGrant& grant) {
      return MatchWritten(grant, target.instance, sought, captured) == Match::kYes;
    });
  };
  if (facts == nullptr) {
    consider_written(request.target, /*changed=*/false);
  } else if (WhyForbidden(*facts, request.verb, rules.options).empty()) {
    const SoughtTarget known(facts->target);
    consider(request.target, known, facts, /*changed=*/false,
             [&](const CompiledGrant& grant) { return MatchesFacts(grant, facts->target.instance, known, captured); });
  }
  // A rotation has the target of what it replaces.
  if (request.verb == Verb::kCreate) {
    for (const Target& target : OtherTargets(rules.grants, request, captured)) {
      if (best.has_value() && best->distance <= std::tuple(1, 0, Duration(0))) break;  // None is closer.
      consider_written(target, /*changed=*/true);
    }
  }
  if (!best.has_value()) return std::nullopt;
  return std::move(best->request);
}

}  // namespace tokenbroker
