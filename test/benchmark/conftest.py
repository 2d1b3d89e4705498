# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
import sys

# As when run.py is started there.
sys.path.insert(0, str(Path(__file__).parents[2] / 'benchmark' / 'link'))
