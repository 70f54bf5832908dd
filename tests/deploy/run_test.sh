#!/bin/bash
# run_test.sh TEST.py [ARGUMENT...]: with Debian's own Python, which has python3-yaml; another may come first on PATH.
set -euo pipefail
exec /usr/bin/python3 -B "$@"
