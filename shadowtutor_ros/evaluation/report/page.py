# SPDX-License-Identifier: Apache-2.0
"""One self-contained HTML page of tables and pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from shadowtutor_ros.evaluation.report.tables import Table
from shadowtutor_ros.whole_file import replace_file

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
  body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1100px;
         padding: 0 1em; color: #222 }
  .wide { overflow-x: auto }
  table { border-collapse: collapse; font-variant-numeric: tabular-nums }
  th, td { padding: .25em .7em; border-bottom: 1px solid #ddd; text-align: right;
           white-space: nowrap }
  th:first-child, td:first-child { text-align: left; white-space: pre }
  th { border-bottom: 2px solid #888 }
  img { max-width: 100% }
  .note, figcaption { color: #555; font-size: .92em }
  figure { margin: 1.5em 0 }
  dt { font-weight: 600 }
</style>
<h1>{{ title }}</h1>
<ul>{% for sentence in said %}<li>{{ sentence }}</li>{% endfor %}</ul>
<dl>{% for name, value in facts %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}</dl>
{% for table in tables %}
<h2>{{ table.title }}</h2>
<div class="wide"><table>
<tr>{% for cell in table.columns %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for row in table.rows -%}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
<p class="note">{{ table.note }}</p>
{% endfor %}
{% for picture in pictures %}
<figure><img src="data:image/png;base64,{{ picture.base64() }}" alt="{{ picture.caption }}">
<figcaption>{{ picture.caption }}</figcaption></figure>
{% endfor %}
</html>
"""


@dataclass(frozen=True)
class Picture:
    """A PNG file and what it shows."""

    path: Path
    caption: str

    def base64(self) -> str:
        """Return the file's content as it stands in a data URL."""
        return base64.b64encode(self.path.read_bytes()).decode()


def write_page(
    path: Path, title: str, said: Sequence[str], facts: Sequence[tuple[str, str]],
    tables: Sequence[Table], pictures: Sequence[Picture],
) -> None:
    """Write the page, its sentences on top and its pictures inside."""
    template = jinja2.Environment(autoescape=True).from_string(_PAGE)
    replace_file(path, template.render(
        title=title, said=said, facts=facts, tables=tables, pictures=pictures).encode())
