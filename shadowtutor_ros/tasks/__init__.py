# SPDX-License-Identifier: Apache-2.0
"""What students are taught to do: what a labelling asks for, and what an output means."""
