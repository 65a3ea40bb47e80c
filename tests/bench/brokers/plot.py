"""The plot: a dot for each round, a bar for the median, by peer; rates by group, and latencies."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from edakit.plots.style import FONT, INK, colour, dress
from tests.bench.brokers.measure import Row
from tests.bench.brokers.plan import OURS, PEERS

PANELS = (
    ("RabbitMQ", "publish each [1/s]", "RabbitMQ: publish, each confirmed", "Events [1/s]"),
    ("RabbitMQ", "publish pipelined [1/s]", "RabbitMQ: publish, confirms pipelined", "Events [1/s]"),
    ("RabbitMQ", "publish none [1/s]", "RabbitMQ: publish, no confirms", "Events [1/s]"),
    ("RabbitMQ", "consume [1/s]", "RabbitMQ: consume", "Events [1/s]"),
    ("RabbitMQ", "through [1/s]", "RabbitMQ: publish and consume at once", "Events [1/s]"),
    ("RabbitMQ", "latency p99 at 500/s [ms]", "RabbitMQ: p99 at 500/s, less is better", "Latency [ms]"),
    ("Kafka", "publish each [1/s]", "Kafka: publish, each confirmed", "Events [1/s]"),
    ("Kafka", "publish pipelined [1/s]", "Kafka: publish, reports pipelined", "Events [1/s]"),
    ("SQLite", "through [1/s]", "SQLite: two processes", "Events [1/s]"),
)
"""Broker, measure, title, axis."""


def save(rows: list[Row], path: Path) -> None:
    """Draw what was measured."""
    figure = Figure(figsize=(15, 13), dpi=80)
    FigureCanvasAgg(figure)
    for place, (broker, measure, title, label) in enumerate(PANELS, 1):
        ax = figure.add_subplot(3, 3, place)
        _panel(ax, [row for row in rows if (row.broker, row.measure) == (broker, measure)], [peer.name for peer in PEERS[broker]])
        dress(ax, title=title, x=label, y="")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    figure.savefig(path, metadata={"Software": None})


def _panel(ax: Any, rows: list[Row], names: list[str]) -> None:
    there = [name for name in names if any(row.peer == name for row in rows)]
    for place, name in enumerate(reversed(there)):
        values = [row.value for row in rows if row.peer == name]
        ax.barh(place, statistics.median(values), color=colour(0 if name == OURS else 4), height=0.7)
        ax.plot(values, [place] * len(values), "o", color=INK, markersize=4)
    ax.set_yticks(range(len(there)), list(reversed(there)), fontsize=FONT)
