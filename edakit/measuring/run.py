"""What a run has shown: latencies and throughput of all events or of one component, and an account of what became of each event."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edakit.checks import expect
from edakit.clock import NS, to_ns
from edakit.errors import InvalidValueError, UnknownComponentError
from edakit.events import EventMeta, Message, type_name
from edakit.measuring.rows import ENDS, Rows, rows_of
from edakit.measuring.statistics import Array, backlog, mean, percentile, throughput
from edakit.table import Table
from edakit.trace import OUTCOMES, Publication, Trace

__all__ = ["Deliveries", "Run", "milliseconds"]


def milliseconds(seconds: float) -> float:
    """Return *seconds* [s] in milliseconds as tables show them, to the microsecond [ms]."""
    return round(seconds * 1e3, 3)


class Deliveries:
    """Deliveries of one run, to one component or to all. Times count from the start of the run; what was due in the warm-up is left out.

    Attributes:
        label: What it is called in tables and plots.
        rows: All deliveries, in the order in which they ended.
        start_ns, end_ns: When the run began and ended [ns].
        until_ns: When the workload ended [ns]; what is handled later is left over from it.
        warmup: How much is cut off at the beginning [s].
    """

    def __init__(self, label: str, rows: Rows, start_ns: int, end_ns: int, until_ns: int, warmup: float) -> None:
        self.label, self.rows, self.start_ns, self.end_ns, self.until_ns, self.warmup = label, rows, start_ns, end_ns, until_ns, warmup

    @cached_property
    def _handled(self) -> Rows:
        """What was handled, and due after the warm-up."""
        rows = self.rows
        return rows.where((rows.outcome == "handled") & (rows.due_at >= self._begin_ns))

    @property
    def _begin_ns(self) -> int:
        """When the warm-up is over [ns]: whole, since 1/3 s and its nanoseconds are not the same."""
        return self.start_ns + to_ns(self.warmup)

    @property
    def latency(self) -> Array:
        """From the time when it was due to the end of its handling, shape (n,), one entry a handled delivery [s]."""
        return (self._handled.done_at - self._handled.due_at) / NS

    @property
    def waiting(self) -> Array:
        """From publication to the beginning of the attempt that succeeded, shape (n,) [s]."""
        return (self._handled.started_at - self._handled.published_at) / NS

    @property
    def service(self) -> Array:
        """From the beginning of the attempt that succeeded to its end, shape (n,) [s]."""
        return (self._handled.done_at - self._handled.started_at) / NS

    @property
    def due_at(self) -> Array:
        """When each was due, shape (n,), from the start of the run [s]."""
        return (self._handled.due_at - self.start_ns) / NS

    @property
    def done_at(self) -> Array:
        """When each was handled, shape (n,), from the start of the run [s]."""
        return (self._handled.done_at - self.start_ns) / NS

    @property
    def duration(self) -> float:
        """From the start of the run to its end [s]."""
        return (self.end_ns - self.start_ns) / NS

    @property
    def events(self) -> int:
        """How many different events were handled [events]."""
        return self._different

    @cached_property
    def _different(self) -> int:
        return np.unique(self._handled.event).size

    @property
    def throughput(self) -> float:
        """How many different events were handled in each second from the warm-up to the end of the workload, by whomever [1/s].

        An event counts where its last handling ended, whenever it was due. What is handled after the end of the workload does not count, and
        neither does that time: while the last answers come in, fewer and fewer are at work. Not a number if no time has passed.

        Source:
            "Throughput", completions over the length of the observation, in Denning and Buzen (1978), "The Operational Analysis of Queueing
            Network Models", ACM Computing Surveys 10(3), 225-261.
        """
        rows, seconds = self.rows.where(self.rows.outcome == "handled"), (self.until_ns - self._begin_ns) / NS
        _, last = np.unique(rows.event[::-1], return_index=True)
        done = rows.done_at[::-1][last]
        return np.count_nonzero((done >= self._begin_ns) & (done <= self.until_ns)) / seconds if seconds > 0 else math.nan

    def throughput_in(self, edges: ArrayLike) -> Array:
        """Return how many different events were handled in each bin, per second; an event counts where its last handling ended.

        Args:
            edges: Shape (m + 1,), where the bins begin and end, ascending, from the start of the run [s].

        Returns:
            Shape (m,), without what was due in the warm-up [1/s].

        Raises:
            InvalidValueError: *edges* do not ascend.
        """
        # Rows stand in the order in which they ended: seen from the end, the first of an event is its last.
        _, last = np.unique(self._handled.event[::-1], return_index=True)
        return throughput(self.done_at[::-1][last], edges)

    def backlog_at(self, times: ArrayLike) -> NDArray[np.int64]:
        """Return how many deliveries were due and not yet over at each of *times*, the warm-up included [deliveries].

        Waiting, being handled and about to be tried again all count, and so does what a blocked publisher still has to publish.
        An event that three components are to handle counts three times. What never ended is known of a whole run only.

        Args:
            times: Shape (m,), when to look, from the start of the run [s].
        """
        came, left = self._inside
        return backlog(came, left, times)

    @cached_property
    def _inside(self) -> tuple[Array, Array]:
        return self._stays()

    def _stays(self) -> tuple[Array, Array]:
        """When each delivery was due, and when it was over (NaN: not yet), both of shape (n,) [s]."""
        rows = self.rows.where(np.isin(self.rows.outcome, ENDS))
        # The first end counts: what is handled a second time has left already.
        _, first = np.unique(rows.pairs(), return_index=True)
        return (rows.due_at[first] - self.start_ns) / NS, (rows.done_at[first] - self.start_ns) / NS

    @property
    def twice(self) -> int:
        """How often a component handled an event that it had handled before [deliveries]."""
        rows = self.rows.where(self.rows.outcome == "handled")
        return rows.event.size - np.unique(rows.pairs()).size

    @property
    def dead(self) -> int:
        """How many events became dead letters, once for each component that gave one up [deliveries]."""
        return self.count("dead")

    @property
    def refused(self) -> int:
        """How many events a full queue did not keep [deliveries]."""
        return self.count("refused")

    def count(self, outcome: str) -> int:
        """Return how many deliveries had this *outcome* (see `Trace`), the warm-up included [deliveries].

        Raises:
            InvalidValueError: there is no such outcome.
        """
        if outcome not in OUTCOMES:
            raise InvalidValueError("outcome", outcome, f"one of {', '.join(OUTCOMES)}")
        return int(np.count_nonzero(self.rows.outcome == outcome))

    def percentile(self, q: float) -> float:
        """Return the latency that *q* % of the handled deliveries do not exceed (nearest rank) [s].

        Raises:
            InvalidValueError: *q* is not from 1 to 100 (99 for p99).
            NothingMeasuredError: nothing was handled after the warm-up.
        """
        return percentile(self.latency, q)

    def summary(self) -> Table:
        """Return waiting, service and latency: mean, percentiles, longest [ms]."""
        parts = [("waiting", self.waiting), ("service", self.service), ("latency", self.latency)]
        rows = [(name, *_described(values)) for name, values in parts]
        says = f"{self.label}: nothing was handled."
        if self.latency.size:
            says = f"{self.label}: {_per_second(self.throughput)} events/s were handled; each waited {rows[0][1]} ms on average and took {rows[1][1]} ms."
        return Table(("", "mean [ms]", "p50 [ms]", "p95 [ms]", "p99 [ms]", "longest [ms]"), rows, says=says)


def _described(values: Array) -> list[float | None]:
    if not values.size:
        return [None] * 5
    return [milliseconds(mean(values)), *(milliseconds(percentile(values, q)) for q in (50, 95, 99, 100))]


def _per_second(rate: float) -> float:
    return round(rate, 1)


@dataclass(repr=False, eq=False)
class Run(Deliveries):
    """What one run has shown.

    Latencies, throughput and `events` leave the warm-up out; the account (lost, twice, dead, refused, unrouted) has all of it.

    Args:
        trace: What happened.
        seed: Of everything that was drawn.
        clock: "virtual" or "wall".
        broker: Its address.
        label: What the run is called in tables and plots.
        start_ns: When the run began [ns]; by default when its first event was due.
        length: How long the workload was meant to last [s]; 0 if nobody knows, and then throughput counts until the end.
        warmup: How much is cut off at the beginning [s].
        waiting_events: How many deliveries still waited or were being handled when the run ended [deliveries].
        turned_away: How many messages were not taken because a queue was full and its policy is to raise [messages].
        unsent: How many messages were never published, because a publisher was blocked or the run was interrupted [messages].
        drops_newest: Components whose full queue drops what comes: they are not among the queues that took such an event.
        takers: How many components were to get each type of event, for brokers whose receipts do not tell how many queues took one.
        interrupted: Whether somebody stopped the run before its end; what was measured until then is here.
        deaths: One line for each different reason of a dead letter: component, exception, handler and line.
    """

    trace: Trace
    seed: int = 0
    clock: str = "virtual"
    broker: str = "memory://"
    label: str = ""
    start_ns: int = -1
    length: float = 0.0
    warmup: float = 0.0
    waiting_events: int = 0
    turned_away: int = 0
    unsent: int = 0
    drops_newest: frozenset[str] = field(default_factory=frozenset)
    takers: Mapping[str, int] = field(default_factory=dict)
    interrupted: bool = False
    deaths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        expect("trace", self.trace, Trace, "the Trace of an app; measure(app, workload) returns a whole Run")
        self.publications: list[Publication] = self.trace.publications
        rows = rows_of(self.trace)
        if self.start_ns < 0:
            self.start_ns = min((row.due_at for row in self.publications), default=0)
        ends = [int(rows.done_at.max(initial=self.start_ns)), max((row.published_at for row in self.publications), default=self.start_ns)]
        meant = self.start_ns + round(self.length * NS)
        end = max(ends) if self.interrupted else max(*ends, meant)
        Deliveries.__init__(self, self.label or "run", rows, self.start_ns, end, min(meant, end) if self.length else end, self.warmup)

    @property
    def events(self) -> int:
        """How many events were published, commands included, by the workload and by handlers [events]."""
        begin = self._begin_ns
        return sum(row.due_at >= begin for row in self.publications)

    @property
    def unrouted(self) -> int:
        """How many events were published to nobody [events]; those that a full queue refused are not among them."""
        refused = set(self.rows.event[self.rows.outcome == "refused"].tolist())
        return sum(row.queues == 0 and number not in refused for number, row in enumerate(self.publications))

    @property
    def refused(self) -> int:
        """How many events a full queue did not take, or dropped for newer ones [deliveries]."""
        return self.count("refused") + self.turned_away

    @property
    def lost(self) -> int:
        """How many deliveries are missing: so many queues had taken events of which their component never came to an end [deliveries].

        An end is: handled, dead, ignored, a duplicate that the inbox knew, or dropped by a full queue for newer ones. What still waits is not lost.
        Where receipts do not tell how many queues took an event, those count whose component was there from the beginning and drops nothing.
        """
        missing = int(np.maximum(0, self._open).sum())
        # What waits may be a second copy of something that was handled, and then was not missing.
        return max(0, missing - self.waiting_events)

    def component(self, name: str) -> Deliveries:
        """Return the deliveries to component *name* alone.

        Raises:
            UnknownComponentError: it got none.
        """
        mine = self.rows.component == (name if isinstance(name, str) else "")
        if not mine.any():
            raise UnknownComponentError(name, sorted(set(self.rows.component.tolist())))
        return Deliveries(name, self.rows.where(mine), self.start_ns, self.end_ns, self.until_ns, self.warmup)

    @cached_property
    def _open(self) -> NDArray[np.int64]:
        """How many of the queues that took each publication have not come to an end with it; negative where the broker cannot tell who took it."""
        rows = self.rows
        kept = ~((rows.outcome == "refused") & np.isin(rows.component, sorted(self.drops_newest)))
        ended = rows.where(kept & np.isin(rows.outcome, ENDS))
        _, once = np.unique(ended.pairs(), return_index=True)
        number = len(self.publications)
        taken = [row.queues if row.queues >= 0 else self.takers.get(row.name, -1) for row in self.publications]
        return np.array(taken, dtype=np.int64) - np.bincount(ended.event[once], minlength=number)[:number]

    def _stays(self) -> tuple[Array, Array]:
        came, left = super()._stays()
        due = np.array([row.due_at for row in self.publications], dtype=np.int64)
        waiting = np.repeat(due, np.maximum(0, self._open))
        return np.append(came, (waiting - self.start_ns) / NS), np.append(left, np.full(waiting.size, np.nan))

    @property
    def components(self) -> list[str]:
        """The names of the components that events were delivered to, in the order of their first delivery."""
        return list(dict.fromkeys(self.rows.component.tolist()))

    def end_to_end(self, event_type: type[Message] | str) -> Array:
        """Return how long it took from when a chain was due to begin until an event of *event_type* was published in it.

        Returns:
            Shape (n,), one entry for each such event whose chain was due after the warm-up [s]; an order confirmed, say, after its check-out.

        Raises:
            InvalidValueError: *event_type* is no class of events, and no name of one.
        """
        if not isinstance(event_type, str | EventMeta):
            raise InvalidValueError("event_type", event_type, "a class of events or its name, such as OrderConfirmed or 'order.confirmed'")
        name = event_type if isinstance(event_type, str) else type_name(event_type)
        begun = {row.event: row.due_at for row in self.publications}
        begin = self._begin_ns
        times = [row.published_at - begun[row.correlation] for row in self.publications if row.name == name and begun.get(row.correlation, -1) >= begin]
        return np.array(times, dtype=np.int64) / NS

    def line(self) -> list[object]:
        """Return one line of a table about runs: see `COLUMNS`."""
        latency = _described(self.latency)[1:4]
        return [self.events, None if math.isnan(self.throughput) else _per_second(self.throughput), *latency, self.lost, self.twice, self.dead, self.unrouted]

    @property
    def table(self) -> Table:
        """The run in one line."""
        says = f"seed {self.seed}, {self.clock} clock, {self.broker}" + ("; interrupted" if self.interrupted else "")
        return Table(
            COLUMNS, [self.line()], title=self.label if self.label != "run" else "", says="\n".join([*(f"Dead: {death}" for death in self.deaths), says])
        )

    def __repr__(self) -> str:
        return repr(self.table)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


COLUMNS = ("events", "throughput [1/s]", "p50 [ms]", "p95 [ms]", "p99 [ms]", "lost", "twice", "dead", "unrouted")
"""What `Run.line` has: latencies are those of all handled deliveries."""
