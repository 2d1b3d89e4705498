# SPDX-License-Identifier: Apache-2.0
"""A first student that knows something: trained once, before any robot is there."""
