"""measure(): let a workload run against an app, on either clock, and return what was seen."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from functools import partial
from numbers import Integral
from typing import Any, Literal

from edakit.app import App
from edakit.checks import expect, whole
from edakit.clock import NS, real, to_ns
from edakit.component import Component
from edakit.errors import InvalidValueError, WaitTimeoutError
from edakit.measuring.checks import function
from edakit.measuring.progress import Progress
from edakit.measuring.publisher import Publisher, publisher_for
from edakit.measuring.run import COLUMNS, Run
from edakit.measuring.workload import Workload
from edakit.table import Table
from edakit.transports.address import redact, require
from edakit.transports.routing import matches

__all__ = ["compare", "measure", "measure_trials", "takers"]

Actions = Mapping[int, Callable[[App], object]]


def measure(  # noqa: PLR0913 (each is one choice that an experiment makes)
    app: App,
    workload: Workload,
    *,
    clock: Literal["wall", "virtual"] | None = None,
    seed: int | None = None,
    broker: str | None = None,
    first: Workload | None = None,
    warmup: float = 0.0,
    at: Mapping[float, Callable[[App], object]] | None = None,
    label: str = "",
) -> Run:
    """Publish *workload* to *app*, wait until all of it is handled, and return what was seen.

    A handler's exception does not end the run: it is tried again, and given up as everywhere; the run names the dead. Stop in the notebook,
    or Ctrl-C, ends the run early and returns what was measured until then.

    Args:
        app: A new app. In real time it is started, and stopped in the end.
        workload: What is published, and when: `Shoppers(Poisson(…))`, `Each(Poisson(…), make)`, `Each(ClosedLoop(…), make)`, a `Playback`.
        clock: "virtual" or "wall"; the app's own unless given.
        seed: Of everything that is drawn; the app's own unless given.
        broker: Address of the broker; the app's own unless given.
        first: What is published, and handled to its end, before the run begins: a network broker has then let in every component. Nothing of it counts
            for latencies, throughput and `events`.
        warmup: How much at the beginning does not count for latencies and throughput [s].
        at: What else happens, and when: `{5.0: lambda app: app.pause("stock")}` [s]. What an action raises is raised here.
        label: What the run is called in tables and plots.

    Raises:
        InvalidValueError: *app* is no app or was used already, *workload* is none, *warmup* is negative, or an action has a negative time.
        BrokerURLError, CapabilityError: as for `App`.
    """
    expect("app", app, App, "an App; the workload comes after it")
    for name, each in {"workload": workload, "first": workload if first is None else first}.items():
        expect(name, each, Workload, "messages with their times, such as Each(Poisson(rate=200, duration=60), make), Shoppers(…) or a Playback")
    # A recording may have all of its messages at once, and so no duration.
    if not 0 <= real(warmup) < (workload.duration or math.inf if warmup == 0 else workload.duration):
        raise InvalidValueError("warmup", warmup, f"a number of seconds from 0 to less than the workload's {workload.duration:g}")
    expect("label", label, str, "a text")
    expect("at", {} if at is None else at, Mapping, "actions by their times: {5.0: lambda app: app.pause('stock')}")
    actions = {to_ns(seconds): action for seconds, action in (at or {}).items()}
    for action in actions.values():
        function("an action of at", action, "a function of the app, such as lambda app: app.pause('stock')", takes=1)
    if app.trace.publications:
        raise InvalidValueError("app", app, "a new app: one that was used has a past that would be measured too")
    if (clock, seed, broker) != (None, None, None):
        app.configure(clock=clock, seed=seed, broker=broker)
    if not app.clock.virtual:
        app.start()
    if first is not None:
        _run_before(app, first)
    components = tuple(app.components.values())
    with Progress(workload.duration, label or "measuring", "s") as progress:
        publisher = publisher_for(app, workload, progress)
        with closing(publisher):
            interrupted = _drive(app, publisher, actions)
    return Run(
        app.trace,
        seed=app.seed,
        clock="virtual" if app.clock.virtual else "wall",
        broker=redact(app.broker),
        label=label,
        start_ns=publisher.start_ns,
        length=workload.duration,
        warmup=warmup,
        waiting_events=sum(app.bus.outstanding(name) for name in app.components),
        turned_away=publisher.turned_away,
        unsent=publisher.unsent,
        drops_newest=frozenset(name for name, component in app.components.items() if component.when_full == "drop newest"),
        takers=takers(app, components),
        interrupted=interrupted,
        deaths=tuple(dict.fromkeys(f"{dead.component}: {dead.error} (in {dead.handler or 'no handler'}, line {dead.line})" for dead in app.dead_letters())),
    )


def takers(app: App, components: Iterable[Component]) -> dict[str, int]:
    """Return how many of *components* were to get each type that was published in *app*; nothing where the broker's receipts tell."""
    if require(app.broker, virtual=app.clock.virtual).broker.counts_queues:
        return {}
    # What such a broker drops from a full queue, nobody is told.
    bindings = [[pattern.split(".") for pattern in component.patterns] for component in components if not component.when_full.startswith("drop")]
    names = {row.name for row in app.trace.publications}
    return {name: sum(any(matches(pattern, name.split(".")) for pattern in patterns) for patterns in bindings) for name in names}


