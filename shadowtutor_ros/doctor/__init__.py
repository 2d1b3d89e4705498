# SPDX-License-Identifier: Apache-2.0
"""Looks at a machine, changes nothing on it, and says what to fix; one module per area."""
