"""One thread in virtual time: whoever computes uses its time up, and all the others wait.

An `App` in virtual time lets handlers run in no time, and `takes=` gives each worker a time of its own. Here all handlers of all components
share one thread, as they do on an asyncio loop: `compute(context, 0.3)` holds it, `await context.sleep(0.3)` gives it back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from edakit.app import App
from edakit.checks import expect
from edakit.clock import VirtualClock, to_ns
from edakit.component import Component
from edakit.errors import InvalidValueError, VirtualTimeError
from edakit.events import Context, Event

__all__ = ["OneThread", "Slice", "compute", "on_one_thread"]

MOST = 100  # handlers that may be under way at a time; an experiment has fewer


class Slice(NamedTuple):
    """The thread was held, without a break.

    Attributes:
        event: Id of the event whose handler held it.
        component: The component of that handler.
        began_at, ended_at: From when to when [ns].
    """

    event: str
    component: str
    began_at: int
    ended_at: int


class _ThreadClock(VirtualClock):
    """A clock that also moves while a handler computes; what was due meanwhile is late, and not lost."""

    def __init__(self) -> None:
        super().__init__()
        self.slices: list[Slice] = []

    def advance_to(self, time_ns: int) -> None:
        """Move the clock forward to *time_ns* [ns], or leave it where it is if the thread was held for longer."""
        super().advance_to(max(time_ns, self.time_ns))

    def hold(self, context: Context, span_ns: int) -> None:
        """Let the handler of *context* hold the thread for *span_ns* [ns]."""
        began_at = self.time_ns
        self.time_ns += span_ns
        self.slices.append(Slice(context.id, context.component, began_at, self.time_ns))


class OneThread(App):
    """An `App` in virtual time in which all handlers share one thread.

    Args:
        components: Who takes part. Their handlers say with `compute` how long they hold the thread.
        seed: As for `App`.

    Raises:
        InvalidValueError: a component has `takes=`, which would give its workers a time of their own.
    """

    clock: _ThreadClock

    def __init__(self, *components: Component, seed: int = 0) -> None:
        super().__init__(*components, broker="memory://", clock="virtual", seed=seed)

    def configure(self, *, clock: Literal["wall", "virtual"] | None = None, seed: int | None = None, broker: str | None = None) -> None:
        """Choose the seed, as long as the app was not used; the clock is that of the thread. Raises as `App.configure`.

        Raises:
            VirtualTimeError: a wall clock was asked for.
        """
        if clock == "wall":
            raise VirtualTimeError("OneThread has a clock of its own; in real time App(…) with async def handlers runs them on one thread")
        super().configure(clock="virtual", seed=seed, broker=broker)
        self.clock = _ThreadClock()

    def add(self, component: Component) -> None:
        """Let one more component take part; raises as `App.add`, and as the class does."""
        if component.takes is not None:
            raise InvalidValueError(f"takes of {component.name}", component.takes, "none here: call compute(context, seconds) in the handler")
        super().add(component)

    @property
    def slices(self) -> tuple[Slice, ...]:
        """When the thread was held, and for which event, in order."""
        return tuple(self.clock.slices)

    def publish_at(self, seconds: float, event: Event) -> None:
        """Have *event* come at *seconds* [s] of virtual time; if the thread is held then, it comes in late, and its `due_at` tells."""
        due_at = to_ns(seconds)
        self.call_at(due_at, lambda: _ignore(self.publish(event, due_at=due_at)))


def compute(context: Context, seconds: float) -> None:
    """Hold the thread for *seconds* [s], as a calculation does: nothing else runs on it meanwhile.

    In real time this computes until the time is over; on `OneThread` it moves the clock.

    Raises:
        InvalidValueError: *seconds* is negative or no number.
        VirtualTimeError: the app runs in virtual time and is no `OneThread`.
    """
    clock: Any = getattr(context.publisher, "clock", None)
    span_ns = to_ns(seconds)
    if isinstance(clock, _ThreadClock):
        clock.hold(context, span_ns)
    elif clock is not None and clock.virtual:
        raise VirtualTimeError("compute() needs a thread that all handlers share; make the app with OneThread(…), or use takes= of its component")
    else:
        end_ns = time.perf_counter_ns() + span_ns
        while time.perf_counter_ns() < end_ns:
            pass


def on_one_thread(handlers: Mapping[type[Event], Callable[[Any, Context], Any]], arrivals: Iterable[tuple[float, Event]]) -> OneThread:
    """Let *handlers* share one thread, let the events of *arrivals* come, and return the app when all is done.

    Args:
        handlers: By event class, each plain or `async def`; they belong to one component, `shop`, in which many may be under way.
        arrivals: When each event comes [s], and the event.

    Raises:
        InvalidValueError: *handlers* or *arrivals* are something else.
        Exception: what a handler raises.
    """
    expect("handlers", handlers, Mapping, "handlers by event class: {ButtonClicked: handler}")
    shop = Component("shop", concurrency=MOST)
    for event_type, handler in handlers.items():
        shop.on(event_type)(handler)
    app = OneThread(shop)
    for arrival in arrivals:
        if not (isinstance(arrival, tuple) and len(arrival) == 2):  # noqa: PLR2004 (its parts)
            raise InvalidValueError("one of the arrivals", arrival, "a time and an event: (0.1, ButtonClicked())")
        seconds, event = arrival
        app.publish_at(seconds, event)
    app.run_until_idle()
    return app


def _ignore(_receipt: object) -> None:
    """Drop what `publish` returns: the loop's timers return nothing."""
