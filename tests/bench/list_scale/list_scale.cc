// Measures Ledger::List: 50 tokens of a large ledger against 50 of a small one, for every single term and order. Prints
// a table of medians: time on the wall, which includes two changes of threads, and the process's CPU time, which a busy
// machine disturbs less and which the ratio is of. Ends with 1 if that is above 1.3 where an index serves the term in
// the order that was asked for; the other rows show what an order costs that does not suit the term.
//
//   list_scale [large = 1000000] [small = 1000] [rounds = 200]
//
// Both ledgers are filled through the port, with the same mixture: of 10 owners, one has half of the tokens; half of
// all are closed. What a term matches grows with the ledger, but for "needle", which 60 open tokens have in either.

#include <stdlib.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "server/base/manual_loop.h"
#include "server/base/random.h"
#include "server/base/task_scope.h"
#include "server/ledger/sqlite_ledger.h"

namespace tokenbroker {
namespace {

constexpr int kNeedles = 60;
constexpr double kAllowed = 1.3;

// Microseconds.
struct Times {
  std::vector<double> wall, cpu;
};

double CpuMicros() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

class Filled {
 public:
  Filled(const std::string& path, int tokens) : tokens_(tokens) {
    absl::StatusOr<std::unique_ptr<Ledger>> ledger =
        OpenSqliteLedger({path, "tb1", minutes(10), seconds(60)}, loop_, loop_, random_, metrics_);
    if (!ledger.ok()) Fail(ledger.status());
    ledger_ = *std::move(ledger);
    start_ = loop_.Now();
    constexpr int kInFlight = 500;  // They share few commits.
    for (int i = 0; i < tokens; i += kInFlight) {
      TaskScope scope(loop_);
      for (int k = i; k < std::min(tokens, i + kInFlight); ++k) {
        scope.Spawn<absl::Status>(Make(this, SpecOf(k), k), [](const absl::Status& end) {
          if (!end.ok()) Fail(end);
        });
        loop_.Advance(milliseconds(1));
      }
      if (!loop_.RunUntil([&] { return scope.running() == 0; }, minutes(5))) Fail(absl::UnknownError("it hangs"));
    }
  }

  // One list.
  void Time(const ListQuery& query, Times& times) {
    const double cpu = CpuMicros();
    const auto begin = std::chrono::steady_clock::now();
    const absl::StatusOr<TokenList> list = loop_.Finish(ledger_->List(query));
    const auto end = std::chrono::steady_clock::now();
    times.cpu.push_back(CpuMicros() - cpu);
    times.wall.push_back(std::chrono::duration<double, std::micro>(end - begin).count());
    if (!list.ok()) Fail(list.status());
    found_ = list->tokens.size();
  }
  std::size_t found() const { return found_; }  // By the last Time().

  // The time of the token at this part of the ledger.
  WallTime CreatedAt(double part) const { return start_ + milliseconds(static_cast<int>(part * tokens_)); }

 private:
  [[noreturn]] static void Fail(const absl::Status& status) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    std::exit(2);
  }

  IntentSpec SpecOf(int i) {
    IntentSpec spec;
    Token& token = spec.token;
    token.id = MakeSortableId(loop_.Now(), random_);
    token.owner = i % 2 == 0 ? "ci" : "caller" + std::to_string(i % 9);
    token.display_name = "nightly build";
    token.purpose = "scan";
    const int target = 1 + i / 7 % 4;
    token.target = {"main", TargetKind::kProject, target, "acme/project" + std::to_string(target)};
    token.scopes =
        i % 5 < 2 ? std::vector<std::string>{"read_api", "read_user"} : std::vector<std::string>{"read_repository"};
    token.access_level = 20;
    token.labels = {{"team", "team" + std::to_string(i / 3 % 4)}};
    const int every = std::max(1, tokens_ / kNeedles / 8 * 8);
    if (i % every == 0 && i / every < kNeedles) token.labels["needle"] = "yes";
    token.upstream_name = "nightly build [tb:tb1:" + token.id + "]";
    spec.ttl = hours(1) + milliseconds(i * 7919LL % tokens_);
    return spec;
  }

  // Half of them end closed; some are on their way.
  static Task<absl::Status> Make(Filled* self, IntentSpec spec, int i) {
    const TokenId id = spec.token.id;
    const WallTime end = self->loop_.Now() + *spec.ttl;
    absl::StatusOr<DurableIntent> intent = co_await self->ledger_->Begin(std::move(spec));
    if (!intent.ok()) co_return intent.status();
    const int state = i / 2 % 4;
    if (state == 1 || state == 3) {
      std::string why = "GitLab said 400";
      co_return co_await self->ledger_->Abandon(id, std::move(why));
    }
    if (i % 97 == 0) co_return absl::OkStatus();  // PENDING
    MadeUpstream made;
    made.id = i + 1;
    made.name = "x";
    if (i % 3 == 0) {
      std::optional<MadeUpstream> known(std::move(made));
      const absl::StatusOr<Token> revoking =
          co_await self->ledger_->StartRevoking(id, RevokeReason::kPolicy, std::move(known));
      co_return revoking.status();
    }
    const absl::StatusOr<Token> active = co_await self->ledger_->Activate(id, std::move(made), end);
    co_return active.status();
  }

