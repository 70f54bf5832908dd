# Sourced by dev/quickstart: what runs beside it, and how a run ends.

broker_pid='' gitlab_pid=''
unfinished_token='' # Minted by the demonstration and not yet given back.

# start OUTPUT COMMAND...: in the background, its pid in $!. In a session of its own, so that Ctrl-C ends first us, then
# it in the right order; and ended with us, however we end. It sees nothing of the caller's environment.
start() {
  local output=$1
  shift
  setsid setpriv --pdeathsig TERM env -i "PATH=$PATH" "HOME=$run/home" LANG=C.UTF-8 "$@" \
    </dev/null >"$output" 2>&1 9>&- &
}

# wait_for_line FILE PATTERN PID: until FILE has it, at most 30 s; false if it never comes or the process has ended.
wait_for_line() {
  local deadline=$((SECONDS + 30))
  until grep -q "$2" "$1" 2>/dev/null; do
    kill -0 "$3" 2>/dev/null && ((SECONDS < deadline)) || return 1
    sleep 0.1
  done
}

# Fails if one of ours has ended by itself: what would be waited for cannot come any more.
check_processes() {
  kill -0 "$broker_pid" 2>/dev/null || fail "the broker has ended."
  [[ -z $gitlab_pid ]] || kill -0 "$gitlab_pid" 2>/dev/null || fail "the simulator has ended."
}

# stop PID: asks it to end and waits for that.
stop() {
  [[ -n $1 ]] || return 0
  kill -TERM "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

# One sentence, what the processes said last, and the end.
fail() {
  printf '\n%sFailed:%s %s\n' "$RED" "$PLAIN" "$*" >&2
  local log
  for log in "$run/broker.log" "$run/gitlab.log"; do
    [[ -s $log ]] || continue
    printf '\nThe last lines of %s:\n' "${log#"$ROOT/"}" >&2
    tail -n 5 "$log" | cut -c1-400 >&2
  done
  exit 1
}

# The ERR trap: a command failed that nobody expected to. In a subshell its parent tells it.
unexpected() {
  local code=$?
  ((BASH_SUBSHELL == 0)) || exit "$code"
  fail "${BASH_SOURCE[1]##*/}, line ${BASH_LINENO[0]}: a command ended with $code."
}

clean_up() {
  local code=$?
  trap - EXIT ERR INT TERM
  if [[ -n $unfinished_token && -n $broker_pid ]]; then
    tokenctl revoke "$unfinished_token" >/dev/null 2>&1 || true
  fi
  stop "$broker_pid"
  stop "$gitlab_pid"
  rm -f "$run"/{secret,header,token.json,issuer}
  exit "$code"
}
