# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = 'shadowtutor_ros'
SHARE = f'share/{PACKAGE}'


def share(*folders):
    """Return data_files that put every file of the folders under share/."""
    files = {}
    for folder in folders:
        for path in sorted(Path(folder).rglob('*')):
            if path.is_file() and '__pycache__' not in path.parts:
                files.setdefault(f'{SHARE}/{path.parent}', []).append(str(path))
    return list(files.items())


setup(
    name=PACKAGE,
    version='0.1.0',
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (SHARE, ['package.xml']),
        *share('launch', 'config'),
    ],
    python_requires='>=3.10',
    zip_safe=True,
    description='Real-time video segmentation on a robot, taught online by a tutor on a server.',
    license='Apache-2.0',
    maintainer='ShadowTutor maintainers',
    maintainer_email='maintainers@shadowtutor.invalid',
    install_requires=['setuptools'],
    extras_require={'dashboard': ['nicegui>=3']},
    entry_points={
        'console_scripts': [
            f'shadowtutor = {PACKAGE}.cli:main',
            f'student_node = {PACKAGE}.nodes.student_node:main',
            f'tutor_node = {PACKAGE}.nodes.tutor_node:main',
            f'teacher_node = {PACKAGE}.nodes.teacher_node:main',
            f'replay_node = {PACKAGE}.nodes.replay_node:main',
            f'dashboard_node = {PACKAGE}.nodes.dashboard_node:main',
        ],
    },
)
