# SPDX-License-Identifier: Apache-2.0
"""What crosses the network: key frames one way, weights the other."""
