# SPDX-License-Identifier: Apache-2.0
"""The parameters of the tutor node."""

from shadowtutor_ros.distill.settings import DistillSettings, PRACTICES
from shadowtutor_ros.model.first_student import AUTO, DEFAULT, RANDOM
from shadowtutor_ros.model.groups import GROUPS
from shadowtutor_ros.nodes.common_parameters import (
    AUTOSTART,
    ERROR_FAILURES,
    LINK_KEY_FILE,
    MAX_PIXELS,
    STATE_FOLDER,
    STATUS_PERIOD,
)
from shadowtutor_ros.nodes.toolkit.parameters import Parameter
from shadowtutor_ros.runtime.library import LIBRARY
from shadowtutor_ros.runtime.tutor import LESSON_SECONDS, MAX_STREAMS
from shadowtutor_ros.tasks.table import SEGMENTATION, TASKS
from shadowtutor_ros.teacher.factory import TEACHERS
from shadowtutor_ros.wire.encoder import WeightSettings
from shadowtutor_ros.wire.encodings import WEIGHT_ENCODINGS

LOCAL_WORKERS, RAY_WORKERS = WORKERS = 'local', 'ray'

_DISTILL = DistillSettings()
_WEIGHTS = WeightSettings()

TUTOR_PARAMETERS = (
    Parameter('teacher', 'detectron2', 'What labels key frames.', choices=tuple(TEACHERS)),
    Parameter('teacher_weights', '', '; '.join(
        f'{name}: {row.weights}' for name, row in TEACHERS.items()) + '.'),
    Parameter('score_threshold', 0.5, 'Detections below this score are no objects.', 0.0, 1.0),
    Parameter('labels_fps', 25.0, 'teacher labels: label maps per second of stamps.',
              0.001, 1000.0),
    Parameter('classes', 'lvs8', 'Class set: a YAML file, or a name in config/classes.'),
    Parameter('checkpoint', DEFAULT, f'First student: {DEFAULT} (the shipped one of the class '
              f'set, {RANDOM} if it has none), {RANDOM} (weights), or a file (.safetensors, '
              '.pth).'),
    Parameter('task', AUTO, f'What students are taught; {AUTO}: what the checkpoint is for, '
              f'{SEGMENTATION} without one. Robots learn it with their first student.',
              choices=(AUTO, *TASKS)),
    Parameter('seed', 0, 'Seed of the random first student.', 0, 2**31 - 1),
    Parameter('device', 'auto', 'torch device of teacher and training: auto, cpu, cuda, ...'),
    Parameter('threads', 0, 'torch CPU threads; 0: as many as torch likes.', 0, 256),
    Parameter('threshold', _DISTILL.threshold, 'mIoU (0-1) that is good enough: THRESHOLD of '
              "Algorithm 1. The students' threshold is Algorithm 2's; in the paper both are one.",
              0.01, 0.99, live=True),
    Parameter('max_updates', _DISTILL.max_updates, 'Distillation steps on one key frame at '
              'most: MAX_UPDATES.', 0, 1000, live=True),
    Parameter('min_updates', _DISTILL.min_updates, 'Distillation steps on one key frame at '
              'least, also of a student that is good enough.', 0, 1000, live=True),
    Parameter('practice', _DISTILL.practice, 'After every step on the key frame one on it or on '
              'a key frame of before; augmented: on flipped, shifted, scaled copies.',
              choices=PRACTICES),
    Parameter('replay', _DISTILL.replay, 'Key frames of before that practice takes; 0: none.',
              0, 64),
    Parameter('learning_rate', _DISTILL.learning_rate, "Adam's step size.", 1e-6, 1.0),
    Parameter('group', _DISTILL.group, 'What is trained and sent: the back of the network or '
              'all of it.', choices=GROUPS),
    Parameter('cold_start_updates', _DISTILL.cold_start_updates, 'max_updates until a stream '
              'first reaches the threshold.', 0, 1000, live=True),
    Parameter('cold_start_group', _DISTILL.cold_start_group, 'group until then.',
              choices=GROUPS),
    Parameter('cold_start_key_frames', _DISTILL.cold_start_key_frames, 'Key frames after which '
              'the cold start ends anyway; 0: no limit.', 0, 1_000_000),
    Parameter('weight_encoding', _WEIGHTS.encoding, 'How weights travel; delta: differences to '
              'what the robot runs, fp16 where that is unknown; delta-dct: the same as '
              'frequencies of kernels, in fewer bytes.', choices=tuple(WEIGHT_ENCODINGS)),
    Parameter('update_density', _WEIGHTS.density, 'Share of the differences '
              'that is sent, the largest first.', 0.001, 1.0),
    Parameter('intra_period', _WEIGHTS.intra_period, 'With differences: every so many '
              'updates all weights are sent; 0: only when needed.', 0, 1_000_000),
    Parameter('max_streams', 0, "Robots' streams at most; 0: as many as fit half of the device's "
              f"and the host's free memory, {MAX_STREAMS} at most.", 0, MAX_STREAMS),
    Parameter('lessons_at_once', 0, 'Robots taught at the same time; 0: 4 on a GPU, on a CPU one '
              'for each of its threads, 8 at most.', 0, 64),
    Parameter('lesson_seconds', LESSON_SECONDS, 'Seconds after which a lesson begins no further '
              'step: what was best until then is its result.', 0.1, 3600.0),
    Parameter('idle_timeout', 600.0, 'Seconds after which an idle stream may lose its place to '
              'a new one.', 0.0, 1e6),
    Parameter('library', LIBRARY, 'Students of the past that are kept at most; where a scene is '
              'new, training starts from the best of them; 0: none.', 0, 256),
    Parameter('workers', LOCAL_WORKERS, 'Who teaches: local, this process; ray, processes of a '
              'Ray cluster, each with a device of its own.', choices=WORKERS),
    Parameter('ray_address', 'auto', 'workers ray: the cluster. auto: the one that this machine '
              'belongs to; local: one of its own on this machine; HOST:PORT.'),
    Parameter('min_workers', 1, 'workers ray: as many at least.', 1, 256),
    Parameter('max_workers', 1, 'workers ray: as many at most, when robots ask for more than '
              'there is.', 1, 256),
    Parameter('stand_in', True, 'workers ray: this process teaches while no worker is ready.'),
    LINK_KEY_FILE, STATE_FOLDER, MAX_PIXELS, ERROR_FAILURES, STATUS_PERIOD, AUTOSTART,
)
