"""A small table that reads well in a terminal, in a notebook and in a saved output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from edakit.errors import InvalidValueError

__all__ = ["Table"]


@dataclass(frozen=True)
class Table:
    """Rows under named columns, and one sentence that says what is to be seen.

    Args:
        columns: Shape (m,), headings with their units.
        rows: Shape (n, m), values as they are to be shown; floats rounded by whoever makes the table.
        title: What the table is about.
        says: One sentence; also the alternative text of the picture that was drawn from the rows.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    title: str = ""
    says: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise InvalidValueError("a row", row, f"one value for each of the columns {list(self.columns)}")

    def column(self, name: str) -> list[object]:
        """Return the values of the column *name*, shape (n,).

        Raises:
            InvalidValueError: there is no such column.
        """
        if name not in self.columns:
            raise InvalidValueError("column", name, f"one of {list(self.columns)}")
        return [row[list(self.columns).index(name)] for row in self.rows]

    def __repr__(self) -> str:
        cells = [[_text(value) for value in row] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(self.columns, *cells, strict=True)]
        right = [all(isinstance(row[i], int | float | None) for row in self.rows) for i in range(len(widths))]
        lines = [_line(row, widths, right) for row in (self.columns, *cells)]
        return "\n".join(filter(None, (self.title, *lines, self.says)))

    def _repr_html_(self) -> str:
        head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in self.columns)
        body = "".join("<tr>" + "".join(f"<td>{escape(_text(value))}</td>" for value in row) + "</tr>" for row in self.rows)
        caption = f"<caption>{escape(self.title)}</caption>" if self.title else ""
        says = f"<p>{escape(self.says)}</p>" if self.says else ""
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{says}"


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = (text.rjust(width) if flush else text.ljust(width) for text, width, flush in zip(row, widths, right, strict=True))
    return "  ".join(cells).rstrip()
