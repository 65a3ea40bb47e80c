"""How late does a timer fire? Two sliders: how long a task holds the thread before it gives it back, and how many tasks there are."""

from __future__ import annotations

import io
from html import escape
from typing import Any

import ipywidgets
from matplotlib.figure import Figure

from edakit.measuring.looplag import WORK, LoopLag, sliced_lag
from edakit.plots.gantt import plot_gantt
from edakit.plots.looplag import plot_lag_over_time
from edakit.plots.style import FONT

__all__ = ["LoopLagDial", "loop_lag_dial"]

HOLDS = (10, 600)  # the slider's bounds [ms]
STEP = 10  # [ms]
TASKS = (1, 6)  # [tasks]
SIZE = (8.4, 6.6)  # [inch]
DOTS = 90  # [1/inch]


class LoopLagDial:
    """Two sliders around `sliced_lag`, and a picture of the run that belongs to them.

    Attributes:
        holds: Slider, how long a task holds the thread at a time [ms].
        tasks: Slider, how many tasks come at the same time.
        lag: What `sliced_lag` returned for them.
        says: The sentence under the picture.
        box: The widget.
    """

    lag: LoopLag

    def __init__(self, holds: int = 600, tasks: int = 1) -> None:
        wide = {"style": {"description_width": "15em"}, "layout": {"width": "34em"}, "continuous_update": False}
        self.holds = ipywidgets.IntSlider(value=holds, min=HOLDS[0], max=HOLDS[1], step=STEP, description="holds the thread at a time [ms]", **wide)
        self.tasks = ipywidgets.IntSlider(value=tasks, min=TASKS[0], max=TASKS[1], description="tasks at the same time", **wide)
        self._picture = ipywidgets.Image(format="png", layout={"max_width": "100%"})
        self._status = ipywidgets.HTML()
        self.box = ipywidgets.VBox([self.holds, self.tasks, self._picture, self._status])
        self.box.add_class("edakit-loop-lag")
        for slider in (self.holds, self.tasks):
            slider.observe(lambda _: self._show(), "value")
        self._show()

    def _show(self) -> None:
        holds, tasks = self.holds.value, self.tasks.value
        self.lag = sliced_lag(holds / 1e3, tasks)
        each = "1 task computes" if tasks == 1 else f"{tasks} tasks compute"
        self.says = f"{each} {WORK * 1e3:g} ms{'' if tasks == 1 else ' each'}, {holds} ms at a time. The latest timer fires {self.lag.worst:.0f} ms late."
        self._picture.value = _drawn(self.lag)
        self._picture.alt = self.says
        self._status.value = f'<span role="status" aria-live="polite">{escape(self.says)}</span>'

    def __repr__(self) -> str:
        return f"Loop lag: {self.says}"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = self.box._repr_mimebundle_(**options)
        return {**bundle, "text/plain": repr(self)}


def loop_lag_dial(holds: int = 600, tasks: int = 1) -> LoopLagDial:
    """Return the two sliders with their picture.

    Args:
        holds: Where the first stands at the beginning, from 10 to 600 [ms].
        tasks: Where the second stands, from 1 to 6 [tasks].
    """
    return LoopLagDial(holds, tasks)


def _drawn(lag: LoopLag) -> bytes:
    figure = Figure(figsize=SIZE)
    upper, lower = figure.subplots(2, 1)
    plot_gantt(upper, lag.work)
    plot_lag_over_time(lower, lag)
    right = max(upper.get_xlim()[1], lower.get_xlim()[1])
    for ax, title in ((upper, "Who has the thread"), (lower, f"How late a timer of {lag.every * 1e3:g} ms fires")):
        ax.set_xlim(0, right)
        ax.set_title(title, fontsize=FONT + 1, loc="left")
    upper.set_xlabel("")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DOTS)
    return file.getvalue()
