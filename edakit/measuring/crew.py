"""Several workers that share one queue, in virtual time: each with a bag of its own, as a process has it that serves a broker from afar.

Inside of one process a worker takes the next message when it is free, and nothing lies in between. Here the broker sends up to *prefetch*
messages ahead, which is what RabbitMQ does, and a worker that dies takes its whole bag with it. Queue, redelivery and acks are those of `memory://`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from numbers import Real
from random import Random
from typing import Any, Final, Literal, cast

from edakit.bus import Bus
from edakit.checks import whole
from edakit.clock import NS, VirtualClock, to_ns
from edakit.component import Component
from edakit.delivery import Crash, Delivery, Hooks
from edakit.distributions import Constant
from edakit.errors import InvalidValueError
from edakit.events import Event
from edakit.loop import EventLoop, virtual_sleep
from edakit.measuring.attempts import Attempt, CrewRun, Death
from edakit.measuring.statistics import floats
from edakit.server import Server

__all__ = ["ACKS", "MOMENTS", "QUEUE", "ParcelOrdered", "run_crew", "two_deaths"]

ACKS: Final = ("after the work", "before the work", "on receipt")
"""When a worker tells the broker that it may forget a message."""

MOMENTS: Final = ("before packing", "after packing")
"""When a worker can die in the midst of an order: its parcel is not packed yet, or packed and the handler has not ended."""

DEATHS: Final = {0: {3: MOMENTS[0], 5: MOMENTS[1]}}
"""Of `two_deaths`: one for each of the moments."""

QUEUE: Final = "packing"
"""Name of the component, and of its queue."""


class ParcelOrdered(Event):
    """An order is to be packed.

    Attributes:
        number: Its place among the orders, from 0.
    """

    number: int


def run_crew(
    *,
    workers: int = 2,
    prefetch: int = 10,
    ack: Literal["after the work", "before the work", "on receipt"] = "after the work",
    orders: int = 40,
    takes: float | Sequence[float] = 0.05,
    round_trip: float = 0.0,
    kills: Mapping[int, Mapping[int, str]] | None = None,
    away: float = 0.3,
) -> CrewRun:
    """Let *workers* share a queue in which *orders* wait, and return what each of them did.

    Args:
        workers: How many.
        prefetch: Most messages that a worker has and has not acked [messages].
        ack: When a worker acks, one of `ACKS`.
        orders: How many orders there are, all at the beginning.
        takes: How long an order takes [s]; one number, or one for each worker.
        round_trip: From an ack until the next message is there [s].
        kills: Who dies at which of its own orders, and when: `{0: {3: "before packing"}}` is the first worker at its third order.
        away: How long a worker is gone that died, and what it had invisible [s].

    Raises:
        InvalidValueError: an argument is outside of what makes sense.
    """
    for label, number in (("workers", workers), ("prefetch", prefetch), ("orders", orders)):
        whole(label, number)
    if ack not in ACKS:
        raise InvalidValueError("ack", ack, f"one of {ACKS}")
    kills = {} if kills is None else kills
    if not isinstance(kills, Mapping) or not all(isinstance(kill, Mapping) for kill in kills.values()):
        raise InvalidValueError("kills", kills, f"for each worker at which of its orders it dies: {DEATHS}")
    if strangers := [worker for worker in kills if worker not in range(workers)]:
        raise InvalidValueError("kills", strangers, f"numbers of workers from 0 to {workers - 1}")
    moments = {moment for kill in kills.values() for moment in kill.values()}
    if not moments <= set(MOMENTS):
        raise InvalidValueError("kills", sorted(map(str, moments)), f"for each worker at which of its orders it dies, and one of {MOMENTS}")
    times = floats([takes] * workers if isinstance(takes, Real) else takes, "takes").tolist()
    if len(times) != workers:
        raise InvalidValueError("takes", takes, f"one number, or {workers}: one for each worker")
    crew = _Crew(times, prefetch, ack, kills, away, round_trip)
    return crew.run(orders)


def two_deaths(workers: int = 2, prefetch: int = 5, ack: Literal["after the work", "before the work", "on receipt"] = "after the work") -> CrewRun:
    """Let 60 orders of 50 ms be packed while the first worker dies twice: at its third order before packing, at its fifth after packing.

    Each time it comes back after 200 ms. Where nothing is left for it by then, it dies once. Arguments and errors are those of `run_crew`.
    """
    return run_crew(workers=workers, prefetch=prefetch, ack=ack, orders=60, kills=DEATHS, away=0.2)


class _Worker(Server):
    """One process: a bag of its own, a connection of its own.

    Attributes:
        bag: What the broker has sent and nobody has begun.
        on_its_way: How many acks the broker has not heard of yet [messages].
    """

    def __init__(self, number: int, component: Component, bus: Bus, crew: _Crew) -> None:
        super().__init__(component, bus, Random(number), virtual_sleep)
        self.number, self.crew = number, crew
        self.bag: deque[Any] = deque()
        self.take = self._from_bag
        self.on_its_way = 0
        # The rows of its deliveries carry its number.
        self.free = [number]

    @property
    def room(self) -> int:
        """How many more messages the broker may send, as far as the broker knows [messages]."""
        has = len(self.bag) if self.crew.ack == "on receipt" else self.subscription.in_flight
        return self.component.prefetch - has - self.on_its_way if self.alive else 0

    @property
    def alive(self) -> bool:
        """Whether it is not gone."""
        return self.now_ns() >= self.back_ns

    back_ns = 0

    @property
    def has_more(self) -> bool:
        """Whether something is in the bag."""
        return bool(self.bag)

    def _from_bag(self) -> Any | None:
        return self.bag.popleft() if self.bag else None

    def crashed(self, delivery: Delivery, crash: Crash | None = None) -> None:
        """Die: what was not acked comes back, the bag with it."""
        super().crashed(delivery, crash)
        if crash is None:  # a person pressed Stop
            return
        self.back_ns = self.now_ns() + crash.restart_ns
        for message in self.bag:
            if not message.acknowledged:
                message.retry(self.back_ns, attempt=False)
        self.bag.clear()
        self.crew.died(self)


class _Crew:
    """A bus, its workers, and the broker's habit of handing out in turn."""

    def __init__(self, takes: Sequence[float], prefetch: int, ack: str, kills: Mapping[int, Mapping[int, str]], away: float, round_trip: float) -> None:
        self.ack, self.kills = ack, kills
        self.away_ns, self.round_trip_ns = to_ns(away), to_ns(round_trip)
        clock, hooks = VirtualClock(), Hooks()
        self.bus, self.loop = Bus("memory://", clock=clock, seed=0, hooks=hooks), EventLoop(clock)
        hooks.on("started", lambda _, delivery: self._begin(delivery))
        hooks.on("handled", lambda _, delivery: self._end(delivery))
        # Where the ack does not wait for the work, there is room for the next message as soon as this one is begun.
        hooks.on("acked" if ack == "after the work" else "started", lambda _, delivery: self._acked(delivery))
        self.begun: list[int] = [0] * len(takes)
        self.open: dict[int, int] = {}
        self.attempts: list[Attempt] = []
        self.deaths: list[Death] = []
        options: Any = {"prefetch": prefetch, "ack": "before" if ack == "before the work" else "after"}
        components = [Component(QUEUE, takes=Constant(time), **options) for time in takes]
        for component in components:
            component.on(ParcelOrdered)(self._pack)
        self.bus.declare(components[0])
        self.workers = [_Worker(number, component, self.bus, self) for number, component in enumerate(components)]
        self.turn = deque(self.workers)

    def run(self, orders: int) -> CrewRun:
        """Publish, let everybody work, and say what happened."""
        self.bus.publish_many(ParcelOrdered(number=number) for number in range(orders))
        for worker in self.workers:
            self.loop.add(worker)
        self.deal()
        self.loop.run()
        waiting = self.bus.outstanding(QUEUE)
        self.bus.close()
        return CrewRun(orders, len(self.workers), tuple(self.attempts), tuple(self.deaths), waiting)

    def deal(self) -> None:
        """Hand out what waits, one message a worker in turn, as long as somebody has room."""
        refused = 0
        while refused < len(self.workers):
            worker = self.turn[0]
            self.turn.rotate(-1)
            message = worker.subscription.get() if worker.room > 0 else None
            refused = 0 if message else refused + 1
            if message:
                if self.ack == "on receipt":
                    message.ack()
                worker.bag.append(message)
                self.loop.resume(worker)

    def died(self, worker: _Worker) -> None:
        """Take note, and hand out again when the broker knows and the worker is back."""
        self.deaths.append(Death(worker.number, self.now))
        self.loop.call_at(worker.back_ns, self.deal)

    @property
    def now(self) -> float:
        """The time [s]."""
        return self.bus.clock.now_ns() / NS

    def _acked(self, delivery: Delivery) -> None:
        worker = self.workers[delivery.worker]
        worker.on_its_way += 1
        self.loop.call_at(self.bus.clock.now_ns() + self.round_trip_ns, lambda: self._heard(worker))

    def _heard(self, worker: _Worker) -> None:
        worker.on_its_way -= 1
        self.deal()

    def _begin(self, delivery: Delivery) -> None:
        self.open[delivery.worker] = len(self.attempts)
        self.attempts.append(Attempt(delivery.event.number, delivery.worker, delivery.message.redelivered, self.now, None, None))

    def _pack(self, _event: ParcelOrdered, context: Any) -> None:
        worker = context.worker
        self.begun[worker] += 1
        moment = self.kills.get(worker, {}).get(self.begun[worker])
        if moment == MOMENTS[0]:
            raise Crash(self.away_ns)
        self._note(worker, packed=self.now)
        if moment == MOMENTS[1]:
            raise Crash(self.away_ns)

    def _end(self, delivery: Delivery) -> None:
        self._note(delivery.worker, ended=self.now)

    def _note(self, worker: int, **times: float) -> None:
        place = self.open[worker]
        self.attempts[place] = self.attempts[place]._replace(**cast("Any", times))
