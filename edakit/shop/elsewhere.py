"""A day played back to worker processes: this process is the shoppers, and at the end the auditor, who reads what the broker has kept."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

from edakit.app import App
from edakit.bus import Bus
from edakit.errors import InvalidValueError
from edakit.events import Command, Event, Message, type_name
from edakit.measuring import Run, percentile
from edakit.measuring.progress import Progress
from edakit.measuring.publisher import publisher_for
from edakit.measuring.run import milliseconds
from edakit.measuring.statistics import Array
from edakit.replay import Replayed
from edakit.shop.account import missing
from edakit.shop.app import Shop, build_shop
from edakit.shop.errors import PastError
from edakit.shop.events import AddItem, CartItemAdded, CheckOut, OrderConfirmed
from edakit.shop.journal import past
from edakit.shop.processes import COMMAND, WorkerProcesses
from edakit.shop.recording import RecordedDay
from edakit.shop.restore import DECIDERS, restore
from edakit.table import Table
from edakit.trace import Trace
from edakit.transports.address import redact, require

__all__ = ["Elsewhere", "play_back_to_workers"]

_PATIENCE: Final = 60.0
"""Without one more event, until the rest counts as missing [s]: longer than any session, lease or wait between attempts."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Elsewhere:
    """What came of it.

    Attributes:
        shop: What the components of the workers have come to; its trace has every event that was published.
        run: The same trace, to be measured.
        unsettled: How many check-outs have neither a confirmed nor a cancelled order [orders].
        workers: The processes, which have ended.
    """

    shop: Shop
    run: Run
    unsettled: int
    workers: WorkerProcesses

    def table(self) -> Table:
        """How long after it was due each product was in its cart and each order confirmed, killed workers and all."""
        kinds = (("product in its cart", CartItemAdded), ("order confirmed", OrderConfirmed))
        rows = [(what, times.size, *_percentiles(times)) for what, event_type in kinds if (times := self.run.end_to_end(event_type)).size]
        return Table(("", "events", "p50 [ms]", "p95 [ms]", "p99 [ms]", "longest [ms]"), rows, says=self._says())

    def _says(self) -> str:
        killed = "".join(
            f"The worker of {name} was killed, and another one served {away:.1f} s later. "
            for name, away in zip(self.workers.killed, self.workers.away, strict=False)
        )
        return f"{killed}{self.run.events:,} events over {self.run.broker}."


def _percentiles(times: Array) -> list[float]:
    return [milliseconds(percentile(times, q)) for q in (50, 95, 99, 100)]


class _Killing:
    """A day on which a worker is killed when half of the largest order's products have been sent.

    Args:
        day: The day.
        workers: Among whom somebody is killed.
        component: Whose worker that is; None for nobody's.
    """

    def __init__(self, day: RecordedDay, workers: WorkerProcesses, component: str | None) -> None:
        self.day, self.workers, self.component, self.duration = day, workers, component, day.duration

    def messages(self, random: Random) -> Iterator[tuple[int, Event | Command]]:
        """Yield the day's messages."""
        steps = list(self.day.messages(random))
        moment = _moment([message for _, message in steps]) if self.component else -1
        for number, step in enumerate(steps):
            if self.component and number == moment:
                self.workers.kill(self.component)
            yield step


def _moment(messages: Sequence[Message]) -> int:
    carts = [message.cart_id if isinstance(message, AddItem) else "" for message in messages]
    [(largest, _)] = Counter(filter(None, carts)).most_common(1)
    places = [place for place, cart_id in enumerate(carts) if cart_id == largest]
    return places[len(places) // 2]


def play_back_to_workers(
    day: RecordedDay, broker: str, *, workers: int, kill: str | None = None, seed: int = 0, command: Sequence[str] = COMMAND, patience: float = _PATIENCE
) -> Elsewhere:
    """Let the shoppers of *day* into a shop whose components run in *workers* processes, and wait until every order is settled.

    Args:
        day: What is played back.
        broker: Address of a broker, on which nothing of a shop was published before.
        workers: How many processes; the components are dealt out among them.
        kill: A component whose worker is killed half-way through the day's largest order, and started again.
        seed: As for `build_shop`.
        command: What starts a worker.
        patience: How long nothing may happen until what is not done counts as missing [s].

    Raises:
        CapabilityError: the broker lives in one process.
        InvalidValueError: the shop refuses all lines of the day.
        PastError: something was published on it before.
        WorkerEndedError: a worker did not become ready.
        BrokerURLError, BrokerError: as for `Bus`.
    """
    require(broker, virtual=False).broker.need("processes", "play a day back to workers")
    if not day.accepted:
        raise InvalidValueError("lines", f"{len(day.lines)} that are refused", "a day of which the shop takes at least one")
    with closing(Bus(broker)) as bus:
        if number := sum(1 for _ in past(bus)):
            raise PastError(number)
    with TemporaryDirectory() as folder:
        catalogue = Path(folder) / "catalogue.csv"
        day.catalogue().write(catalogue)
        with WorkerProcesses(broker, catalogue, workers, command) as processes, closing(build_shop(components=(), broker=broker, seed=seed)) as shoppers:
            start_ns = _publish(day, shoppers, processes, kill)
            shop, unsettled = _audit(day, shoppers, patience)
    label = f"{day.lines[0].time:%Y-%m-%d}, {day.speedup:g} times as fast, {workers} workers"
    run = Run(shop.trace, seed=seed, clock="wall", broker=redact(broker), label=label, start_ns=start_ns, length=day.duration)
    return Elsewhere(shop, run, unsettled, processes)


def _publish(day: RecordedDay, shoppers: App, processes: WorkerProcesses, kill: str | None) -> int:
    """Publish everything when it is due; return when the day began [ns]."""
    with Progress(day.duration, "the day", "s") as progress:
        publisher = publisher_for(shoppers, _Killing(day, processes, kill), progress)
        publisher.wall()
    return publisher.start_ns


def _audit(day: RecordedDay, shoppers: App, patience: float) -> tuple[Shop, int]:
    """Wait until nothing is missing, or nothing happens any more; return the shop, and how many orders are not settled."""
    due = {row.event: row.due_at for row in shoppers.trace.publications}
    checkouts = sum(row.name == type_name(CheckOut) for row in shoppers.trace.publications)
    events, changed = -1, time.monotonic()
    while True:
        shop = _rebuilt(day, shoppers.broker, due)
        counts = shop.state.orders.counts()
        unsettled = checkouts - counts["confirmed"] - counts["cancelled"]
        if not (unsettled or missing(day, shop)) or time.monotonic() - changed > patience:
            return shop, unsettled
        if events != len(shop.trace.publications):
            events, changed = len(shop.trace.publications), time.monotonic()
        time.sleep(0.5)


def _rebuilt(day: RecordedDay, url: str, due: Mapping[str, int]) -> Shop:
    """Return a shop that has come to where those of the workers are, with a trace of what was published."""
    shop = build_shop(components=DECIDERS, catalogue=day.catalogue(), broker="memory://")
    with closing(Bus(url)) as bus:
        restore(shop, DECIDERS, _traced(past(bus), shop.trace, due))
    return shop


def _traced(events: Iterator[Replayed], trace: Trace, due: Mapping[str, int]) -> Iterator[Replayed]:
    for each in events:
        context = each.context
        published = (datetime.fromisoformat(context.time) - _EPOCH) // timedelta(microseconds=1) * 1000 if context.time else 0
        chain = (context.id, context.causation_id or "", context.correlation_id)
        trace.published((*chain, context.type, context.source, due.get(context.id, published), published, -1))
        yield each
