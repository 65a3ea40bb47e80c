"""Plots: one question a function. Each draws on the Axes that it is given, and returns the rounded table of what it drew.

The table's sentence `says` is what is to be seen; it becomes the picture's alternative text. No function touches pyplot or rcParams.
"""

from __future__ import annotations

from edakit.plots.crew import plot_times_handled, plot_work_per_worker
from edakit.plots.event_map import plot_event_map
from edakit.plots.flow import plot_backlog_over_time, plot_throughput_over_time
from edakit.plots.gantt import plot_gantt
from edakit.plots.intervals import plot_intervals
from edakit.plots.latency import plot_latency_cdf, plot_latency_over_time
from edakit.plots.looplag import plot_lag_over_time, plot_loop_lag
from edakit.plots.parts import plot_wait_and_service
from edakit.plots.percentiles import plot_percentiles
from edakit.plots.promises import plot_promises
from edakit.plots.queue_dial import plot_queue_dial
from edakit.plots.replay import plot_replay
from edakit.plots.sharing import plot_sharing
from edakit.plots.stall import plot_stall
from edakit.plots.tail import plot_tail
from edakit.plots.timeline import plot_timeline
from edakit.plots.utilisation import plot_wait_by_utilisation
from edakit.plots.warmup import plot_warmup

__all__ = [
    "plot_backlog_over_time",
    "plot_event_map",
    "plot_gantt",
    "plot_intervals",
    "plot_lag_over_time",
    "plot_latency_cdf",
    "plot_latency_over_time",
    "plot_loop_lag",
    "plot_percentiles",
    "plot_promises",
    "plot_queue_dial",
    "plot_replay",
    "plot_sharing",
    "plot_stall",
    "plot_tail",
    "plot_throughput_over_time",
    "plot_timeline",
    "plot_times_handled",
    "plot_wait_and_service",
    "plot_wait_by_utilisation",
    "plot_warmup",
    "plot_work_per_worker",
]
