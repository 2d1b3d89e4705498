# SPDX-License-Identifier: Apache-2.0
"""
Point the CMake files of the ROS wheels at this environment's headers.

The wheels' generated *Export.cmake files name the Python and NumPy include folders of the
machine that built them, so nothing compiles against them before this.
"""

from pathlib import Path
import re
import sys
import sysconfig

import numpy

BUILD_HOST = r'/opt/python/cp3\d+-cp3\d+'
NUMPY = re.compile(BUILD_HOST + r'/lib/python3\.\d+/site-packages/numpy/_?core/include')
PYTHON = re.compile(BUILD_HOST + r'/include/python3\.\d+')


def main() -> None:
    """Rewrite every CMake file under the environment given as first argument."""
    for path in Path(sys.argv[1], 'share').rglob('*.cmake'):
        text = path.read_text()
        moved = NUMPY.sub(numpy.get_include(), text)
        moved = PYTHON.sub(sysconfig.get_path('include'), moved)
        if moved != text:
            path.write_text(moved)


main()