  const int tokens_;
  ManualLoop loop_;
  SystemRandom random_;
  Metrics metrics_;
  WallTime start_;
  std::unique_ptr<Ledger> ledger_;
  std::size_t found_ = 0;
};

struct Case {
  std::string name;
  std::vector<TokenTerm> (*terms)(const Filled&);
};

const std::vector<Case>& Cases() {
  using Terms = std::vector<TokenTerm>;
  static const auto* const kCases = new std::vector<Case>{
      {"no term", [](const Filled&) { return Terms(); }},
      {"state=ACTIVE", [](const Filled&) { return Terms{StateTerm{TokenState::kActive}}; }},
      {"state=REVOKING", [](const Filled&) { return Terms{StateTerm{TokenState::kRevoking}}; }},
      {"state!=ACTIVE",
       [](const Filled&) {
         return Terms{StateTerm{TokenState::kActive, true}};
       }},
      {"owner=ci", [](const Filled&) { return Terms{OwnerTerm{"ci"}}; }},
      {"target (id)",
       [](const Filled&) {
         return Terms{TargetTerm{{"", TargetKind::kProject, "3"}}};
       }},
      {"target (path)",
       [](const Filled&) {
         return Terms{TargetTerm{{"", TargetKind::kProject, "ACME/project3"}}};
       }},
      {"scopes:read_user", [](const Filled&) { return Terms{ScopeTerm{"read_user"}}; }},
      {"labels:team",
       [](const Filled&) {
         return Terms{LabelTerm{"team", {}}};
       }},
      {"labels.team=team2",
       [](const Filled&) {
         return Terms{LabelTerm{"team", "team2"}};
       }},
      {"labels:needle",
       [](const Filled&) {
         return Terms{LabelTerm{"needle", {}}};
       }},
      {"create_time<",
       [](const Filled& in) {
         return Terms{TimeTerm{TimeField::kCreateTime, {}, in.CreatedAt(0.5)}};
       }},
      {"create_time>",
       [](const Filled& in) {
         return Terms{TimeTerm{TimeField::kCreateTime, in.CreatedAt(0.7), {}}};
       }},
      {"expire_time<",
       [](const Filled& in) {
         return Terms{TimeTerm{TimeField::kExpireTime, {}, in.CreatedAt(1.0) + hours(1)}};
       }},
      {"expire_time>",
       [](const Filled& in) {
         return Terms{TimeTerm{TimeField::kExpireTime, in.CreatedAt(1.0) + hours(1), {}}};
       }},
  };
  return *kCases;
}

// Whether an index has the term's tokens in this order.
bool IsServed(const std::vector<TokenTerm>& terms, TimeField by) {
  return std::all_of(terms.begin(), terms.end(), [by](const TokenTerm& term) {
    if (const auto* time = std::get_if<TimeTerm>(&term)) return time->field == by;
    const bool always = std::holds_alternative<StateTerm>(term) || std::holds_alternative<OwnerTerm>(term);
    return always || by == TimeField::kCreateTime;
  });
}

double Median(std::vector<double> times) {
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

// One row of the table; false if the ratio is too large.
bool Compare(const Case& each, ListQuery query, int rounds, Filled& large, Filled& small) {
  Times in_large;
  Times in_small;
  for (int i = 0; i < rounds; ++i) {
    query.terms = each.terms(large);
    large.Time(query, in_large);
    query.terms = each.terms(small);
    small.Time(query, in_small);
  }
  const double ratio = Median(in_large.cpu) / Median(in_small.cpu);
  const bool served = IsServed(query.terms, query.order.by);
  const bool too_slow = served && ratio > kAllowed;
  std::printf("%-18s %-11s %-5s %-6s %-6s %2zu/%-2zu %8.0f %8.0f %8.0f %8.0f %6.2f%s\n", each.name.c_str(),
              std::string(NameOf(query.order.by)).c_str(), query.owner.has_value() ? "own" : "all",
              query.show_closed ? "yes" : "no", served ? "index" : "rows", large.found(), small.found(),
              Median(in_large.wall), Median(in_small.wall), Median(in_large.cpu), Median(in_small.cpu), ratio,
              too_slow ? " <-" : "");
  std::fflush(stdout);
  return !too_slow;
}

int Run(int large_tokens, int small_tokens, int rounds) {
  std::string folder = std::filesystem::temp_directory_path() / "list_scale_XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) return 2;
  int too_slow = 0;
  {
    const auto begin = std::chrono::steady_clock::now();
    Filled large(folder + "/large.db", large_tokens);
    Filled small(folder + "/small.db", small_tokens);
    std::printf("%d and %d tokens, made in %.0f s; medians of %d in us; found: in the large one / in the small one\n",
                large_tokens, small_tokens,
                std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), rounds);
    std::printf("%-18s %-11s %-5s %-6s %-6s %5s %8s %8s %8s %8s %6s\n", "term", "order", "whose", "closed", "by",
                "found", "wall", "wall", "CPU", "CPU", "ratio");
    for (const Case& each : Cases()) {
      for (int form = 0; form < 8; ++form) {
        ListQuery query;
        query.order.by = (form & 1) != 0 ? TimeField::kExpireTime : TimeField::kCreateTime;
        query.show_closed = (form & 2) != 0;
        if ((form & 4) == 0) query.owner = "ci";
        if (!Compare(each, query, rounds, large, small)) ++too_slow;
      }
    }
  }
  std::filesystem::remove_all(folder);
  std::printf("%d rows by an index above %.1f\n", too_slow, kAllowed);
  return too_slow == 0 ? 0 : 1;
}

}  // namespace
}  // namespace tokenbroker

int main(int argc, char** argv) {
  const auto number = [&](int at, int otherwise) { return argc > at ? std::atoi(argv[at]) : otherwise; };
  return tokenbroker::Run(number(1, 1'000'000), number(2, 1'000), number(3, 200));
}
