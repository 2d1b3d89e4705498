# SPDX-License-Identifier: Apache-2.0
"""What config/nav2 asks for is there: topics, classes, nodes. nav2 itself is not."""

from pathlib import Path

import yaml

from shadowtutor_ros.classes import ClassSet

ROOT = Path(__file__).parents[1]
NAV2 = ROOT / 'config/nav2'


def load(name: str) -> dict[str, dict[str, dict[str, object]]]:
    loaded: dict[str, dict[str, dict[str, object]]] = yaml.safe_load((NAV2 / name).read_text())
    return loaded


def test_the_costmap_knows_every_class_and_the_students_topics(classes: ClassSet) -> None:
    costmap = load('local_costmap.yaml')['local_costmap']['local_costmap']
    layer = costmap['ros__parameters']['semantic_layer']  # type: ignore[index]
    assert 'semantic_layer' in costmap['ros__parameters']['plugins']  # type: ignore[index]
    for source in layer['observation_sources'].split():
        camera = layer[source]
        named = [name for kind in camera['class_types'] for name in camera[kind]['classes']]
        assert sorted(named) == sorted(classes.names)
        readme = (ROOT / 'README.md').read_text()
        for topic in (camera['segmentation_topic'], camera['labels_topic']):
            node, _, name = topic.rpartition('/')
            assert node == '/student'
            assert f'`~/{name}`' in readme


def test_the_manager_waits_for_no_bond() -> None:
    parameters = load('lifecycle_manager.yaml')['lifecycle_manager_perception']['ros__parameters']
    assert parameters['node_names'] == ['student']
    assert parameters['bond_timeout'] == 0.0
