# SPDX-License-Identifier: Apache-2.0
"""When to send a key frame: Algorithm 2 and Algorithm 4 without clock, thread or network."""
