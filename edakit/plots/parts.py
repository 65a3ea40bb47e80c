"""Of the time that an event takes, how much is waiting and how much is work?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from edakit.measuring.run import Deliveries
from edakit.measuring.statistics import Interval, interval, mean
from edakit.measuring.sweep import QueueSample
from edakit.plots.series import lists_by_name, rounded
from edakit.plots.style import INK, colour, dress, lanes, legend
from edakit.table import Table

__all__ = ["plot_wait_and_service"]


def plot_wait_and_service(ax: Axes, trials: Mapping[str, Sequence[QueueSample]]) -> Table:
    """Draw mean wait and mean service of each design end to end, with the confidence interval of their sum.

    Args:
        ax: Where it is drawn.
        trials: For each design two or more runs, each with a seed of its own, the warm-up cut off.

    Returns:
        A line a design: wait, service, latency and how far it may be off (95 % confidence) [ms].

    Raises:
        InvalidValueError: there is no design, or one has fewer than two runs.
    """
    lists = lists_by_name(trials, "trials", "two runs or more by name: {'one worker': [sample, …]}", QueueSample | Deliveries)
    parts = {name: [_mean_ms(runs, about) for about in ("waiting", "service", "latency")] for name, runs in lists.items()}
    places = range(len(parts))
    for number, (about, hatch) in enumerate((("waiting", ""), ("service", "//"))):
        lefts = [wait.mean * number for wait, _, _ in parts.values()]
        widths = [part[number].mean for part in parts.values()]
        ax.barh(places, widths, left=lefts, height=0.5, label=about, color=colour(number), hatch=hatch, edgecolor="white")
    _draw_intervals(ax, [latency for _, _, latency in parts.values()])
    lanes(ax, parts)
    ax.invert_yaxis()
    rows = [(name, *(rounded(part.mean) for part in row), rounded(row[2].high - row[2].mean, 2)) for name, row in parts.items()]
    dress(ax, title=_title(rows), x="Mean time of an event [ms]", y="")
    legend(ax, loc="best")
    return Table(("", "waiting [ms]", "service [ms]", "latency [ms]", "± [ms]"), rows, says=_says(rows))


def _mean_ms(runs: Sequence[QueueSample | Deliveries], about: str) -> Interval:
    """Return the mean over trials of the mean of each trial [ms]."""
    times = [run.latency - run.waiting if about == "service" else getattr(run, about) for run in runs]
    return interval([1e3 * mean(values) for values in times])


def _draw_intervals(ax: Axes, latencies: Sequence[Interval]) -> None:
    half = [latency.high - latency.mean for latency in latencies]
    ax.errorbar([latency.mean for latency in latencies], range(len(latencies)), xerr=half, fmt="none", ecolor=INK, capsize=5, label="95 % confidence")


def _title(rows: Sequence[tuple[object, ...]]) -> str:
    return f"Done soonest: {_soonest(rows)[0]}"


def _soonest(rows: Sequence[tuple[object, ...]]) -> tuple[object, ...]:
    return min(rows, key=lambda row: float(str(row[3])))


def _says(rows: Sequence[tuple[object, ...]]) -> str:
    return "; ".join(f"{name}: an event waits {wait} ms and is served for {service} ms, {latency} ms in all" for name, wait, service, latency, _ in rows) + "."
