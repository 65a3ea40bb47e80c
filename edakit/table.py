"""A small table that reads well in a terminal, in a notebook and in a saved output."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape

from edakit.checks import choice, expect
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
        expect("columns", self.columns, Collection, "headings in a list")
        expect("rows", self.rows, Collection, "rows in a list")
        for row in self.rows:
            if not isinstance(row, Collection) or len(row) != len(self.columns):
                raise InvalidValueError("a row", row, f"one value for each of the columns {list(self.columns)}")

    def column(self, name: str) -> list[object]:
        """Return the values of the column *name*, shape (n,).

        Raises:
            InvalidValueError: there is no such column.
        """
        choice("column", name, *self.columns)
        return [row[list(self.columns).index(name)] for row in self.rows]

    def __repr__(self) -> str:
        cells = [[_text(value) for value in row] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(self.columns, *cells, strict=True)]
        lines = [_line(row, widths, self._right) for row in (self.columns, *cells)]
        return "\n".join(filter(None, (self.title, *lines, self.says)))

    @property
    def _right(self) -> list[bool]:
        """Which columns hold numbers, and are read from the right; text is read from the left."""
        return [all(isinstance(row[i], int | float | None) for row in self.rows) for i in range(len(self.columns))]

    def _repr_html_(self) -> str:
        # Notebooks put everything to the right, unless a cell itself says otherwise.
        sides = ["" if right else " style='text-align:left'" for right in self._right]
        head = "".join(f"<th scope='col'{side}>{escape(name)}</th>" for name, side in zip(self.columns, sides, strict=True))
        rows = [[f"<td{side}>{escape(_text(value))}</td>" for value, side in zip(row, sides, strict=True)] for row in self.rows]
        body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
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
