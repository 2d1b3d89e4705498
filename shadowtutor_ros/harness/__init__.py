# SPDX-License-Identifier: Apache-2.0
"""Runs the real nodes as processes on one video and follows what they publish."""
