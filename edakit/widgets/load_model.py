"""Chapter 05: one minute with a stall, asked in three ways."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from html import escape
from random import Random
from typing import Any, Final

import ipywidgets
from matplotlib.figure import Figure

from edakit.app import App
from edakit.events import Command, Event
from edakit.measuring.omission import LOAD_MODELS, START, load_test
from edakit.measuring.run import Deliveries
from edakit.plots.stall import plot_stall
from edakit.table import Table
from edakit.widgets.parts import shown

__all__ = ["LoadModel", "picture"]

STALLS: Final = (0.0, 3.0, 0.1)
"""Shortest and longest stall, and a step [s]."""

# matplotlib's text layout is shared; two controls may be moved at a time, each in a thread of its own.
_drawing = threading.Lock()


def picture(seen: Deliveries, model: str, stall: float) -> tuple[bytes, Table]:
    """Return what a test has written down around its stall of *stall* seconds, as a PNG, and the table of the whole minute."""
    with _drawing:
        figure = Figure(figsize=(9, 3.8))
        table = plot_stall(figure.subplots(), {model: seen}, start=START, end=START + stall)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=90)
    return file.getvalue(), table


class LoadModel(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets is not typed
    """Choose how a minute is asked, how often, and how long the shop stands still; see what the test writes down.

    Args:
        make_app, make, component: As for `load_test`.
        model: How it asks at first, one of `LOAD_MODELS`.
        rate: How often it asks at first [1/s].
        stall: How long the component stands still at first [s].

    Attributes:
        model, rate, stall: The controls.
        seen: What `load_test` returned for their values.
        table: Counts and percentiles of the whole minute.
    """

    def __init__(
        self,
        make_app: Callable[..., App],
        make: Callable[[int, Random], Event | Command],
        component: str,
        *,
        model: str = LOAD_MODELS[0],
        rate: int = 100,
        stall: float = 1.0,
    ) -> None:
        self._test = (make_app, make, component)
        least, most, step = STALLS
        self.model = ipywidgets.RadioButtons(options=LOAD_MODELS, value=model, description="The test", layout={"width": "34em"}, style=_LABEL)
        self.rate = ipywidgets.IntSlider(rate, 20, 200, 10, description="Requests [1/s]", **_options())
        self.stall = ipywidgets.FloatSlider(stall, min=least, max=most, step=step, description="Stall [s]", readout_format=".1f", **_options())
        self._shown, self._status = ipywidgets.HTML(), ipywidgets.HTML()
        self._turning = threading.Lock()
        controls = (self.model, self.rate, self.stall)
        self._show()
        super().__init__([*controls, self._status, self._shown])
        self.add_class("edakit-load-model")
        for control in controls:
            control.observe(lambda _: self._show(), "value")

    def _show(self) -> None:
        with self._turning:
            # Read here, so that whoever comes last shows the last values.
            model, stall = self.model.value, round(self.stall.value, 1)
            self.seen = load_test(*self._test, model=model, rate=self.rate.value, stall=stall)
            image, self.table = picture(self.seen, model, stall)
            self._status.value = f'<p role="status" aria-live="polite">{escape(self.table.says)}</p>'
            self._shown.value = shown(image, self.table.says, self.table)

    def __repr__(self) -> str:
        return f"LoadModel: {self.table.says}"


_LABEL: Final = {"description_width": "9em"}


def _options() -> dict[str, Any]:
    return {"continuous_update": False, "style": _LABEL, "layout": {"width": "34em"}}
