#include "server/identity/issuer_keys.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

namespace tokenbroker {
namespace {

constexpr Duration kBetweenForced = seconds(30);
constexpr Duration kRetry = seconds(30);
constexpr Duration kBusy = seconds(5);

// `time`, give or take a tenth: many brokers that start together do not stay together.
Duration WithJitter(Duration time, Random& random) {
  std::array<std::uint8_t, 2> drawn{};
  random.Fill(drawn);
  const int permille = 900 + (drawn[0] << 8 | drawn[1]) % 201;
  return time * permille / 1000;
}

}  // namespace

IssuerKeys::IssuerKeys(std::string issuer, Duration refresh, std::unique_ptr<KeyFetcher> fetcher, Clock& clock,
                       Random& random, Metrics& metrics, Log& log)
    : issuer_(std::move(issuer)),
      refresh_(refresh),
      clock_(clock),
      random_(random),
      metrics_(metrics),
      log_(log),
      fetcher_(std::move(fetcher)) {
  metrics_.SetJwtKeys(issuer_, 0, WallTime());
  const std::lock_guard lock(gate_->mutex);
  gate_->keys = this;
  Begin(/*scheduled=*/true);
}

IssuerKeys::~IssuerKeys() {
  const std::lock_guard lock(gate_->mutex);
  gate_->keys = nullptr;
}

std::shared_ptr<const KeySet> IssuerKeys::Current() const {
  const std::lock_guard lock(gate_->mutex);
  return current_;
}

void IssuerKeys::Want() {
  const std::lock_guard lock(gate_->mutex);
  if (want_timer_ == nullptr) WantAt(std::max(clock_.Boot(), last_begin_ + kBetweenForced));
}

void IssuerKeys::WantAt(BootTime when) {
  want_timer_ = clock_.CallAt(when, [gate = gate_] {
    const std::lock_guard lock(gate->mutex);
    if (gate->keys != nullptr) gate->keys->FetchWanted();
  });
}

void IssuerKeys::FetchWanted() {
  // A scheduled fetch may have begun since, and have seen the keys of before.
  const BootTime earliest = last_begin_ + kBetweenForced;
  if (clock_.Boot() < earliest) return WantAt(earliest);
  want_timer_ = nullptr;
  if (in_flight_) return;  // For half a minute: it gives up soon, and the next token asks again.
  Begin(/*scheduled=*/false);
}

void IssuerKeys::Refresh() {
  if (in_flight_) return ScheduleRefresh(kBusy);
  Begin(/*scheduled=*/true);
}

void IssuerKeys::ScheduleRefresh(Duration after) {
  refresh_timer_ = clock_.CallAt(clock_.Boot() + after, [gate = gate_] {
    const std::lock_guard lock(gate->mutex);
    if (gate->keys != nullptr) gate->keys->Refresh();
  });
}

void IssuerKeys::Begin(bool scheduled) {
  in_flight_ = true;
  last_begin_ = clock_.Boot();
  fetcher_->Fetch(/*rediscover=*/scheduled, [gate = gate_, scheduled](absl::StatusOr<std::string> text) {
    Take(gate, scheduled, std::move(text));
  });
}

void IssuerKeys::Take(const std::shared_ptr<Gate>& gate, bool scheduled, absl::StatusOr<std::string> text) {
  absl::StatusOr<KeySet> read = absl::AlreadyExistsError("in force");
  if (!text.ok()) {
    read = text.status();
  } else if (!IsInForce(*gate, *text)) {
    read = KeySet::Parse(*text);  // Without the lock: tokens are verified meanwhile.
  }
  const std::lock_guard lock(gate->mutex);
  if (gate->keys != nullptr) gate->keys->End(scheduled, std::move(read), std::move(text));
}

bool IssuerKeys::IsInForce(Gate& gate, const std::string& text) {
  const std::lock_guard lock(gate.mutex);
  return gate.keys != nullptr && gate.keys->current_ != nullptr && gate.keys->text_ == text;
}

void IssuerKeys::End(bool scheduled, absl::StatusOr<KeySet> read, absl::StatusOr<std::string> text) {
  in_flight_ = false;
  const absl::Status why = read.status();
  const bool has_answer = text.ok();
  const bool good = why.ok() || absl::IsAlreadyExists(why);
  if (why.ok()) {
    current_ = std::make_shared<const KeySet>(*std::move(read));
    text_ = *std::move(text);
    log_.Info("JWT keys taken up", {{"issuer", issuer_},
                                    {"keys", static_cast<int>(current_->size())},
                                    {"skipped", static_cast<int>(current_->skipped())}});
  } else if (good && !failure_.empty()) {
    log_.Info("JWT keys fetched again", {{"issuer", issuer_}});
  }
  if (good) {
    failure_.clear();
    metrics_.JwtKeysFetched(issuer_, "done");
    metrics_.SetJwtKeys(issuer_, static_cast<int>(current_->size()), clock_.Now());
  } else {
    metrics_.JwtKeysFetched(issuer_, has_answer ? "unusable" : "failed");
    const std::string failure(why.message());
    if (failure != failure_) {
      log_.Warn("JWT keys not taken up",
                {{"issuer", issuer_}, {"error", failure}, {"keys", current_ ? static_cast<int>(current_->size()) : 0}});
    }
    failure_ = failure;
  }
  if (scheduled) ScheduleRefresh(WithJitter(good ? refresh_ : std::min(refresh_, kRetry), random_));
}

}  // namespace tokenbroker
