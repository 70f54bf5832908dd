#pragma once
// What the harness and the testonly broker share: a page of memory in a file. The harness moves time and names the
// crash; the broker counts what it passes and says when it is idle. The page survives the broker's death.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tokenbroker {

// Where the broker can be killed or stopped: "<use case>.<step>:<where>". `before` and `after` are the two sides of a
// port's verb, `sent` is while GitLab holds the request. Between two neighbours lies exactly one step.
inline constexpr std::string_view kPoints[] = {
    // Any create, before it is known whether it is a repeat; any work, before it is known whose.
    "call.find_request:before", "call.resolve:before", "call.resolve:after", "call.claim:before",
    // A create.
    "create.find_request:after", "create.begin:before", "create.begin:after", "create.mint:before", "create.mint:sent",
    "create.mint:after", "create.activate:before", "create.activate:after", "create.abandon:before",
    "create.abandon:after", "create.take_back:before", "create.take_back:after",
    // What a create took back.
    "create.delete:before", "create.delete:sent", "create.delete:after", "create.death:before", "create.death:after",
    // A repeat of a request_id, and the end of the token that it replaces.
    "repeat.find_request:after", "repeat.used:before", "repeat.used:after", "repeat.begin:before", "repeat.begin:after",
    "repeat.mint:before", "repeat.mint:sent", "repeat.mint:after", "repeat.activate:before", "repeat.activate:after",
    "repeat.delete:before", "repeat.delete:sent", "repeat.delete:after", "repeat.death:before", "repeat.death:after",
    // A revocation that a caller asked for.
    "revoke.get:before", "revoke.get:after", "revoke.request:before", "revoke.request:after", "revoke.claim:after",
    "revoke.delete:before", "revoke.delete:sent", "revoke.delete:after", "revoke.seen:before", "revoke.seen:after",
    "revoke.absence:before", "revoke.absence:after", "revoke.death:before", "revoke.death:after",
    "revoke.attempt:before", "revoke.attempt:after",
    // The end of a ttl.
    "expiry.claim:after", "expiry.delete:before", "expiry.delete:sent", "expiry.delete:after", "expiry.seen:before",
    "expiry.seen:after", "expiry.absence:before", "expiry.absence:after", "expiry.death:before", "expiry.death:after",
    "expiry.attempt:before", "expiry.attempt:after",
    // A look for what a lost answer left behind, and the end of what it finds.
    "look.claim:after", "look.list:before", "look.list:sent", "look.list:after", "look.record:before",
    "look.record:after", "look.delete:before", "look.delete:sent", "look.delete:after", "look.death:before",
    "look.death:after"};
inline constexpr std::size_t kPointCount = std::size(kPoints);

// The index of a point; nothing for a name that is none.
std::optional<std::size_t> PointNamed(std::string_view name);

struct Control {
  // Time: the broker's clocks are the machine's plus this. `steps` counts the moves and is the futex that tells of
  // them.
  std::atomic<std::int64_t> offset_micros;
  std::atomic<std::uint32_t> steps;

  // The crash: at the pass of `point` that takes `passes_left` to 0, `signal` is raised. No point: kPointCount.
  std::atomic<std::uint32_t> point;
  std::atomic<std::uint32_t> passes_left;
  std::atomic<std::int32_t> signal;
  std::atomic<std::uint32_t> fired;  // Set just before it is raised.

  // Port calls under way, and the newest step at which a claim of due work found none while no call was under way.
  std::atomic<std::uint32_t> under_way;
  std::atomic<std::uint32_t> idle_at;

  std::array<std::atomic<std::uint64_t>, kPointCount> passed;
};
static_assert(std::atomic<std::int64_t>::is_always_lock_free && std::atomic<std::uint32_t>::is_always_lock_free);

// Maps the file, which is made if it is missing. Ends the process, with a line on stderr, if that fails. The mapping
// is never undone.
Control& MapControl(const std::string& path);

// Moves the broker's time on and wakes whoever waits for it.
void StepTime(Control& control, std::int64_t micros);
// Waits until control.steps is no longer `seen`, or for 200 ms at most.
void WaitForStep(Control& control, std::uint32_t seen);

// The broker is at this point. Does not return if it is to be killed here.
void Pass(Control& control, std::size_t point);

}  // namespace tokenbroker
