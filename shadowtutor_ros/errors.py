# SPDX-License-Identifier: Apache-2.0
"""The base of all errors that a user can do something about."""


class ShadowTutorError(Exception):
    """Its text names what was expected and what was found; the command line prints it."""
