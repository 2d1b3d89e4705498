# SPDX-License-Identifier: Apache-2.0
"""The student: network, parameter groups, checkpoints and the engine that runs it."""
