# SPDX-License-Identifier: Apache-2.0
"""Why a received key frame or update is refused."""

from shadowtutor_ros.errors import ShadowTutorError


class WireError(ShadowTutorError):
    """Base of everything that can be wrong with received data."""


class BadKeyFrame(WireError):
    """A key frame that cannot be decoded, or is too large."""


class BadJob(WireError):
    """What a helper is sent, or answers, cannot be read."""


class BadImage(WireError):
    """A camera image that cannot be converted."""


class BadCdr(WireError):
    """A serialized message says more than it holds, or than its bounds allow."""


class BadUpdate(WireError):
    """Base of the reasons to refuse a weight update."""


class CorruptUpdate(BadUpdate):
    """The payload does not match its checksum, sizes or types."""


class NonFiniteUpdate(BadUpdate):
    """A weight is NaN or infinite."""


class LayoutMismatch(BadUpdate):
    """The update is for another network or another set of parameters."""


class StaleUpdate(BadUpdate):
    """The update is older than, or does not build on, the weights that run."""
