# Sourced by every script in dev/: the root of the checkout, Bazel, and how to speak to a person.

CALLED_FROM=$PWD
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$ROOT"

# Colour for a person only.
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  BOLD=$'\e[1m' GREEN=$'\e[32m' RED=$'\e[31m' PLAIN=$'\e[0m'
else
  BOLD='' GREEN='' RED='' PLAIN=''
fi

# One sentence on stderr, and the end.
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# BAZEL_OUTPUT_BASE lets several checkouts or people on one machine keep apart.
bazel() {
  # This link, if it leads to another output base, is taken for source by `//...`. Bazel makes it anew.
  rm -f "bazel-${ROOT##*/}"
  command bazel ${BAZEL_OUTPUT_BASE:+"--output_base=$BAZEL_OUTPUT_BASE"} "$@"
}

# Every file that is or would be tracked, NUL-terminated; arguments are pathspecs. The checkout may be somebody else's
# (a mounted folder in a container): git is told that we trust it.
source_files() {
  git -c "safe.directory=$ROOT" ls-files -z --cached --others --exclude-standard -- "$@" |
    while IFS= read -r -d '' file; do
      [[ ! -f $file ]] || printf '%s\0' "$file"
    done
}

# Puts buf where npx finds it, with Debian's npm if there is none; false where neither is to be had.
have_buf() {
  [[ ! -x node_modules/.bin/buf ]] || return 0
  command -v npm >/dev/null || dev/setup npm || return 1
  npm install --no-package-lock --silent --no-fund --no-audit >/dev/null
}
