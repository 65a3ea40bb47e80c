"""Chapter 06: one queue, four sliders, and what becomes of the wait."""

from __future__ import annotations

import io
import threading
from html import escape
from typing import Any, Final

import ipywidgets
from matplotlib.figure import Figure

from edakit.measuring.reading import QueueReading, read_queue
from edakit.plots.queue_dial import plot_queue_dial
from edakit.widgets.parts import shown

__all__ = ["QueueDial", "picture"]

VARIABILITY: Final = (("0, constant", 0), ("0.25", 0.25), ("0.5", 0.5), ("1, exponential", 1), ("2", 2), ("4", 4))
"""What the service time may be: its squared coefficient of variation [1]."""

# matplotlib's text layout is shared; two sliders may be moved at a time, each in a thread of its own.
_drawing = threading.Lock()


def picture(reading: QueueReading) -> bytes:
    """Return the two panels of `plot_queue_dial` as a PNG."""
    with _drawing:
        figure = Figure(figsize=(10, 4))
        plot_queue_dial(figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2), reading)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=90)
    return file.getvalue()


class QueueDial(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets is not typed
    """Four sliders around `read_queue`, its picture, and what is to be seen in words.

    Args:
        rate: How many events come at first [1/s].
        takes_ms: How long one takes at first [ms].
        workers: How many workers there are at first.
        variability: Squared coefficient of variation of the service time at first, one of `VARIABILITY` [1].

    Attributes:
        rate, takes_ms, workers, variability: The sliders.
        reading: What `read_queue` says of their values.
    """

    def __init__(self, rate: int = 225, takes_ms: float = 4.0, workers: int = 1, variability: float = 1) -> None:
        self.rate = ipywidgets.IntSlider(rate, 25, 600, 25, description="Arrivals [1/s]", **_options())
        self.takes_ms = ipywidgets.FloatSlider(takes_ms, min=1, max=10, step=0.5, description="Service time [ms]", readout_format=".1f", **_options())
        self.workers = ipywidgets.IntSlider(workers, 1, 8, 1, description="Workers", **_options())
        self.variability = ipywidgets.SelectionSlider(options=VARIABILITY, value=variability, description="Variability [1]", **_options())
        self._shown, self._status = ipywidgets.HTML(), ipywidgets.HTML()
        sliders = (self.rate, self.takes_ms, self.workers, self.variability)
        self._turning = threading.Lock()
        self._show()
        super().__init__([*sliders, self._status, self._shown])
        self.add_class("edakit-queue-dial")
        for slider in sliders:
            slider.observe(lambda _: self._show(), "value")

    def _show(self) -> None:
        with self._turning:
            # Read here, so that whoever comes last shows the last values.
            takes = round(self.takes_ms.value, 3) / 1e3  # a step up and one down may end at 3.9999999999999996
            self.reading = read_queue(self.rate.value, takes, self.workers.value, self.variability.value)
            self._status.value = f'<p role="status" aria-live="polite">{escape(self.reading.says)}</p>'
            self._shown.value = shown(picture(self.reading), self.reading.says, self.reading.table)

    def __repr__(self) -> str:
        return f"QueueDial: {self.reading.says}"


def _options() -> dict[str, Any]:
    return {"continuous_update": False, "style": {"description_width": "9em"}, "layout": {"width": "34em"}}
