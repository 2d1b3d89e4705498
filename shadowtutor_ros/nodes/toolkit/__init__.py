# SPDX-License-Identifier: Apache-2.0
"""What any rclpy node may want: lifecycle, parameters as a table, topics, a clean end."""
