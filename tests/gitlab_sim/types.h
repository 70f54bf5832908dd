// The simulator's vocabulary: what a test seeds, looks at and plans. Plain data, no behaviour. Every member has an
// initialiser, so that a test names those that it cares about: `{.username = "root", .admin = true}`.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tokenbroker::gitlab_sim {

using TimePoint = std::chrono::sys_time<std::chrono::milliseconds>;
using Headers = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method{};
  std::string target{};  // Path and query, still percent-encoded.
  Headers headers{};
  std::string body{};
  std::string remote_ip = "127.0.0.1";
};

struct HttpResponse {
  int status = 200;
  Headers headers{};
  std::string body{};
};

enum class UserKind { kHuman, kProjectBot, kServiceAccount };

// A user to add. `id` 0 takes the next free one.
struct UserSeed {
  std::string username{};
  std::string name{};  // Empty: the user name.
  bool admin = false;
  bool blocked = false;
  UserKind kind = UserKind::kHuman;
  int64_t id = 0;
};

// A group to add, by full path; its parent groups must exist.
struct GroupSeed {
  std::string full_path{};
  std::string visibility = "private";
  bool archived = false;
  int64_t id = 0;
};

// A project to add. The parent group is made if it is missing; a parent that is a user name is that user's namespace.
struct ProjectSeed {
  std::string full_path{};
  std::string visibility = "private";
  bool archived = false;
  bool repository = false;  // Make a bare repository with one commit under Options::git_root.
  int64_t id = 0;
};

// A token to add as if it had been made before; nothing is validated.
struct TokenSeed {
  int64_t user_id = 0;
  std::string name = "seeded";
  std::vector<std::string> scopes = {"api"};
  std::optional<std::string> expires_at{};  // YYYY-MM-DD
  bool revoked = false;
  bool impersonation = false;
  std::string secret{};  // Empty: generated as the version would.
  int64_t id = 0;
  std::optional<std::string> description{};
  std::optional<TimePoint> created_at{};  // Absent: now.
};

// A token as the simulator holds it, whatever its kind.
struct TokenView {
  int64_t id = 0;
  std::string name{};
  std::optional<std::string> description{};
  int64_t user_id = 0;
  UserKind owner_kind = UserKind::kHuman;
  std::vector<std::string> scopes{};
  TimePoint created_at{};
  std::optional<std::string> expires_at{};
  std::optional<TimePoint> last_used_at{};
  bool revoked = false;
  bool live = false;  // Neither revoked nor expired.
  int64_t previous_id = 0;
  std::string resource_type{};  // "project", "group" or empty.
  int64_t resource_id = 0;
  int access_level = 0;
  std::string secret{};
};

// A request as it arrived at the GitLab port (not the management port).
struct SeenRequest {
  std::string method{};
  std::string target{};
  std::string path{};  // The target without its query.
  std::string body{};
  Headers headers{};   // Secrets included: for assertions, not for logs.
  int status = 0;      // What was answered; 0 while it waits and where no answer was sent.
  bool acted = false;  // Whether the model was asked (and so may have changed).
};

// What shall happen to requests that match. Everything that is set applies; delays pass by the simulator's clock, so
// that moving it forward ends them; nothing blocks.
struct Fault {
  enum class Action {
    kAct,            // Act and answer as usual (with the delays of this fault).
    kClose,          // Close the connection without acting.
    kReset,          // Reset it (TCP RST) without acting.
    kActThenClose,   // Act, answer nothing, close.
    kActThenReset,   // Act, answer nothing, reset.
    kAnswer,         // Do not act; answer `status`, `headers`, `body`.
    kActThenAnswer,  // Act, but answer `status`, `headers`, `body`.
    kAnswerThenAct,  // Answer `status`, `headers`, `body` at once and act `act_later` afterwards.
    kTruncate,       // Act, send the headers and half of the body, close.
    kAnswerTwice,    // Act, and send the answer twice over the same connection.
  };

