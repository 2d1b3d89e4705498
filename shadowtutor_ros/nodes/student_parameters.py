# SPDX-License-Identifier: Apache-2.0
"""The parameters of the student node."""

from shadowtutor_ros.model.engine import AUTO, PRECISIONS
from shadowtutor_ros.nodes.common_parameters import (
    AUTOSTART,
    ERROR_FAILURES,
    LINK_KEY_FILE,
    MAX_PIXELS,
    STATE_FOLDER,
    STATUS_PERIOD,
)
from shadowtutor_ros.nodes.toolkit.parameters import Parameter
from shadowtutor_ros.runtime.frame_packing import AUTO as SHARE_AUTO, SHARE_FORMATS
from shadowtutor_ros.schedule.dealer import SHARES
from shadowtutor_ros.schedule.scheduler import LIVE, POLICIES
from shadowtutor_ros.wire.key_frame import FRAME_FORMATS, WEBP

PIECES, ACTION = 'pieces', 'action'
OFF = 'off'

STUDENT_PARAMETERS = (
    Parameter('tutor', '/tutor', 'Name of the tutor node, whose action is <tutor>/distill; of '
              'several, /a,/b: the first that is there serves, the next takes over from it.'),
    Parameter('stream_id', '', 'Name of this camera stream at the tutor, unique among all '
              'robots, at most 128 characters; empty: <host name><node name>.'),
    Parameter('checkpoint', '', 'Student checkpoint (.safetensors) to start from; empty: ask '
              'the tutor for the first student.'),
    Parameter('device', 'auto', 'torch device that segments: auto, cpu, cuda, cuda:1, ...'),
    Parameter('precision', AUTO, 'Numbers that masks are computed in. auto: fp16 on a GPU; '
              'on a CPU bf16 if it has instructions for that, else fp32.', choices=PRECISIONS),
    Parameter('threads', 0, 'torch CPU threads; 0: as many as cpus has; without cpus one fewer '
              'than there are CPUs.', 0, 256),
    Parameter('cpus', '', 'CPUs for the thread that segments and those it starts, like 0,2-4; '
              'empty: any.'),
    Parameter('nice', 0, 'Priority of the thread that segments; below 0 needs the right to it.',
              -20, 19),
    Parameter('image_transport', 'raw', 'Subscribe to image (sensor_msgs/Image) or to '
              'image/compressed (CompressedImage).', choices=('raw', 'compressed')),
    Parameter('policy', LIVE, 'live never waits for an update; paced waits min_stride frames '
              'after a key frame (the paper; for replay).', choices=POLICIES, live=True),
    Parameter('min_stride', 8, 'Least distance of key frames in frames.', 1, 10000, live=True),
    Parameter('max_stride', 64, 'Largest distance of key frames in frames.', 1, 100000, live=True),
    Parameter('threshold', 0.9, 'mIoU (0-1) above which key frames become rarer '
              '(Algorithm 2).', 0.01, 0.99, live=True),
    Parameter('update_delay', 0, 'With policy paced: apply every update exactly this many '
              'frames after its key frame; 0: when it comes.', 0, 10000, live=True),
    Parameter('key_frame_format', WEBP, 'How key frames travel.', choices=tuple(FRAME_FORMATS),
              live=True),
    Parameter('key_frame_quality', 80, 'Quality of key frames in a lossy format.', 1, 100,
              live=True),
    Parameter('transfer', PIECES, 'pieces: images and weights travel in pieces of one '
              'packet with our own repeats, for links that lose some; action: inside the '
              'messages of action and service.', choices=(PIECES, ACTION)),
    Parameter('goal_timeout', 10.0, 'Seconds without a sign of the tutor after which a key '
              'frame has failed.',
              0.1, 3600.0),
    Parameter('adaptive', True, 'With policy live: fit timeout, picture quality and least '
              'stride to what the link can do; the parameters are then the best that is tried.',
              live=True),
    Parameter('overlay_opacity', 0.5, 'Opacity of the classes in ~/overlay.', 0.0, 1.0, live=True),
    Parameter('warn_metric', 0.5, 'mIoU (0-1) of the last key frame below which /diagnostics '
              'says WARN.', 0.0, 1.0, live=True),
    Parameter('warn_staleness', 128, 'Age of the weights in frames above which /diagnostics '
              'says WARN.', 1, 1_000_000, live=True),
    Parameter('share', OFF, 'Helpers (helper_node) work on the frames, too. frames: each on whole '
              'frames; pipeline: on the back of the network, the front is made here; auto: what '
              'gives more masks per second.', choices=(OFF, *SHARES)),
    Parameter('share_format', SHARE_AUTO, 'How frames travel to helpers. auto: the JPEG of the '
              'camera as it came, else as JPEG, or raw where that is faster.',
              choices=SHARE_FORMATS),
    Parameter('share_quality', 90, 'Quality of frames for helpers in a lossy format.', 1, 100),
    LINK_KEY_FILE, STATE_FOLDER, MAX_PIXELS, ERROR_FAILURES, STATUS_PERIOD, AUTOSTART,
)
