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
    extras_require={'dashboard': ['nicegui>=3'], 'scale': ['ray>=2.40,<3']},
    entry_points={
        'console_scripts': [
            f'shadowtutor = {PACKAGE}.programs:shadowtutor',
            f'student_node = {PACKAGE}.programs:student_node',
            f'tutor_node = {PACKAGE}.programs:tutor_node',
            f'teacher_node = {PACKAGE}.programs:teacher_node',
            f'helper_node = {PACKAGE}.programs:helper_node',
            f'replay_node = {PACKAGE}.programs:replay_node',
            f'dashboard_node = {PACKAGE}.programs:dashboard_node',
        ],
    },
)