  // Matching: empty means any. The first planned fault that matches is used.
  std::string method{};
  std::string path_regex{};     // ECMAScript, searched in the target (with its query).
  std::string body_contains{};  // A substring of the request's body.
  int times = 1;                // How many requests it takes; negative: all of them.

  Action action = Action::kAct;
  int acts = 1;  // How often it acts: 2 as when something on the way sends the request again. The last answer counts.
  std::chrono::milliseconds delay_before{0};  // Before acting.
  std::chrono::milliseconds delay_after{0};   // After acting, before answering, closing or resetting.
  std::chrono::milliseconds act_later{0};     // kAnswerThenAct only.
  std::chrono::milliseconds body_time{0};     // Spread the answer's body over this time.
  int status = 0;
  Headers headers{};
  std::string body{};
  std::chrono::seconds clock_ahead{0};  // Of the Date of a canned answer, from the simulator's clock.
  // Where the model's own answer goes out: the first such text in its body becomes that.
  std::string replace{};
  std::string replace_with{};

  // GitLab's edge throttle: 429, plain text "Retry later", Retry-After and the RateLimit headers.
  static Fault TooManyRequests(int retry_after_seconds);
  // GitLab's application limit: 429 JSON, Retry-After 60, no RateLimit headers.
  static Fault TooManyRequestsJson();
  // A proxy's error page in HTML, not acted on.
  static Fault HtmlError(int status);
  // Workhorse without Puma: 502 text/plain, not acted on.
  static Fault NotResponding();
  // 504 in HTML now; the request is carried out `later`.
  static Fault TimeoutThenAct(std::chrono::milliseconds later);
  static Fault Redirect(int status, const std::string& location);
  // 200 with a page of HTML (a captive portal, a login page), not acted on.
  static Fault HtmlOk();
  // An answer of something in front of GitLab, not acted on: without X-Gitlab-Meta, and with a clock that is
  // `clock_ahead` of the simulator's.
  static Fault Proxy(int status, const std::string& body = "", std::chrono::seconds clock_ahead = {});
  // 409 `Resource lock`, not acted on.
  static Fault ResourceLock();

  // To write plans as `Fault::HtmlError(502).On("POST", "/personal_access_tokens$", 2)`.
  Fault On(std::string on_method, std::string on_path_regex, int on_times = 1) &&;
};

// Settings of the instance (and oddities of the machines around it) that a test may change at any time.
struct Settings {
  bool require_expiry = true;   // require_personal_access_token_expiry
  int max_lifetime_days = 365;  // The newest date allowed is today + this.
  bool admin_mode = false;      // Admin Mode: an administrator's token needs the scope admin_mode.
  bool impersonation_enabled = true;
  bool service_account_expiry_enforced = true;
  std::string token_prefix = "glpat-";
  bool rate_limit_headers = false;  // RateLimit-* on every answer, as with an enabled throttle.
  int rate_limit_per_minute = 2000;
  bool read_only = false;                  // Maintenance mode or a Geo secondary: writes are refused.
  bool admin_flag_lost = false;            // Every administrator is treated as a normal user.
  int shorten_expiry_days = 0;             // The server grants dates this many days earlier than asked.
  std::chrono::milliseconds list_lag{0};   // Lists come from a replica that is this far behind.
  std::chrono::milliseconds by_id_lag{0};  // Routes with a token's id come from a replica that is this far behind.
  std::chrono::milliseconds fresh_token_lag{0};  // A new token is answered 401 for this long.
  bool omit_totals = false;                      // Lists without X-Total, X-Total-Pages and rel="last".
  bool unknown_fields = false;                   // Objects carry a key nobody knows.
  std::chrono::milliseconds git_bot_lag{0};      // Git answers 401 to a new project or group token for this long.
};

}  // namespace tokenbroker::gitlab_sim
