# SPDX-License-Identifier: Apache-2.0
"""The configurations for RViz and Foxglove name what the README's node tables offer."""

from collections.abc import Iterator
import json
from pathlib import Path
import re
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
RVIZ = yaml.safe_load((ROOT / 'config/shadowtutor.rviz').read_text())
FOXGLOVE = json.loads((ROOT / 'config/foxglove.json').read_text())
RVIZ_CLASSES = {'Image': 'sensor_msgs/Image'}
FOXGLOVE_PANELS = {'Image', 'Plot', 'DiagnosticSummary', 'RawMessages'}


def offered_topics() -> dict[str, str]:
    """Return type by name of what a student and its camera publish, launched with defaults."""
    table = (ROOT / 'README.md').read_text().partition('### `student_node`')[2].partition('###')[0]
    camera = {'`image` or `image/compressed`': '/camera/image_raw'}
    topics = {}
    for line in table.splitlines():
        names, kind, types = ([cell.strip() for cell in line.split('|')[1:4]] + [''] * 3)[:3]
        if names in camera:
            topics[camera[names]] = types.split('`')[1]
        elif kind.startswith('publishes'):
            for name in re.findall('`([^`]+)`', names):
                topics[name.replace('~', '/student')] = types.split('`')[1]
    return topics


def rviz_displays() -> list[dict[str, Any]]:
    return RVIZ['Visualization Manager']['Displays']


def panels(node: Any) -> Iterator[str]:
    """Return the ids in a tree of splits."""
    if isinstance(node, str):
        yield node
    else:
        yield from panels(node['first'])
        yield from panels(node['second'])


def message_paths() -> Iterator[tuple[str, str]]:
    """Return topic and field of every plotted value."""
    for config in FOXGLOVE['configById'].values():
        for path in config.get('paths', ()):
            topic, field = path['value'].removesuffix('.@derivative').split('.')
            yield topic, field


def test_the_readme_is_read_as_meant() -> None:
    topics = offered_topics()
    assert topics['/camera/image_raw'] == 'sensor_msgs/Image'
    assert topics['/student/status'] == 'shadowtutor_msgs/StudentStatus'
    assert topics['/diagnostics'] == 'diagnostic_msgs/DiagnosticArray'


@pytest.mark.parametrize('display', rviz_displays(), ids=lambda display: display['Name'])
def test_an_rviz_display_shows_an_offered_topic_of_its_type(display: dict[str, Any]) -> None:
    package, name = display['Class'].split('/')
    assert package == 'rviz_default_plugins'
    assert offered_topics()[display['Topic']['Value']] == RVIZ_CLASSES[name]


def test_rviz_asks_for_no_more_than_the_student_offers() -> None:
    for display in rviz_displays():
        assert display['Topic']['Reliability Policy'] == 'Best Effort'
        assert display['Topic']['Durability Policy'] == 'Volatile'


def test_rviz_shows_camera_overlay_and_mask() -> None:
    assert [display['Topic']['Value'] for display in rviz_displays()] == [
        '/camera/image_raw', '/student/overlay', '/student/mask']


def test_rviz_hides_no_dock() -> None:
    geometry = RVIZ['Window Geometry']
    assert geometry['Hide Left Dock'] is geometry['Hide Right Dock'] is False


def test_every_foxglove_panel_is_laid_out_once() -> None:
    assert sorted(panels(FOXGLOVE['layout'])) == sorted(FOXGLOVE['configById'])
    assert {panel.split('!')[0] for panel in FOXGLOVE['configById']} == FOXGLOVE_PANELS


@pytest.mark.parametrize(('panel', 'config'), FOXGLOVE['configById'].items(),
                         ids=FOXGLOVE['configById'])
def test_a_foxglove_panel_shows_offered_topics_of_its_type(
    panel: str, config: dict[str, Any],
) -> None:
    topics = offered_topics()
    match panel.split('!')[0]:
        case 'Image':
            assert topics[config['imageMode']['imageTopic']] == 'sensor_msgs/Image'
        case 'DiagnosticSummary':
            assert topics[config['topicToRender']] == 'diagnostic_msgs/DiagnosticArray'
        case 'RawMessages':
            assert config['topicPath'] in topics
        case 'Plot':
            assert config['paths']


def test_every_plotted_value_is_a_number_of_a_message() -> None:
    topics = offered_topics()
    for topic, field in message_paths():
        package, name = topics[topic].split('/')
        text = (ROOT / package / 'msg' / f'{name}.msg').read_text()
        assert re.search(rf'^(uint|int|float)\d+ {field}\b', text, re.MULTILINE), (topic, field)
