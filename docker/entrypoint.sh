#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command in the built workspace.
source /ws/install/setup.bash
exec "$@"
