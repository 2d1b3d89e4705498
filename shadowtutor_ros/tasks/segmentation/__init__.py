# SPDX-License-Identifier: Apache-2.0
"""The paper's task: a class for every pixel."""
