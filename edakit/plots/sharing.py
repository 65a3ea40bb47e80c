"""Who gets what: carts, the partitions that they lead to or the queue that they share, and the consumers behind."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes

from edakit.measuring.sharing import CARTS, Sharing, partition_of
from edakit.plots.style import FONT, INK, colour, dress, footer, headline, line
from edakit.table import Table

__all__ = ["plot_sharing"]

BOX: Final[dict[str, Any]] = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": INK}
HEIGHT = len(CARTS) - 1.0


def plot_sharing(paths: Axes, work: Axes, sharing: Sharing) -> Table:
    """Draw the way of each cart's events to the consumers, and how much each consumer handles and how long its events waited.

    Args:
        paths: For the way.
        work: For the events handled by each consumer [events].
        sharing: What `share_out` returned.

    Returns:
        A line a consumer: how many carts, and how many events.
    """
    _draw_paths(paths, sharing)
    _draw_work(work, sharing)
    return sharing.table


def _places(number: int) -> list[float]:
    """Return where *number* boxes stand, the first at the top."""
    step = HEIGHT / number
    return [HEIGHT - step * (place + 0.5) for place in range(number)]


def _draw_paths(ax: Axes, sharing: Sharing) -> None:
    count = sharing.partitions or 1
    leads = [partition_of(key, count) if sharing.partitions else 0 for key in CARTS]
    carts = dict(zip(sorted(range(len(CARTS)), key=lambda cart: leads[cart]), np.linspace(HEIGHT, 0, len(CARTS)), strict=True))
    middles, ends = _places(count), _places(sharing.consumers)
    for cart, height in carts.items():
        readers = sorted(set(sharing.consumer[sharing.cart == cart].tolist()))
        # With few events some carts have none.
        style = line(readers[0]) if sharing.partitions and readers else {"color": INK}
        ax.plot([0.3, 0.9], [height, middles[leads[cart]]], **{**style, "linewidth": 1.2})
        ax.text(0, height, CARTS[cart], fontsize=FONT, ha="left", va="center")
        for reader in readers:
            ax.plot([1.1, 1.8], [middles[leads[cart]], ends[reader]], **{**line(reader), "linewidth": 1.2})
    for place, height in enumerate(middles):
        ax.text(1, height, f"partition {place}" if sharing.partitions else "one queue", fontsize=FONT, ha="center", va="center", bbox=BOX)
    for place, height in enumerate(ends):
        busy = bool(sharing.handled[place])
        box = {**BOX, "edgecolor": colour(place) if busy else "#767676", "linestyle": "-" if busy else ":"}
        ax.text(1.8, height, f"consumer {place + 1}{'' if busy else ': no work'}", fontsize=FONT, ha="left", va="center", bbox=box)
    ax.set_xlim(-0.05, 2.75)
    ax.set_ylim(-0.7, HEIGHT + 0.7)
    ax.set_axis_off()
    headline(ax, _paths_title(sharing))
    footer(ax)


def _paths_title(sharing: Sharing) -> str:
    if not sharing.partitions:
        return f"Each event goes to the consumer that is free; {sharing.split} of {len(CARTS)} carts go to several"
    idle = f"; consumers without work: {sharing.idle} of {sharing.consumers}" if sharing.idle else ""
    return f"Each cart leads to one partition, each partition to one consumer{idle}"


def _draw_work(ax: Axes, sharing: Sharing) -> None:
    names = [f"consumer {number + 1}" for number in range(sharing.consumers)]
    for number, (name, count, waited) in enumerate(zip(names, sharing.handled, sharing.waited, strict=True)):
        ax.barh([name], [count], color=colour(number), edgecolor=INK, height=0.6)
        ax.annotate(
            f"{count}, waited {waited} ms" if count else "no work", (count, number), xytext=(4, 0), textcoords="offset points", va="center", fontsize=FONT
        )
    ax.set_xlim(0, 1.9 * max(sharing.handled))
    ax.invert_yaxis()
    dress(ax, title=f"Out of order within a cart: {sharing.overtaken_in_carts} of {sharing.cart.size} events", x="Handled [events]", y="")
    ax.grid(visible=False, axis="y")  # it would cross the words beside the bars
