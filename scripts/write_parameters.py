# SPDX-License-Identifier: Apache-2.0
"""Writes config/*.yaml and docs/parameters.md from the parameters that the nodes declare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
import textwrap

from shadowtutor_ros.nodes.dashboard_node import DASHBOARD_PARAMETERS
from shadowtutor_ros.nodes.helper_node import HELPER_PARAMETERS
from shadowtutor_ros.nodes.replay_node import REPLAY_PARAMETERS
from shadowtutor_ros.nodes.student_parameters import STUDENT_PARAMETERS
from shadowtutor_ros.nodes.teacher_node import TEACHER_PARAMETERS
from shadowtutor_ros.nodes.toolkit.parameters import Parameter, Value
from shadowtutor_ros.nodes.tutor_parameters import TUTOR_PARAMETERS

ROOT = Path(__file__).parents[1]
NODES = {'student': STUDENT_PARAMETERS, 'tutor': TUTOR_PARAMETERS, 'replay': REPLAY_PARAMETERS,
         'teacher': TEACHER_PARAMETERS, 'helper': HELPER_PARAMETERS,
         'dashboard': DASHBOARD_PARAMETERS}
INTRODUCTION = """\
# Parameters

Those marked *live* may be changed while the node runs (`ros2 param set /student threshold 0.7`;
several at once, all or none, by the service `set_parameters_atomically`); what is out of range or
contradicts others is refused with the reason.
All others are read at the start: give them with `params_file:=`, the launch argument of the same
name where there is one, or `ros2 run ... --ros-args -p name:=value`. A node that is given a
parameter that it does not have, of the wrong type or out of range, says what is expected and ends.

Those of `teacher_node` are the tutor's, and five are shared by student and tutor.
`config/paper.yaml` sets the paper's constants. One `params_file` for several nodes names them, as
it does: `/**/student:`, `/**/tutor:`.

Topics take `qos_overrides` as well, but for those under `~/channel` and what the dashboard
subscribes to. In a `params_file`:

```yaml
/**/student:
  ros__parameters:
    qos_overrides:
      /student/mask:
        publisher:
          reliability: reliable
```

This page and `config/*.yaml` are written by `scripts/write_parameters.py`.
"""


def written(value: Value) -> str:
    """Return a default as YAML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):  # to YAML, off is false
        return value if value.isidentifier() and value != 'off' else f"'{value}'"
    return f'{value:.1f}' if isinstance(value, float) and value >= 1e5 else str(value)


def yaml_of(name: str, parameters: Sequence[Parameter]) -> str:
    """Return a node's file in config/."""
    lines = [f'# Every parameter of {name}_node with its default.', '/**:', '  ros__parameters:']
    for parameter in parameters:
        text = parameter.description
        if parameter.choices:
            text += f' One of: {", ".join(parameter.choices)}.'
        lines += [f'    # {line}' for line in textwrap.wrap(text, 88)]
        lines.append(f'    {parameter.name}: {written(parameter.default)}')
    return '\n'.join(lines) + '\n'


def page_of(nodes: Mapping[str, Sequence[Parameter]]) -> str:
    """Return docs/parameters.md."""
    parts = [INTRODUCTION]
    for name, parameters in nodes.items():
        rows = [f'## `{name}_node`', '', '| parameter | default | range | |', '|---|---|---|---|']
        for p in parameters:
            allowed = ', '.join(f'`{choice}`' for choice in p.choices)
            if p.minimum is not None and p.maximum is not None:
                allowed = f'{p.minimum:g} to {p.maximum:g}'
            live = ' *Live.*' if p.live else ''
            rows.append(f'| `{p.name}` | `{written(p.default)}` | {allowed} | '
                        f'{p.description}{live} |')
        parts.append('\n'.join(rows) + '\n')
    return '\n'.join(parts)


def files() -> dict[Path, str]:
    """Return what is written where."""
    return {**{ROOT / f'config/{name}.yaml': yaml_of(name, parameters)
               for name, parameters in NODES.items()},
            ROOT / 'docs/parameters.md': page_of(NODES)}


if __name__ == '__main__':
    for path, text in files().items():
        path.write_text(text)
