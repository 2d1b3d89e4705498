#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command in the environment that make_env.sh made: scripts/in_env.sh COMMAND [ARGUMENT...]
venv=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv
[ -e "$venv/ready" ] || { echo "error: no environment at $venv: run make env" >&2; exit 1; }
source "$venv/bin/activate"
source "$venv/local_setup.bash"
exec "$@"
