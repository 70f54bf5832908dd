# Sourced by dev/test and dev/lint: what a source must hold beyond compiling and passing.

# Prints the lines that its standard input (files, NUL-terminated) has of a pattern, and is false if there are any.
none_matches() {
  local hits
  hits=$(xargs -0 -r grep -nIE "$1" -- || true)
  [[ -z $hits ]] || { echo "$hits"; return 1; }
}

style_buf_lint() { npx --no-install buf lint; }

style_clang_format() {
  source_files '*.cc' '*.h' '*.proto' | xargs -0 -r clang-format-14 --dry-run --Werror
}

# Every header guards itself in the one way that we use, and what is ours is included by its path from the root.
style_headers() {
  local unguarded
  unguarded=$(source_files '*.h' | xargs -0 -r grep -L '^#pragma once$' -- || true)
  [[ -z $unguarded ]] || { printf '%s: has no #pragma once\n' $unguarded; return 1; }
  source_files '*.h' '*.cc' | none_matches '^#include "(\.|[^/"]+")'
}

# No path of the machine that something was written on.
style_machine_paths() {
  source_files | none_matches '(^|[^A-Za-z0-9_./-])/(work|root|home/[a-z]+|tmp/ob)/'
}

# DebugString prints a secret that our own printers would hide.
style_debug_string() {
  source_files 'server/*.cc' 'server/*.h' 'client/*.cc' 'client/*.h' ':!*_test.cc' |
    none_matches '\b(Short|Utf8)?DebugString\('
}

style_open_ends() { source_files | none_matches '\b(TO[D]O|FIX[M]E)\b'; }

# Runs every check and appends `ok|failed|skipped NAME` to the file $1; what is wrong goes to the terminal.
check_style() {
  local name
  for name in buf_lint clang_format headers machine_paths debug_string open_ends; do
    if [[ $name == buf_lint ]] && ! have_buf; then
      echo "style: buf_lint skipped: there is no npm, or it cannot fetch buf"
      echo "skipped $name" >>"$1"
    elif "style_$name"; then
      echo "ok $name" >>"$1"
    else
      echo "style: $name failed"
      echo "failed $name" >>"$1"
    fi
  done
}
