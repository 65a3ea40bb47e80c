"""A shop that has opened a moment ago is quicker than the same shop an hour later."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from edakit.clock import real
from edakit.errors import InvalidValueError
from edakit.measuring.checks import positive
from edakit.measuring.errors import NothingMeasuredError
from edakit.measuring.run import milliseconds
from edakit.measuring.sweep import QueueSample
from edakit.plots.series import lists_by_name
from edakit.plots.style import THEORY, dress, legend, line
from edakit.table import Table

__all__ = ["plot_warmup"]


BINS = 100_000
"""Most bins."""


def plot_warmup(ax: Axes, samples: Sequence[QueueSample], *, width: float, usual: float) -> Table:
    """Draw the mean wait over all *samples* by when the events came, beside the *usual* wait; return its first bins and the rest.

    Args:
        ax: Where to draw.
        samples: Runs that began empty, each with a seed of its own. Many: one run alone shows chance, and no warm-up.
        width: How long a bin is [s].
        usual: Mean wait of a queue that has been running for long [s].

    Raises:
        InvalidValueError: there is no sample, *width* is not above 0, *usual* is negative, or *width* makes more than 100,000 bins.
        NothingMeasuredError: nothing came in any of them.
    """
    samples = lists_by_name({"samples": samples}, "samples", "one sample of simulate_queue(…) or more, in a list", QueueSample)["samples"]
    positive("width", width, "number of seconds")
    if not 0 <= real(usual) < math.inf:
        raise InvalidValueError("usual", usual, "a number of seconds, zero or more")
    came, waits = (np.concatenate(parts) for parts in ([each.came_at for each in samples], [each.waiting for each in samples]))
    if not came.size:
        raise NothingMeasuredError("a warm-up")
    if came.max() / width > BINS:
        raise InvalidValueError("width", width, f"a number of seconds of at least {came.max() / BINS:.2g}")
    bins = (came / width).astype(int)
    # Each event counts once, as in a mean over events: a mean of bin means would favour the quiet runs.
    means = np.bincount(bins, waits) / np.maximum(np.bincount(bins), 1)
    ax.step([*(np.arange(means.size) * width), means.size * width], [*(means * 1e3), means[-1] * 1e3], where="post", label="measured", **line(0))
    ax.axhline(usual * 1e3, label=f"after a long time: {milliseconds(usual):g} ms", **THEORY)
    ax.set_ylim(bottom=0)
    dress(ax, title=f"The queue begins empty: mean wait over {len(samples)} runs", x="When they came [s after opening]", y="Mean wait [ms]")
    legend(ax, loc="lower right")
    rows = [(f"{number * width:g} to {(number + 1) * width:g}", round(mean * 1e3)) for number, mean in enumerate(means[:6].tolist())]
    later = bins >= means.size // 2
    rows.append((f"{means.size // 2 * width:g} to {means.size * width:g}", round(float(np.sum(waits[later]) / np.sum(later)) * 1e3)))
    says = f"In the first {width:g} s the mean wait is {rows[0][1]} ms, in the second half of the run {rows[-1][1]} ms."
    return Table(("came at [s]", "mean wait [ms]"), rows, says=says)
