"""Loop lag: how late a timer fires on a loop whose thread has other work to do, in virtual time and on a real asyncio loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from edakit.app import App
from edakit.checks import expect, whole
from edakit.clock import NS, to_ns
from edakit.component import Component
from edakit.errors import InvalidValueError
from edakit.events import Context, Event, type_name
from edakit.measuring.handlings import Handling, handlings
from edakit.measuring.onethread import OneThread, compute
from edakit.measuring.progress import Progress
from edakit.measuring.statistics import Array

__all__ = ["LoopLag", "calmest_lags", "loop_lag", "sliced_lag"]

PATIENCE = 60.0  # how long a run in real time may take [s]
WORK = 0.600  # what one task of `sliced_lag` computes, all in all [s]


Handler = Callable[[Any, Context], Any]


class TimerSet(Event):
    """The timer whose lateness is measured was set."""


class TaskCame(Event):
    """There is work for the handler that is looked at."""


@dataclass(frozen=True)
class LoopLag:
    """How late each timer was. Times count from the start of the run.

    Attributes:
        every: What each timer was set to [s].
        due_at: When each was due, shape (n,) [s].
        fired_at: When each fired, shape (n,) [s].
        work: How the work went that was on the loop meanwhile.
        clock: "virtual" or "wall".
    """

    every: float
    due_at: Array
    fired_at: Array
    work: tuple[Handling, ...]
    clock: str

    @cached_property
    def lag(self) -> Array:
        """How late each timer fired, shape (n,) [ms]."""
        return (self.fired_at - self.due_at) * 1e3

    @property
    def worst(self) -> float:
        """How late the latest one fired [ms]."""
        return float(self.lag.max())


def loop_lag(handler: Handler, *, tasks: int = 1, clock: Literal["virtual", "wall"] = "virtual", every: float = 0.010, quiet: float = 0.050) -> LoopLag:
    """Let *handler* work on a loop on which a timer is set again and again, and tell how late the timer fires.

    With the wall clock this is an asyncio loop in a thread of its own: a notebook's own thread runs a loop already.

    Args:
        handler: A handler of (event, context), plain or `async def`.
        tasks: How many events come for it at the same time [events].
        clock: "virtual" counts what `compute` holds the thread for; "wall" really computes.
        every: What the timer is set to [s].
        quiet: How long it runs before the work comes, and after it is done [s].

    Raises:
        InvalidValueError: *tasks* or a time makes no sense, or the handler fails in real time (in virtual time its exception is raised).
    """
    whole("tasks", tasks)
    if clock not in {"virtual", "wall"}:
        raise InvalidValueError("clock", clock, "'virtual' or 'wall'")
    if to_ns(every) == 0:
        raise InvalidValueError("every", every, "a number of seconds above zero")
    component = Component("loop", concurrency=tasks + 1, max_attempts=1)
    component.on(TaskCame)(handler)
    app = OneThread(component) if clock == "virtual" else App(component, broker="memory://")
    ticks = _timer(app, component, tasks, to_ns(every), to_ns(quiet))
    start_ns = app.now_ns
    try:
        (_drive_virtual if app.clock.virtual else _drive_wall)(app, tasks, quiet)
        failed = app.dead_letters()
    finally:
        app.close()
    if failed:
        raise InvalidValueError("handler", failed[0].error, "one that does not fail")
    due_at, fired_at = ((np.array([tick[side] for tick in ticks], dtype=np.float64) - start_ns) / NS for side in (0, 1))
    work = tuple(each for each in handlings(app) if not each.name.startswith(type_name(TimerSet)))
    return LoopLag(every, due_at, fired_at, work, clock)


def _timer(app: App, component: Component, tasks: int, every_ns: int, quiet_ns: int) -> list[tuple[int, int]]:
    """Have *component* set a timer again and again until the work is done; return the list of (due, fired) [ns] that grows meanwhile."""
    ticks: list[tuple[int, int]] = []
    ends: list[int] = []

    def note(_component: str, delivery: Any) -> None:
        if isinstance(delivery.event, TaskCame):
            ends.append(app.now_ns)

    @component.on(TimerSet)
    async def tick(_event: TimerSet, context: Context) -> None:
        while len(ends) < tasks or app.now_ns < ends[-1] + quiet_ns:
            due_ns = app.now_ns + every_ns
            await context.sleep(every_ns / NS)
            ticks.append((due_ns, app.now_ns))

    app.hooks.on("acked", note)
    return ticks


def _drive_virtual(app: App, tasks: int, quiet: float) -> None:
    app.publish(TimerSet())
    app.advance(quiet)
    app.publish_many(TaskCame() for _ in range(tasks))
    app.run_until_idle()


def _drive_wall(app: App, tasks: int, quiet: float) -> None:
    app.start()
    app.publish(TimerSet())
    time.sleep(quiet)
    app.publish_many(TaskCame() for _ in range(tasks))
    app.wait_until_idle(PATIENCE)


def calmest_lags(handlers: Mapping[str, Handler], *, rounds: int = 2, clock: Literal["virtual", "wall"] = "wall", **options: Any) -> dict[str, LoopLag]:
    """Measure the loop lag of each of *handlers* in turn, several times, and return the calmest run of each.

    Another program that wants the processor can only make a timer later; the run with the least worst lag shows most of the loop itself.

    Args:
        handlers: By name.
        rounds: How often each gets its turn.
        clock: As for `loop_lag`.
        options: Further options of `loop_lag`.

    Raises:
        InvalidValueError: *rounds* is not 1 or more, or as for `loop_lag`.
    """
    expect("handlers", handlers, Mapping, "handlers by name: {'asleep': handler}")
    whole("rounds", rounds)
    runs: dict[str, list[LoopLag]] = {name: [] for name in handlers}
    with Progress(rounds * len(runs), "measuring the loop", "runs") as progress:
        for _ in range(rounds):
            for name, handler in handlers.items():
                runs[name].append(loop_lag(handler, clock=clock, **options))
                progress.to(sum(map(len, runs.values())))
    return {name: min(seen, key=lambda run: run.worst) for name, seen in runs.items()}


def sliced_lag(holds: float, tasks: int = 1, *, work: float = WORK, every: float = 0.010) -> LoopLag:
    """Return the loop lag, in virtual time, that *tasks* bring about which give the thread back now and then.

    Args:
        holds: How long a task holds the thread before it gives it back [s].
        tasks: How many of them come at the same time [tasks].
        work: How long each computes, all in all [s].
        every: What the timer is set to [s].

    Raises:
        InvalidValueError: *holds* is not above zero, or as for `loop_lag`.
    """
    holds_ns, work_ns = to_ns(holds), to_ns(work)
    if not holds_ns:
        raise InvalidValueError("holds", holds, "a number of seconds above zero")

    async def slices(_event: TaskCame, context: Context) -> None:
        for begin in range(0, work_ns, holds_ns):
            compute(context, min(holds_ns, work_ns - begin) / NS)
            await context.sleep(0)

    return loop_lag(slices, tasks=tasks, every=every)
