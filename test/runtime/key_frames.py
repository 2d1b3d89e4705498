# SPDX-License-Identifier: Apache-2.0
"""Key frames for a tutor in tests."""

from scene import Scene

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.model.groups import PARTIAL
from shadowtutor_ros.wire.key_frame import encode_frame
from shadowtutor_ros.wire.update import KeyFrame

DISTILL = DistillSettings.plain(max_updates=6, cold_start_updates=6, cold_start_group=PARTIAL)


def key_frame(scene: Scene, index: int = 0, stream_id: str = 'a', **fields: int) -> KeyFrame:
    values = {'sequence': 1, 'session_id': 0, 'student_version': 0, **fields}
    return KeyFrame(stream_id=stream_id, stamp=scene.stamp(index), frame_id='camera',
                    encoded=encode_frame(scene.frames[index], 'png'), **values)
