"""Chapter 07: a broker, partitions and consumers, and who gets which cart's events."""

from __future__ import annotations

import io
import threading
from html import escape
from typing import Any, Final

import ipywidgets
from matplotlib.figure import Figure

from edakit.capabilities import BROKERS
from edakit.measuring.sharing import Sharing, share_out
from edakit.plots.sharing import plot_sharing
from edakit.widgets.parts import shown

__all__ = ["CHOICES", "WhoGetsWhat", "picture", "who_gets_what"]

CHOICES: Final = {"Kafka": "kafka", "RabbitMQ": "amqp", "sqlite": "sqlite", "memory": "memory"}
"""The brokers, with the name of each in `edakit.capabilities.BROKERS`."""

# matplotlib's text layout is shared; two controls may be moved at a time, each in a thread of its own.
_drawing = threading.Lock()


def who_gets_what(broker: str, partitions: int, consumers: int) -> Sharing:
    """Return who handles which events on a *broker*, one of `CHOICES`; only one that has partitions looks at their number."""
    shared = BROKERS[CHOICES[broker]].shares_events
    return share_out(partitions=0 if shared else partitions, consumers=consumers)


def picture(sharing: Sharing) -> bytes:
    """Return the two panels of `plot_sharing` as a PNG."""
    with _drawing:
        figure = Figure(figsize=(11, 4.6))
        plot_sharing(figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2), sharing)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=90)
    return file.getvalue()


class WhoGetsWhat(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets is not typed
    """A drop-down and two sliders around `who_gets_what`, its picture, and what is to be seen in words.

    Args:
        broker: One of `CHOICES`, at first.
        partitions: How many partitions its log has at first, if it has one.
        consumers: How many consumers there are at first.

    Attributes:
        broker, partitions, consumers: The controls; the number of partitions is greyed where there are none.
        sharing: What `who_gets_what` says of their values.
    """

    def __init__(self, broker: str = "Kafka", partitions: int = 3, consumers: int = 4) -> None:
        self.broker = ipywidgets.Dropdown(options=list(CHOICES), value=broker, description="Broker", style=_LABEL, layout={"width": "34em"})
        self.partitions = ipywidgets.IntSlider(partitions, 1, 8, 1, description="Partitions", **_options())
        self.consumers = ipywidgets.IntSlider(consumers, 1, 8, 1, description="Consumers", **_options())
        self._shown, self._status = ipywidgets.HTML(), ipywidgets.HTML()
        controls = (self.broker, self.partitions, self.consumers)
        self._turning = threading.Lock()
        self._show()
        super().__init__([*controls, self._status, self._shown])
        self.add_class("edakit-who-gets-what")
        for control in controls:
            control.observe(lambda _: self._show(), "value")

    def _show(self) -> None:
        with self._turning:
            # Read here, so that whoever comes last shows the last values.
            self.sharing = who_gets_what(self.broker.value, self.partitions.value, self.consumers.value)
            self.partitions.disabled = not self.sharing.partitions
            self._status.value = f'<p role="status" aria-live="polite">{escape(self.sharing.says)}</p>'
            self._shown.value = shown(picture(self.sharing), self.sharing.says, self.sharing.table)

    def __repr__(self) -> str:
        return f"WhoGetsWhat: {self.sharing.says}"


_LABEL: Final = {"description_width": "9em"}


def _options() -> dict[str, Any]:
    return {"continuous_update": False, "style": _LABEL, "layout": {"width": "34em"}}
