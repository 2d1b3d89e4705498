# SPDX-License-Identifier: Apache-2.0
"""Several tutors as one link: the first that is there serves, and the next takes over from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import threading

from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.validate_topic_name import validate_topic_name

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.nodes.link.action_link import ActionLink
from shadowtutor_ros.nodes.link.piece_channel import MOST_TUTORS, PieceChannel
from shadowtutor_ros.nodes.link.presence import Change, TutorPresence
from shadowtutor_ros.runtime.link import LinkFailure, Refusal, Reply
from shadowtutor_ros.wire.seal import Seal
from shadowtutor_ros.wire.update import KeyFrame

_ACTION = '/distill'
_GRACE = 3.0  # seconds: who cannot ask another one loses nothing by waiting for the same process


class BadTutorNames(ShadowTutorError, ValueError):
    """What names a robot's tutors names none, too many, one of them twice, or cannot be one."""


def tutor_names(text: str) -> tuple[str, ...]:
    """Return the names in ``text``, which commas part; raise BadTutorNames."""
    names = tuple(name.strip() for name in text.split(','))
    if not all(names) or len(set(names)) < len(names) or len(names) > MOST_TUTORS:
        raise BadTutorNames(f'tutor: expected 1 to {MOST_TUTORS} different names with commas '
                            f'between them, got {text!r}')
    try:
        for name in names:
            validate_topic_name(f'{name}{_ACTION}')
    except InvalidTopicNameException as error:
        raise BadTutorNames(f'tutor: {error}') from error
    return names


def gone_words(names: Sequence[str]) -> str:
    """Say that all tutors are gone."""
    if len(names) == 1:
        return f'the tutor {names[0]} is gone'
    return f'the tutors {", ".join(names)} are gone'


class OneTutor:
    """
    One tutor as a robot reaches it; ``channel`` is the robot's end of its pieces, None: without.

    ``node_name`` is ``name`` fully qualified. ``on_change`` is called when its process comes or
    goes, as the middleware sees it. ``alone``: there is none that could take over.
    """

    def __init__(
        self, node: Node, name: str, channel: PieceChannel | None, timeout: float, seal: Seal,
        on_change: Callable[[], None], alone: bool = False,
    ) -> None:
        self.name = name
        self.processes = 0  # of that name that came so far
        self.node_name = node.resolve_service_name(name + _ACTION).removesuffix(_ACTION)
        self.channel = channel
        self._on_change = on_change
        self.link = ActionLink(
            node, name + _ACTION, timeout, channel, seal, self.is_gone, _GRACE if alone else 0.0,
            self.lost)
        self._presence: TutorPresence | None = None
        self._presence = TutorPresence(node, name, self._on_presence)

    def is_gone(self) -> bool:
        """Say whether there was one, and is none any more, as far as this machine can tell."""
        presence = self._presence
        return presence is not None and presence.gone and not self.link.is_slow()

    def lost(self) -> int:
        """Return how many processes of that name have ended that the graph still remembers."""
        return self._presence.lost if self._presence is not None else 0

    def close(self) -> None:
        """End all connections."""
        if self._presence is not None:
            self._presence.close()
        self.link.close()
        if self.channel is not None:
            self.channel.close()

    def _on_presence(self, change: Change) -> None:
        self.processes += change is Change.NEW
        {Change.LOST: self.link.doubt, Change.BACK: self.link.trust,
         Change.NEW: self.link.meet}[change]()
        self._on_change()


class Tutors:
    """
    A Link to whoever serves: of the ``tutors`` in their order, the first at the start.

    When that one is gone, silent, or refuses this robot, the next that is there takes over, and
    keeps the robot: nobody goes back by himself to one that has returned. ``on_handover`` is told
    who serves no longer and who does now. May be used from any thread.
    """

    def __init__(
        self, tutors: Sequence[OneTutor],
        on_handover: Callable[[OneTutor, OneTutor], None],
    ) -> None:
        self._tutors = tutors
        self._on_handover = on_handover
        self._serving = 0
        self._lock = threading.Lock()
        self.handovers = 0

    @property
    def serving(self) -> OneTutor:
        """Whom key frames go to."""
        return self._tutors[self._serving]

    @property
    def answered_at(self) -> float:
        """When the last reply came, in seconds of ``time.perf_counter()``."""
        return self.serving.link.answered_at

    def are_gone(self) -> bool:
        """Say whether all that there were are gone."""
        return all(tutor.is_gone() for tutor in self._tutors)

    def hand_over(self) -> bool:
        """Let the next tutor that is there serve; say whether there was one."""
        with self._lock:
            count, old = len(self._tutors), self._serving
            others = [(old + step) % count for step in range(1, count)]
            new = next((i for i in others if self._tutors[i].link.ready), None)
            if new is None:
                return False
            self._serving = new
            self.handovers += 1
        self._on_handover(self._tutors[old], self._tutors[new])
        return True

    def send(self, key_frame: KeyFrame, timeout: float | None = None) -> None:
        if not self.serving.link.ready:
            self.hand_over()
        self.serving.link.send(key_frame, timeout)

    def receive(self, wait: bool) -> Reply | None:
        reply = self.serving.link.receive(wait)
        if isinstance(reply, LinkFailure) and (
                reply.silent or reply.refusal is Refusal.NOT_HERE):
            self.hand_over()
        return reply

    def give_up(self) -> None:
        """Give the outstanding key frame up, if there is one, and release a waiting receiver."""
        self.serving.link.give_up()

    def close(self) -> None:
        """Give up and end the connections to all of them."""
        for tutor in self._tutors:
            tutor.close()
