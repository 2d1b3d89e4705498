# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
import sys

# As when a script is started there.
BENCHMARK = Path(__file__).parents[2] / 'benchmark'
sys.path[:0] = [str(BENCHMARK), str(BENCHMARK / 'link')]
