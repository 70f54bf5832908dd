#!/bin/bash
# Runs the test with Debian's own Python, which has python3-gitlab; another python may come first on PATH.
set -euo pipefail
if ! /usr/bin/python3 -c 'import gitlab' 2>/dev/null; then
  echo "skipped: python3-gitlab is not installed"
  exit 0
fi
exec /usr/bin/python3 "$1" "$2"
