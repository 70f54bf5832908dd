#include "tests/sim/gale.h"

#include <memory>
#include <optional>
#include <utility>

#include "server/base/error.h"

namespace tokenbroker::sim {
namespace {

constexpr char kHanging[] = "acme/payments";
constexpr std::int64_t kHangingId = 7;
constexpr char kHealthy[] = "acme/web";
constexpr int kTokensThatEnd = 10;
constexpr int kCreates = 20;
constexpr Duration kTtl = minutes(1);
constexpr Duration kLongTtl = hours(20);  // For the reconciler.

CreateRequest RequestFor(const std::string& project, Duration ttl) {
  CreateRequest request;
  request.display_name = "gale";
  request.target.kind = TargetKind::kProject;
  request.target.ref = project;
  request.scopes = {"read_repository"};
  request.access_level = 20;
  request.ttl = ttl;
  request.labels = {{"job", "gale"}};
  return request;
}

}  // namespace

void Gale::Create(const std::string& caller, const std::string& project, Duration ttl) {
  const bool counts = project == kHealthy;
  if (counts) ++waiting_;
  const BootTime began = sky_.world.Boot();
  const CallContext call(server_.process().Boot() + minutes(2));
  const Caller who = {caller, "spiffe://sim/" + caller};
  CreateRequest request = RequestFor(project, ttl);
  server_.broker().scope().Spawn<absl::StatusOr<Created>>(
      server_.broker().Create(call, who, std::move(request)), [this, counts, began](absl::StatusOr<Created> created) {
        if (!counts) return;
        --waiting_;
        const Duration took = sky_.world.Boot() - began;
        // Not Status::ToString: its parts have no fixed order.
        sky_.note("a create beside the gale ends: " + std::to_string(static_cast<int>(created.status().code())) + ' ' +
                  ReasonOf(created.status()));
        if (took <= kGaleBound) return;
        wrong_.push_back("fairness: a create waited " + std::to_string(took.count() / 1000) +
                         " ms while another caller's target hung");
      });
}

void Gale::Blow() {
  sky_.note("a target begins to hang");
  for (const char* project : {kHanging, kHealthy}) Create("ci", project, kLongTtl);
  for (int i = 0; load_ && i < kTokensThatEnd; ++i) Create("ci", kHanging, kTtl);
  Create("deploy", kHealthy, kTtl);
  sky_.world.Advance(seconds(5));
  TroubledTarget troubled;
  troubled.id = kHangingId;
  troubled.how = TroubledTarget::How::kHangs;
  sky_.weather.troubled = troubled;
  sky_.world.Advance(seconds(50) + draw_.Between(Duration(0), seconds(4)));
  for (int i = 0; load_ && i < kCreates; ++i) Create("ci", kHanging, hours(1));
  sky_.world.Advance(seconds(6) + draw_.Between(Duration(0), seconds(4)));
  Create("build", kHealthy, kTtl);
  sky_.world.Advance(seconds(3));
  if (waiting_ > 0)
    wrong_.push_back("fairness: a create waits for longer than 3 s while another caller's target hangs");
}

void Gale::Calm() {
  sky_.note("the target responds again");
  sky_.weather.troubled.reset();
  sky_.world.Advance(seconds(1));
}

}  // namespace tokenbroker::sim
