# SPDX-License-Identifier: Apache-2.0
"""Updates that are bad or lost: the robot goes on, and both stay alike."""

from collections.abc import Callable
from dataclasses import replace
import zlib

import numpy as np
import pytest
from runtime.loops import (
    assert_same_weights,
    make_loop,
    make_tutor,
    run,
    Tampered,
    weights_of,
)
from scene import Scene

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.model.groups import FULL, PARTIAL
from shadowtutor_ros.model.student import StudentInfo
from shadowtutor_ros.runtime.link import LinkFailure, LocalLink, Reply
from shadowtutor_ros.runtime.tutor import TutorSettings
from shadowtutor_ros.wire.encoder import WeightSettings
from shadowtutor_ros.wire.encodings import WEIGHT_ENCODINGS
from shadowtutor_ros.wire.update import NO_SESSION, StudentUpdate


def flip_a_byte(update: StudentUpdate) -> Reply:
    payload = bytearray(update.weights.payload)
    payload[len(payload) // 2] ^= 0x10
    return replace(update, weights=replace(update.weights, payload=bytes(payload)))


def poison(update: StudentUpdate) -> Reply:
    payload = bytearray(update.weights.payload)
    payload[:2] = np.array([np.nan], '<f2').tobytes()
    return replace(update, weights=replace(
        update.weights, payload=bytes(payload), crc32=zlib.crc32(payload)))

BAD_UPDATES = [
    pytest.param(flip_a_byte, 'CorruptUpdate', id='flipped byte'),
    pytest.param(poison, 'NonFiniteUpdate', id='NaN'),
    pytest.param(lambda u: replace(u, layout_hash=u.layout_hash ^ 1), 'LayoutMismatch',
                 id='wrong layout hash'),
    pytest.param(lambda u: replace(u, base_version=u.version), 'StaleUpdate', id='stale base'),
    pytest.param(lambda u: replace(u, version=1), 'StaleUpdate', id='old version'),
    pytest.param(lambda u: LinkFailure('lost'), 'lost', id='lost'),
]


@pytest.mark.parametrize(('change', 'error'), BAD_UPDATES)
def test_a_bad_update_leaves_the_old_weights_and_the_next_one_heals(
    change: Callable[[StudentUpdate], Reply], error: str, scene: Scene, classes: ClassSet,
    info: StudentInfo,
) -> None:
    tutor = make_tutor(scene, classes, info)
    link = Tampered(LocalLink(tutor), 2, change)
    loop = make_loop(tutor, link)
    index = 0
    while loop.counters.key_frames < 2:
        before, version = weights_of(loop.student), loop.version
        run(loop, scene, range(index, index + 1))
        index += 1
    assert loop.counters.failures == 1
    assert loop.counters.updates_rejected == (error != 'lost')
    assert loop.counters.failed
    assert loop.counters.detail.startswith(error)
    assert loop.version == version == 1
    assert_same_weights(weights_of(loop.student), before)

    while loop.counters.key_frames < 3:
        run(loop, scene, range(index, index + 1))
        index += 1
    assert loop.counters.updates_applied == 2
    assert not loop.counters.failed
    assert loop.version == 3
    taught = tutor._streams['test']._state
    assert_same_weights(weights_of(loop.student), weights_of(taught))


@pytest.mark.parametrize('encoding', WEIGHT_ENCODINGS)
@pytest.mark.parametrize('cold_start_group', [PARTIAL, FULL])
def test_tutor_and_robot_stay_bit_identical_whatever_is_lost(
    encoding: str, cold_start_group: str, scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    tutor = make_tutor(scene, classes, info, TutorSettings(
        DistillSettings.plain(threshold=0.3, max_updates=2, cold_start_updates=2,
                        cold_start_group=cold_start_group), WeightSettings(encoding)))
    lost = np.random.default_rng(1).random(100) < 0.4

    class Lossy(Tampered):
        def receive(self, wait: bool) -> Reply | None:
            reply = self.link.receive(wait)
            return LinkFailure('lost') if lost[self.sequence] else reply

    loop = make_loop(tutor, Lossy(LocalLink(tutor), 0, lambda update: update))
    stream = tutor._streams['test']
    for index in range(len(scene.frames)):
        applied = loop.counters.updates_applied
        run(loop, scene, range(index, index + 1))
        if loop.counters.updates_applied > applied:
            assert loop.version == stream.version
            assert_same_weights(weights_of(loop.student), weights_of(stream._state))
    assert loop.counters.failures > 0
    assert loop.counters.updates_applied > 3


def test_a_robot_of_before_a_rounded_student_gets_that_too(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    """A whole student in fp16 has another front than the one whose differences came before."""
    tutor = make_tutor(scene, classes, info, TutorSettings(
        DistillSettings.plain(max_updates=2, cold_start_updates=2, cold_start_key_frames=1)))
    link = LocalLink(tutor)
    loop = make_loop(tutor, link)
    run(loop, scene, range(12))
    assert loop.version > 1
    stranger = make_loop(tutor, link)
    stranger.session_id = NO_SESSION
    run(stranger, scene, range(12, 14))
    assert stranger.counters.updates_applied == 1
    run(loop, scene, range(15, 27))
    assert loop.version > stranger.version
    assert_same_weights(weights_of(loop.student), weights_of(tutor._streams['test']._state))
