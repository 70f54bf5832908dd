#!/bin/bash
# bench_smoke_test.sh BENCH ECHO_SERVER TOKENBROKERD GITLAB_SIM: runs the bench small and short. It fails by itself where a call
# fails or a row has no numbers; here it must also have printed every kind of row.
set -euo pipefail
ECHO_SERVER=$2 TOKENBROKERD=$3 GITLAB_SIM=$4 "$1" --quick | tee "$TEST_TMPDIR/table"
for work in fdatasync Echo 'Direct POST' Create List Idle 'creates in flight' Simulator Decision Recognise ClaimDue; do
  grep -q "$work.*[0-9]" "$TEST_TMPDIR/table" || { echo "no row about: $work" >&2; exit 1; }
done
