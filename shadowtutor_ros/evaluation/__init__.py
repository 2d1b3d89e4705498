# SPDX-License-Identifier: Apache-2.0
"""Judge a run: teacher labels of every frame, baselines, tables and pictures."""
