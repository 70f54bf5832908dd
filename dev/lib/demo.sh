# Sourced by dev/quickstart: the user's job, step by step. The secret stays in files of mode 0600: never on the screen,
# in an argument or in a URL.

step_number=0
step() { printf '\n%s%d. %s%s\n' "$BOLD" $((++step_number)) "$*" "$PLAIN"; }
say() { printf '   %s\n' "$*"; }
good() { printf '   %s%s%s\n' "$GREEN" "$*" "$PLAIN"; }
command_line() { printf '   $ %s\n' "$*"; }
indented() { sed 's/^/   /'; }

# mint TTL: asks the broker for a token; its name in $token, its secret in $run/secret and $run/header.
mint() {
  command_line "tokenctl create --display-name 'DeepTraQ Integration Token' --user $user_id" \
    "--scopes read_user,read_repository --ttl $1 --secret-file secret"
  rm -f "$run/secret"
  tokenctl create --display-name 'DeepTraQ Integration Token' --user "$user_id" \
    --scopes read_user,read_repository --ttl "$1" --secret-file "$run/secret" --output json >"$run/token.json" ||
    fail "the broker did not mint the token."
  token=$(json_field "$run/token.json" token name)
  unfinished_token=$token
  { printf 'PRIVATE-TOKEN: ' && cat "$run/secret" && echo; } >"$run/header"
  rm "$run/token.json"
  tokenctl get "$token" --output table | indented || fail "the broker does not know $token, which it just made."
}

# The status that GitLab's API gives to the token; its answer in $run/answer.json. 000: no answer.
api_status() {
  curl -q -sS -o "$run/answer.json" -w '%{http_code}' --max-time 20 ${GITLAB_CA_FILE:+--cacert "$GITLAB_CA_FILE"} \
    -H "@$run/header" "$gitlab_url/api/v4/user" 2>"$run/curl.log" || true
}

# git with the token by GIT_ASKPASS, and with no other place to take a password from or to keep it in.
git_with_token() {
  env HOME="$run/home" GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 \
    GIT_ASKPASS="$run/askpass" SECRET_FILE="$run/secret" ${GITLAB_CA_FILE:+GIT_SSL_CAINFO="$GITLAB_CA_FILE"} \
    git -c credential.helper= "$@"
}

write_askpass() {
  cat >"$run/askpass" <<'SH'
#!/bin/sh
case $1 in
  Username*) echo oauth2 ;;
  *) cat "$SECRET_FILE" ;;
esac
SH
  chmod 700 "$run/askpass"
}

# dies_within SECONDS: waits until GitLab refuses the token (401). False if it does not; $status is its last answer.
dies_within() {
  local deadline=$((SECONDS + $1))
  while :; do
    status=$(api_status)
    [[ $status != 401 ]] || return 0
    check_processes
    ((SECONDS < deadline)) || return 1
    sleep 1
  done
}

# What GitLab last did with a token that should be dead, as the beginning of a sentence.
last_answer() {
  case $status in
    200) echo "GitLab still takes it" ;;
    000) echo "GitLab does not answer ($(tail -n 1 "$run/curl.log" | head -c 300))" ;;
    *) echo "GitLab answers $status, not 401," ;;
  esac
}

show_use() {
  step "Use it: ask GitLab who this is"
  command_line "curl -H @header $gitlab_url/api/v4/user"
  local status
  status=$(api_status)
  [[ $status == 200 ]] || fail "GitLab answered GET /user with $status, not 200. $(head -c 300 "$run/curl.log")"
  good "200: $(json_field "$run/answer.json" username) (id $(json_field "$run/answer.json" id))"
  [[ $(json_field "$run/answer.json" id) == "$user_id" ]] || fail "that is not the user whose token was asked for."

  step "Use it: clone the private project with git"
  command_line "git clone $gitlab_url/$project_path.git"
  git_with_token clone -q "$gitlab_url/$project_path.git" "$run/clone" 2>"$run/git.log" ||
    fail "git could not clone $project_path: $(tail -n 1 "$run/git.log")"
  good "cloned: $(git_with_token -C "$run/clone" log -1 --format='%h "%s"' 2>/dev/null || echo 'an empty repository')"
}

show_list() {
  step "List what this caller holds"
  command_line "tokenctl list"
  tokenctl list --output table >"$run/list.txt" || fail "the broker did not list its tokens."
  grep -q "${token#tokens/}" "$run/list.txt" || fail "the list lacks $token."
  indented <"$run/list.txt"
}

show_revoke() {
  step "Give it back"
  command_line "tokenctl revoke $token"
  tokenctl revoke "$token" --output table | indented || fail "the broker did not revoke $token."
  unfinished_token=''

  step "See that it is dead"
  local status
  dies_within 30 || fail "$(last_answer) 30 s after the revocation."
  good "API: 401"
  if git_with_token ls-remote "$gitlab_url/$project_path.git" >/dev/null 2>"$run/git.log"; then
    fail "git still reads $project_path with the revoked token."
  fi
  grep -qi 'authentication failed' "$run/git.log" || fail "git failed for another reason: $(tail -n 1 "$run/git.log")"
  good "git: $(grep -i 'authentication failed' "$run/git.log" | head -n 1)"
}

show_expiry() {
  step "Mint one that nobody gives back, for a minute"
  mint 60s
  local minted=$SECONDS status
  status=$(api_status)
  [[ $status == 200 ]] || fail "GitLab answered GET /user with $status, not 200."
  good "API: 200. Now it waits for its minute; nobody does anything."
  dies_within 75 || fail "$(last_answer) 75 s after the token was minted for 60 s."
  unfinished_token=''
  good "API: 401, after $((SECONDS - minted)) s"
  command_line "tokenctl get $token"
  tokenctl get "$token" --output table | indented || fail "the broker does not know $token any more."
}

demonstrate() {
  write_askpass
  step "Mint a token for $username"
  mint 1h
  show_use
  show_list
  show_revoke
  show_expiry
}
