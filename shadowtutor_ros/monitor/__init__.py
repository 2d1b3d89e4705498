# SPDX-License-Identifier: Apache-2.0
"""All students and tutors of a fleet at a glance, in a terminal or a browser; without ROS."""
