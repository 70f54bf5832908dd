#pragma once
// Faults that the crash tests must find, each a broker that breaks one promise. Testonly.

#include <memory>
#include <optional>
#include <string_view>

#include "server/base/clock.h"
#include "server/gitlab/gitlab.h"
#include "server/ledger/ledger.h"

namespace tokenbroker {

enum class Plant {
  kNone,
  kPostBeforeIntent,  // The POST leaves before its intent is written.
  kNoLook,            // Nobody looks for what a lost answer left behind.
  kNoSettle,          // A look that finds nothing closes the row at once, whatever GitLab may still apply.
  kAbsenceIsDeath,    // A 404 is taken for death, though GitLab would show the token to nobody.
  kForgetful,         // A revocation is acknowledged before it is written.
  kAnswerBeforeSync,  // A commit is answered before it is on the disk.
  kUnavailable,       // An unknown end is told as UNAVAILABLE, which stock policies resend.
};

// "none", "post-before-intent", "no-look", "no-settle", "absence-is-death", "forgetful", "answer-before-sync",
// "unavailable".
std::optional<Plant> PlantNamed(std::string_view name);

// Puts the fault into the ports. (kNoSettle is a matter of configuration, kAnswerBeforeSync one of the disk.) Both must
// live as long as either is used.
class Planter {
 public:
  explicit Planter(Plant plant) : plant_(plant) {}

  std::unique_ptr<Ledger> Wrap(std::unique_ptr<Ledger> real, Clock& clock);
  std::unique_ptr<GitLab> Wrap(std::unique_ptr<GitLab> real);

 private:
  class LateIntents;

  const Plant plant_;
  LateIntents* late_ = nullptr;  // The ledger of kPostBeforeIntent.
};

}  // namespace tokenbroker
