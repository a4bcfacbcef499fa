"""Tables of reports, as text and as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def cell(item: Any) -> str:
    """One entry: numbers to four digits, nothing for what there is none of."""
    if item is None or (isinstance(item, float) and np.isnan(item)):
        return ""
    if isinstance(item, (bool, np.bool_)):
        return "yes" if item else "no"
    if isinstance(item, (float, np.floating)):
        return f"{item:.4g}"
    return str(item)


def text_table(header: Sequence[str], rows: Sequence[Sequence[Any]], indent: str = "  ") -> str:
    """Lines of a table, the first column to the left and the others to the right."""
    cells = [list(header), *([cell(c) for c in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines: list[str] = []
    for row in cells:
        first = row[0].ljust(widths[0])
        lines.append(
            (indent + "  ".join([first, *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])).rstrip()
        )
    return "\n".join(lines)


def html_table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]], notes: Sequence[str] = ()) -> str:
    """A table as a compact HTML fragment; all text in it is escaped."""
    # Here and not above: `import ppl` does without.
    from html import escape

    from .reports import STYLE

    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell(c))}</td>" for c in row) + "</tr>" for row in rows)
    below = "".join(f'<div class="warn">{escape(note)}</div>' for note in notes)
    return f'<div class="credo">{STYLE}<b>{escape(title)}</b><table><tr>{head}</tr>{body}</table>{below}</div>'
