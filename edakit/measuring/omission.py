"""What a test leaves out: the same deliveries counted from publication, and a whole minute with a stall, asked in three ways."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from edakit.app import App
from edakit.checks import expect
from edakit.clock import to_ns
from edakit.errors import InvalidValueError
from edakit.events import Command, Event
from edakit.measuring.checks import positive
from edakit.measuring.experiment import measure
from edakit.measuring.run import Deliveries
from edakit.measuring.workload import Arrivals, ClosedLoop, Each, Steady

__all__ = ["LOAD_MODELS", "START", "load_test", "since_published"]

LOAD_MODELS: Final = ("waits for each answer", "on time, counted from publication", "on time, counted from when it was due")
"""Three ways to ask the same system."""

START: Final = 25.0
"""When the stall of a load test begins [s]."""

BOUND: Final = 10
"""Most events in the queue that holds its publisher back [events]."""


def since_published(deliveries: Deliveries) -> Deliveries:
    """Return *deliveries* as a log would show them that begins with the publication: how late it was published is forgotten.

    Latency is then waiting and service alone. This is what a test reports whose own sender was held up.

    Source:
        "Coordinated omission": Tene (2013), "How NOT to Measure Latency", Strange Loop.
    """
    expect("deliveries", deliveries, Deliveries, "a run, or run.component('stock')")
    rows = deliveries.rows
    times = deliveries.start_ns, deliveries.end_ns, deliveries.until_ns
    return Deliveries(deliveries.label, rows._replace(due_at=rows.published_at), *times, deliveries.warmup)


def load_test(  # noqa: PLR0913 (each is one choice of the experiment)
    make_app: Callable[..., App],
    make: Callable[[int, Random], Event | Command],
    component: str,
    *,
    model: str = LOAD_MODELS[0],
    rate: float = 100.0,
    stall: float = 1.0,
    start: float = START,
    duration: float = 60.0,
    seed: int = 7,
) -> Deliveries:
    """Ask *component* for a while, in virtual time; it stands still once; return what this kind of test has written down.

    Args:
        make_app: Makes a new app; takes options of components, such as `cart_bound=10`.
        make: Called with a number, from 0, and a `random.Random`; returns the message.
        component: Who stands still, and whose deliveries count.
        model: One of `LOAD_MODELS`. Counted from publication, its queue has room for 10 events, and whoever publishes waits for room.
        rate: How often it is asked [1/s].
        stall: How long it stands still [s]; 0 for not at all.
        start: When it does so [s].
        duration: How long the test lasts [s].
        seed: Of everything that is drawn.

    Raises:
        InvalidValueError: *model* is unknown, or as for `measure` and the arrivals.
    """
    if model not in LOAD_MODELS:
        raise InvalidValueError("model", model, f"one of {LOAD_MODELS}")
    positive("rate", rate, "number of events per second")
    waits, held_up = model == LOAD_MODELS[0], model == LOAD_MODELS[1]
    on_time = Steady(rate, duration)  # made in each case: it refuses a rate that makes no sense
    arrivals: Arrivals = ClosedLoop(testers=1, every=1 / rate, duration=duration) if waits else on_time
    app = make_app(**{f"{component}_bound": BOUND, f"{component}_when_full": "wait"} if held_up else {})
    to_ns(stall)  # refuses one that ends before it begins
    # Zero seconds are no stall; a pause and a resume at one time would be two actions without an order.
    at = {start: lambda app: app.pause(component), start + stall: lambda app: app.resume(component)} if stall else {}
    seen = measure(app, Each(arrivals, make), clock="virtual", seed=seed, at=at, label=model).component(component)
    return since_published(seen) if held_up else seen