def _run_before(app: App, first: Workload) -> None:
    """Let *first* run to its end; the app goes on running."""
    try:
        with Progress(first.duration, "warming up", "s") as progress:
            publisher = publisher_for(app, first, progress)
            with closing(publisher):
                if app.clock.virtual:
                    publisher.virtual()
                    app.run_until_idle(on_error="retry")
                    app.advance(seconds=1 / NS)  # what happens at one and the same instant would belong to both
                else:
                    publisher.wall()
                    _wait(app)
    except BaseException:  # whatever it was, the app is not left running
        if not app.clock.virtual:
            app.stop()
        raise


def _drive(app: App, publisher: Publisher, actions: Actions) -> bool:
    """Run to the end; return whether somebody interrupted it."""
    try:
        if app.clock.virtual:
            for time_ns, action in actions.items():
                app.call_at(publisher.start_ns + time_ns, partial(_act, action, app))
            publisher.virtual()
            app.run_until_idle(on_error="retry")
        else:
            _drive_wall(app, publisher, actions)
    except KeyboardInterrupt:
        return True
    return False


def _act(action: Callable[[App], object], app: App) -> None:
    action(app)


def _drive_wall(app: App, publisher: Publisher, actions: Actions) -> None:
    failed: list[BaseException] = []

    def act(action: Callable[[App], object]) -> None:
        try:
            action(app)
        except BaseException as error:  # noqa: BLE001 (a thread has no caller to raise to: it is raised below)
            failed.append(error)

    # In threads of their own: an action may be what a publisher that is held up waits for.
    timers = [threading.Timer(time_ns / NS, act, [action]) for time_ns, action in actions.items()]
    for timer in timers:
        timer.daemon = True
        timer.start()
    try:
        publisher.wall()
        for timer in timers:
            timer.join()
        if failed:
            raise failed[0]
        _wait(app)
    finally:
        for timer in timers:
            timer.cancel()
        app.stop()


def _wait(app: App) -> None:
    while not _is_idle(app):
        continue


def _is_idle(app: App) -> bool:
    try:
        app.wait_until_idle(timeout=1.0)
    except WaitTimeoutError:
        return False
    return True


def measure_trials(
    make_app: Callable[[], App], workload: Workload, *, trials: int = 10, seed: int = 0, clock: Literal["wall", "virtual"] = "virtual", **options: Any
) -> list[Run]:
    """Measure *workload* several times, each time with an app and a seed of its own: the seeds are *seed*, *seed* + 1, and so on.

    Args:
        make_app: Makes a new app.
        workload: As for `measure`.
        trials: How many runs.
        seed: Of the first run.
        clock: As for `measure`.
        options: Further options of `measure`.

    Returns:
        Shape (trials,), the runs; `interval([mean(run.waiting) for run in runs])` tells how sure their mean is. Fewer if it is interrupted, wherever that was.

    Raises:
        InvalidValueError: *trials* is not 1 or more, or as for `measure`.
    """
    function("make_app", make_app, "a function that makes a new app, such as lambda: App(cart, stock): each trial needs its own", takes=0)
    whole("trials", trials)
    expect("seed", seed, Integral, "a whole number: the next trial has the next one")
    runs: list[Run] = []
    try:
        with Progress(trials, "trials", "runs") as progress:
            for number in range(trials):
                labelled = {"label": f"trial {number + 1} of {trials}", **options}
                runs.append(measure(make_app(), workload, clock=clock, seed=seed + number, **labelled))
                progress.add()
                if runs[-1].interrupted:
                    break
    except KeyboardInterrupt:
        # It came while an app was made or a run was counted: the runs before are whole.
        if not runs:
            raise
    return runs


def compare(runs: Mapping[str, Run]) -> Table:
    """Return one line for each of *runs*, by name.

    Raises:
        InvalidValueError: something else than runs by name was given.
    """
    expected = "runs by name: {'with a queue': run, 'without': other}"
    expect("runs", runs, Mapping, expected)
    for run in runs.values():
        expect("one of the runs", run, Run, f"{expected}; of run.component(…) see its summary()")
    return Table(("run", *COLUMNS), [(name, *run.line()) for name, run in runs.items()])
