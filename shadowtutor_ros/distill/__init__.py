# SPDX-License-Identifier: Apache-2.0
"""Algorithm 1: the tutor trains its copy of a stream's student on one labelled key frame."""
