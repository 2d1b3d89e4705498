# SPDX-License-Identifier: Apache-2.0
import json
import re

import pytest
from scene import Scene

from shadowtutor_ros import cli
from shadowtutor_ros.assets import cache_folder

PAPER = ['bounds', '--t-si', '0.143', '--t-sd', '0.013', '--t-ti', '0.044', '--t-net', '0.303',
         '--s-net', '3.032e6']


def test_json_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*PAPER, '--json']) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed['throughput_fps'] == pytest.approx([5.0157, 6.9930], abs=1e-4)
    assert printed['traffic_mbps'] == pytest.approx([2.5259, 21.2028], abs=1e-4)


def test_words_and_advice(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*PAPER, '--fps', '5', '--mbps', '10']) == 0
    printed = capsys.readouterr().out
    assert '5.02 to 6.99 frames per second' in printed
    assert '2.53 to 21.20 Mbps' in printed
    assert '5 FPS for certain with MIN_STRIDE 8: MAX_UPDATES 8 at most' in printed
    assert 'Never above 10 Mbps: MIN_STRIDE 17 or more' in printed


def test_what_is_out_of_reach_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*PAPER, '--fps', '7']) == 0
    assert '7 FPS are out of reach: the student alone takes 0.143 s' in capsys.readouterr().out


def test_bandwidth_gives_the_networks_time(capsys: pytest.CaptureFixture[str]) -> None:
    without = [*PAPER[:7], *PAPER[9:]]
    assert cli.main([*without, '--mbps', '8', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['t_net'] == pytest.approx(3.032)


@pytest.mark.parametrize(('arguments', 'message'), [
    (PAPER[:7], r'expected --t-net, --s-net; --measure measures'),
    ([*PAPER, '--min-stride', '65'], r'min_stride <= max_stride, got 65 and 64'),
    ([*PAPER[:2], '0', *PAPER[3:]], 't_si: expected more than 0 seconds')])
def test_what_is_wrong_is_named(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(arguments) == 1
    assert re.search(message, capsys.readouterr().err)


def test_measured_on_this_machine(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    weights = cache_folder() / 'yolov5s-seg.pt'
    if not weights.is_file():
        pytest.skip(f'{weights} is not there')
    assert cli.main(['bounds', '--measure', '--video', str(scene.video), '--teacher-weights',
                     str(weights), '--mbps', '40', '--threads', '1', '--json']) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed['s_net'] == 96 * 128 * 3 + 413_860
    assert 0 < printed['t_sd'] < 10
    assert 0 < printed['t_si'] < 10
    assert printed['t_net'] == pytest.approx(8 * printed['s_net'] / 40e6)
