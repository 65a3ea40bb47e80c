"""Chapter 02: how late does a timer fire? One slider for how long a task holds the thread, one for how many tasks there are."""

from __future__ import annotations

import base64
import io
import threading
from html import escape
from typing import Any, Final

import ipywidgets
from matplotlib.figure import Figure

from edakit.measuring.looplag import WORK, LoopLag, sliced_lag
from edakit.plots.gantt import plot_gantt
from edakit.plots.looplag import plot_lag_over_time
from edakit.plots.style import FONT

__all__ = ["LoopLagDial", "picture"]

MS: Final = 1e3  # [1/s]

# matplotlib's text layout is shared; two sliders may be moved at a time, each in a thread of its own.
_drawing = threading.Lock()


def picture(lag: LoopLag) -> bytes:
    """Return, as a PNG, who has the thread, and below it how late the timers of the same run fire."""
    with _drawing:
        figure = Figure(figsize=(8.4, 6.6))
        upper, lower = figure.subplots(2, 1)
        plot_gantt(upper, lag.work)
        plot_lag_over_time(lower, lag)
        right = max(upper.get_xlim()[1], lower.get_xlim()[1])
        for ax, title in ((upper, "Who has the thread"), (lower, f"How late a timer of {lag.every * MS:g} ms fires, a stem each")):
            ax.set_xlim(0, right)
            ax.set_title(title, fontsize=FONT + 1, loc="left")
        upper.set_xlabel("")  # the lower one's serves both
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=90)
    return file.getvalue()


class LoopLagDial(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets is not typed
    """Two sliders around `sliced_lag`, its picture, and what is to be seen in words.

    Args:
        holds: How long a task holds the thread at a time, at first [ms].
        tasks: How many tasks come at the same time, at first.

    Attributes:
        holds, tasks: The sliders.
        lag: What `sliced_lag` returns for their values.
        says: The sentence above the picture.
    """

    lag: LoopLag
    says: str

    def __init__(self, holds: int = 600, tasks: int = 1) -> None:
        self.holds = ipywidgets.IntSlider(holds, 10, int(WORK * MS), 10, description="Holds the thread at a time [ms]", **_options())
        self.tasks = ipywidgets.IntSlider(tasks, 1, 6, 1, description="Tasks at the same time", **_options())
        self._shown, self._status = ipywidgets.HTML(), ipywidgets.HTML()
        self._turning = threading.Lock()
        self._show()
        super().__init__([self.holds, self.tasks, self._status, self._shown])
        self.add_class("edakit-loop-lag")
        for slider in (self.holds, self.tasks):
            slider.observe(lambda _: self._show(), "value")

    def _show(self) -> None:
        with self._turning:
            # Read here, so that whoever comes last shows the last values.
            holds, tasks = self.holds.value, self.tasks.value
            self.lag = sliced_lag(holds / MS, tasks)
            each = "1 task computes" if tasks == 1 else f"{tasks} tasks compute"
            self.says = f"{each} {WORK * MS:g} ms{'' if tasks == 1 else ' each'}, {holds} ms at a time. The latest timer fires {self.lag.worst:,.0f} ms late."
            self._status.value = f'<p role="status" aria-live="polite">{escape(self.says)}</p>'
            image = base64.b64encode(picture(self.lag)).decode("ascii")
            self._shown.value = f'<img alt="{escape(self.says)}" src="data:image/png;base64,{image}" style="max-width: 100%">'

    def __repr__(self) -> str:
        return f"LoopLagDial: {self.says}"


def _options() -> dict[str, Any]:
    return {"continuous_update": False, "style": {"description_width": "18em"}, "layout": {"width": "38em"}}
