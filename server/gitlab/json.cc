#include "server/gitlab/json.h"

#include <simdjson.h>

#include <algorithm>
#include <utility>

namespace tokenbroker {
namespace {

namespace ondemand = simdjson::ondemand;

// simdjson reads a little past the end of what it is given.
ondemand::parser& ParserFor(std::string& body) {
  body.reserve(body.size() + simdjson::SIMDJSON_PADDING);
  thread_local ondemand::parser parser;
  return parser;
}

template <typename Read>
bool WithDocument(std::string& body, Read read) {
  try {
    ondemand::document document = ParserFor(body).iterate(body.data(), body.size(), body.capacity());
    // Anything behind the value, or a text that was cut, is no JSON.
    return read(document) && document.current_location().error() == simdjson::OUT_OF_BOUNDS;
  } catch (const simdjson::simdjson_error&) {
    return false;
  }
}

std::string TextOr(ondemand::value value, std::string otherwise = "") {
  if (value.is_null()) return otherwise;
  return std::string(std::string_view(value.get_string()));
}

void ReadTokenField(std::string_view key, ondemand::value value, UpstreamToken& token) {
  if (key == "id") {
    token.id = value.get_int64();
  } else if (key == "user_id") {
    token.user_id = value.get_int64();
  } else if (key == "name") {
    token.name = TextOr(value);
  } else if (key == "description") {
    token.description = TextOr(value);
  } else if (key == "revoked") {
    token.revoked = value.get_bool();
  } else if (key == "active") {
    token.active = value.get_bool();
  } else if (key == "access_level") {
    token.access_level = value.is_null() ? 0 : static_cast<int>(std::int64_t(value.get_int64()));
  } else if (key == "resource_type") {
    token.resource_type = TextOr(value);
  } else if (key == "resource_id") {
    token.resource_id = value.is_null() ? 0 : std::int64_t(value.get_int64());
  } else if (key == "created_at") {
    token.created_at = ParseRfc3339(TextOr(value)).value_or(WallTime());
  } else if (key == "last_used_at") {
    token.last_used_at = ParseRfc3339(TextOr(value));
  } else if (key == "expires_at") {
    token.expires_at = ParseDate(TextOr(value));
  } else if (key == "scopes") {
    for (ondemand::value scope : value.get_array()) token.scopes.push_back(TextOr(scope));
  }
}

bool ReadToken(ondemand::object object, UpstreamToken& token) {
  for (auto field : object) {
    const std::string_view key = field.unescaped_key();
    if (key != "token") ReadTokenField(key, field.value(), token);
  }
  return token.id > 0;
}

// The text between the quotes, where it stands: nothing of it is copied into a buffer of the parser.
std::optional<std::string_view> RawText(ondemand::value value) {
  std::string_view raw = value.raw_json_token();
  while (!raw.empty() && raw.back() != '"') raw.remove_suffix(1);
  if (raw.size() < 2 || raw.front() != '"' || raw.find('\\') != std::string_view::npos) return std::nullopt;
  return raw.substr(1, raw.size() - 2);
}

bool ReadUser(ondemand::object object, UpstreamUser& user) {
  bool locked = false;
  for (auto field : object) {
    const std::string_view key = field.unescaped_key();
    ondemand::value value = field.value();
    if (key == "id") user.id = value.get_int64();
    if (key == "username") user.username = TextOr(value);
    if (key == "state") user.active = TextOr(value) == "active";
    if (key == "locked") locked = !value.is_null() && bool(value.get_bool());
    if (key == "bot") user.bot = !value.is_null() && bool(value.get_bool());
    if (key == "is_admin") user.is_admin = !value.is_null() && bool(value.get_bool());
  }
  user.active = user.active && !locked;
  return user.id > 0 && !user.username.empty();
}

template <typename T, typename ReadOne>
std::optional<std::vector<T>> ReadList(std::string& body, ReadOne read_one) {
  std::vector<T> list;
  const bool good = WithDocument(body, [&](ondemand::document& document) {
    for (ondemand::value each : document.get_array()) {
      T item;
      if (!read_one(each.get_object(), item)) return false;
      list.push_back(std::move(item));
    }
    return true;
  });
  return good ? std::optional(std::move(list)) : std::nullopt;
}

}  // namespace

std::optional<UpstreamToken> ParseToken(std::string body) {
  UpstreamToken token;
  const bool good =
      WithDocument(body, [&](ondemand::document& document) { return ReadToken(document.get_object(), token); });
  return good ? std::optional(std::move(token)) : std::nullopt;
}

std::optional<std::vector<UpstreamToken>> ParseTokens(std::string body) {
  return ReadList<UpstreamToken>(body, ReadToken);
}

std::optional<Minted> ParseMinted(std::string& body) {
  // A buffer that grows would leave the secret behind in the old one.
  std::string text;
  text.reserve(body.size() + simdjson::SIMDJSON_PADDING);
  text = body;
  Wipe(body);
  Minted minted;
  const bool good = WithDocument(text, [&](ondemand::document& document) {
    for (auto field : ondemand::object(document.get_object())) {
      const std::string_view key = field.unescaped_key();
      ondemand::value value = field.value();
      if (key != "token") {
        ReadTokenField(key, value, minted.token);
        continue;
      }
      const std::optional<std::string_view> secret = RawText(value);
      if (secret.has_value()) minted.secret = Secret(*secret);
    }
    return minted.token.id > 0 && !minted.secret.empty();
  });
  Wipe(text);
  return good ? std::optional(std::move(minted)) : std::nullopt;
}

std::optional<UpstreamProject> ParseProject(std::string body) {
  UpstreamProject project;
  const bool good = WithDocument(body, [&](ondemand::document& document) {
    for (auto field : ondemand::object(document.get_object())) {
      const std::string_view key = field.unescaped_key();
      if (key == "id") project.id = field.value().get_int64();
      if (key == "path_with_namespace") project.full_path = TextOr(field.value());
    }
    return project.id > 0 && !project.full_path.empty();
  });
  return good ? std::optional(std::move(project)) : std::nullopt;
}

std::optional<UpstreamUser> ParseUser(std::string body) {
  UpstreamUser user;
  const bool good =
      WithDocument(body, [&](ondemand::document& document) { return ReadUser(document.get_object(), user); });
  return good ? std::optional(std::move(user)) : std::nullopt;
}

std::optional<std::vector<UpstreamUser>> ParseUsers(std::string body) { return ReadList<UpstreamUser>(body, ReadUser); }

std::optional<UpstreamSettings> ParseSettings(std::string body) {
  constexpr int kRequiredMax = 365;  // GitLab's limit wherever tokens must have an end.
  bool required = false;
  std::optional<int> lowered;
  const bool good = WithDocument(body, [&](ondemand::document& document) {
    for (auto field : ondemand::object(document.get_object())) {
      const std::string_view key = field.unescaped_key();
      ondemand::value value = field.value();
      if (key == "require_personal_access_token_expiry" && !value.is_null()) required = value.get_bool();
      if (key == "max_personal_access_token_lifetime" && !value.is_null()) {
        lowered = static_cast<int>(std::int64_t(value.get_int64()));
      }
    }
    return true;
  });
  if (!good) return std::nullopt;
  UpstreamSettings settings;
  if (required) settings.max_lifetime_days = std::min(lowered.value_or(kRequiredMax), kRequiredMax);
  return settings;
}

std::optional<std::string> ParseVersion(std::string body) {
  std::string version;
  const bool good = WithDocument(body, [&](ondemand::document& document) {
    for (auto field : ondemand::object(document.get_object())) {
      if (std::string_view(field.unescaped_key()) == "version") version = TextOr(field.value());
    }
    return !version.empty();
  });
  return good ? std::optional(std::move(version)) : std::nullopt;
}

std::optional<ErrorBody> ParseError(std::string body) {
  std::string description;
  std::string message;
  std::string error;
  const bool good = WithDocument(body, [&](ondemand::document& document) {
    for (auto field : ondemand::object(document.get_object())) {
      const std::string_view key = field.unescaped_key();
      ondemand::value value = field.value();
      const bool text = value.type() == ondemand::json_type::string;
      if (key == "error_description" && text) description = TextOr(value);
      if (key == "error" && text) error = TextOr(value);
      if (key == "message")
        message = text ? TextOr(value) : std::string(std::string_view(simdjson::to_json_string(value)));
    }
    return true;
  });
  if (!good) return std::nullopt;
  ErrorBody result;
  result.words = !description.empty() ? description : !message.empty() ? message : error;
  result.invalid_token = error == "invalid_token";
  return result;
}

}  // namespace tokenbroker
