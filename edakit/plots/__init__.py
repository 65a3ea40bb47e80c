"""Plots: one question a function. Each draws on the Axes that it is given, and returns the rounded table of what it drew.

The table's sentence `says` is what is to be seen; it becomes the picture's alternative text. No function touches pyplot or rcParams.
"""

from __future__ import annotations

from edakit.plots.flow import plot_backlog_over_time, plot_throughput_over_time
from edakit.plots.latency import plot_latency_cdf, plot_latency_over_time
from edakit.plots.parts import plot_wait_and_service
from edakit.plots.queue_dial import plot_queue_dial
from edakit.plots.utilisation import plot_wait_by_utilisation

__all__ = [
    "plot_backlog_over_time",
    "plot_latency_cdf",
    "plot_latency_over_time",
    "plot_queue_dial",
    "plot_throughput_over_time",
    "plot_wait_and_service",
    "plot_wait_by_utilisation",
]
