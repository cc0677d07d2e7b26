#!/usr/bin/env bash
# Checks everything in deploy/ that can be checked without a cluster: `deploy/checks/run.sh [--vpt BINARY] [MODULE...]`.
# A check that this machine has no tool for prints SKIP and why; with REQUIRE_ALL=1 that is a failure. install.sh beside
# this file brings the tools.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=target/deploy-checks/venv/bin/python
[ -x "$python" ] || python=python3
PATH=$PATH:/usr/sbin:/sbin PYTHONDONTWRITEBYTECODE=1 exec "$python" deploy/checks/run.py "$@"
