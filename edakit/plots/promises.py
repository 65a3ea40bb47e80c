"""Which transport keeps which promise: a matrix of answers, in words and in colours."""

from __future__ import annotations

import textwrap
from typing import Final

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from edakit.checks import expect
from edakit.errors import InvalidValueError
from edakit.plots.style import FONT, INK, footer, headline
from edakit.table import Table

__all__ = ["plot_promises"]

FILLS: Final = {"yes": "#cfe8f5", "refused": "#f7ecc3", "-": "#eeeeee"}
BROKEN: Final = "#f3c4a0"
WIDTH = 44
"""How many letters of a question stand in one line."""


def plot_promises(ax: Axes, answers: Table) -> Table:
    """Draw the *answers*, a row a promise; return how many promises each transport keeps.

    Args:
        ax: Where to draw.
        answers: The promise in the first column, and in the others what each transport does: "yes", "refused" where an error says that it cannot,
            "-" where it makes no sense, and anything else for a promise that is broken.

    Returns:
        A line a transport: kept, refused, broken, and promises that make no sense there.

    Raises:
        InvalidValueError: there is no promise, or no transport.
    """
    expect("answers", answers, Table, "a table with a promise a row and a column for each transport")
    transports = list(answers.columns[1:])
    if not transports or not answers.rows:
        raise InvalidValueError("answers", answers.columns, "a table with a promise a row and a column for each transport")
    for row, (_, *cells) in enumerate(answers.rows):
        for column, cell in enumerate(map(str, cells)):
            ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=FILLS.get(cell, BROKEN), edgecolor="white", linewidth=2))
            ax.text(column, row, cell, ha="center", va="center", fontsize=FONT, color=INK, weight="normal" if cell in FILLS else "bold")
    ax.set_yticks(range(len(answers.rows)), [textwrap.fill(str(row[0]), WIDTH) for row in answers.rows], fontsize=FONT)
    ax.set_xticks(range(len(transports)), [name.replace(" ", "\n", 1) for name in transports], fontsize=FONT)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.set_xlim(-0.5, len(transports) - 0.5)
    ax.set_ylim(len(answers.rows) - 0.5, -0.5)
    for side in ax.spines.values():
        side.set_visible(False)
    rows = [_counted(name, [str(value) for value in answers.column(name)]) for name in transports]
    least = min(rows, key=lambda row: row[1])
    headline(ax, f"The fewest promises are kept by {least[0]}: {least[1]} of {len(answers.rows)}")
    footer(ax)
    says = "; ".join(f"{name} breaks {broken} of {len(answers.rows)} promises" for name, *_, broken, _ in rows)
    return Table(("transport", "kept", "refused", "broken", "no sense here"), rows, says=f"{says}.")


def _counted(name: str, cells: list[str]) -> tuple[str, int, int, int, int]:
    kept, refused, senseless = (cells.count(answer) for answer in FILLS)
    return name, kept, refused, len(cells) - kept - refused - senseless, senseless
