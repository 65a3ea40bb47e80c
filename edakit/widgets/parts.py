"""What widgets share: how a picture and its table stand under the controls."""

from __future__ import annotations

import base64
from html import escape

from edakit.table import Table

__all__ = ["shown"]


def shown(image: bytes, says: str, table: Table | None = None) -> str:
    """Return the HTML of a picture and its table, neither wider than the cell, in Lab's own look of tables.

    Args:
        image: A PNG.
        says: Its alternative text.
        table: Its numbers; its sentence is left out, since the widget says it above.
    """
    png = base64.b64encode(image).decode("ascii")
    # A table that is too wide has a bar of its own. Its width counts as 0: it would make the cell wider, and the picture past the edge of the window.
    rows = f'<div style="width: 0; min-width: 100%; overflow-x: auto">{Table(table.columns, table.rows)._repr_html_()}</div>' if table else ""
    return f'<div class="jp-RenderedHTMLCommon"><img alt="{escape(says)}" src="data:image/png;base64,{png}" style="max-width: 100%">{rows}</div>'
