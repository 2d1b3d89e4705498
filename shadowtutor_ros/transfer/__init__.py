# SPDX-License-Identifier: Apache-2.0
"""A large payload in small datagrams over a link that loses some: selective repeat, no ROS."""
