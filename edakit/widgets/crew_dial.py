"""Chapter 03: workers that share a queue, one of whom dies twice. What is lost, what is done twice, and what comes back?"""

from __future__ import annotations

import io
import threading
from html import escape
from typing import Any, Final

import ipywidgets
from matplotlib.figure import Figure

from edakit.measuring.attempts import CrewRun
from edakit.measuring.crew import ACKS, two_deaths
from edakit.plots.crew import plot_work_per_worker
from edakit.widgets.parts import shown

__all__ = ["CrewDial", "picture"]

PREFETCH: Final = (1, 2, 5, 10, 20, 40)
"""How many messages a worker may have."""

# matplotlib's text layout is shared; two sliders may be moved at a time, each in a thread of its own.
_drawing = threading.Lock()


def picture(run: CrewRun) -> bytes:
    """Return `plot_work_per_worker` of *run* as a PNG; the more workers, the higher."""
    with _drawing:
        figure = Figure(figsize=(9, 2.4 + 0.5 * run.workers))
        plot_work_per_worker(figure.add_subplot(), run)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=90)
    return file.getvalue()


class CrewDial(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets is not typed
    """Three sliders around `two_deaths`, its picture, and what is to be seen in words.

    Args:
        workers: How many workers there are at first.
        prefetch: How many messages one of them may have at first, one of `PREFETCH` [messages].
        ack: When they ack at first, one of `ACKS`.

    Attributes:
        workers, prefetch, ack: The sliders.
        run: What `two_deaths` returns for their values.
        says: The sentence above the picture.
    """

    run: CrewRun
    says: str

    def __init__(self, workers: int = 2, prefetch: int = 5, ack: str = ACKS[0]) -> None:
        self.workers = ipywidgets.IntSlider(workers, 1, 4, 1, description="Workers", **_options())
        self.prefetch = ipywidgets.SelectionSlider(options=PREFETCH, value=prefetch, description="Prefetch [messages]", **_options())
        self.ack = ipywidgets.SelectionSlider(options=ACKS, value=ack, description="Ack", **_options())
        self._shown, self._status = ipywidgets.HTML(), ipywidgets.HTML()
        sliders = (self.workers, self.prefetch, self.ack)
        self._turning = threading.Lock()
        self._show()
        super().__init__([*sliders, self._status, self._shown])
        self.add_class("edakit-crew-dial")
        for slider in sliders:
            slider.observe(lambda _: self._show(), "value")

    def _show(self) -> None:
        with self._turning:
            # Read here, so that whoever comes last shows the last values.
            self.run = two_deaths(self.workers.value, self.prefetch.value, self.ack.value)
            self.says = _says(self.run, self.prefetch.value, self.ack.value)
            self._status.value = f'<p role="status" aria-live="polite">{escape(self.says)}</p>'
            self._shown.value = shown(picture(self.run), self.says)

    def __repr__(self) -> str:
        return f"CrewDial: {self.says}"


def _says(run: CrewRun, prefetch: int, ack: str) -> str:
    crew = "1 worker" if run.workers == 1 else f"{run.workers} workers"
    fate = f"{run.lost} lost{run.of_them_not_begun}, {run.twice} packed twice, {run.came_back} delivered again"
    return f"{crew}, prefetch {prefetch}, ack {ack}: of {run.orders} orders {fate}. The last one was done after {1e3 * run.over_at:,.0f} ms."


def _options() -> dict[str, Any]:
    return {"continuous_update": False, "style": {"description_width": "12em"}, "layout": {"width": "36em"}}
