# SPDX-License-Identifier: Apache-2.0
"""Teachers: heavy networks, or given labels, that say what a key frame shows."""
