"""One round: each measurement of all peers, one right after the other, so that a machine that slows down slows all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from tests.bench.brokers.plan import COUNTS, OURS, PEERS, RATES, SQLITE, Peer
from tests.bench.brokers.sides import Side

Sides = dict[str, tuple[Side, Side]]
Forget = Callable[[Peer, str, int], int]
ACKS = {"in blocks": True, "one by one": False}
SLICES = 3


class Row(NamedTuple):
    """One value of one peer in one round."""

    broker: str
    measure: str
    peer: str
    round: int
    value: float


class Round:
    """One round on RabbitMQ or Kafka. What is compared is measured in slices, all peers in turn: what slows the machine down for seconds meets all of them.

    Args:
        broker: Its name.
        sides: Publisher and consumer of each peer.
        number: Of the round.
        scale: What the counts are multiplied with.
        forget: Removes what was left in a place, given the peer, the place and how much should be there; returns how much was.
    """

    def __init__(self, broker: str, sides: Sides, number: int, scale: float, forget: Forget) -> None:
        self.broker, self.sides, self.number, self.forget = broker, sides, number, forget
        self.counts = {name: max(100, int(count * scale)) for name, count in COUNTS[broker].items()}
        self.scale = min(1.0, scale)
        peers = PEERS[broker]
        # Nobody is always the first, who may find the broker at rest.
        self.peers = [peers[(number + place) % len(peers)] for place in range(len(peers))]

    def rows(self) -> Iterator[Row]:
        """Measure, and yield each value as it is known."""
        for guarantee in self.counts:
            yield from self._publish(guarantee)
        for peer in self.peers:
            yield from self._consume(peer)
        yield from self._ack(next(peer for peer in self.peers if peer.name == OURS)) if self.broker == "RabbitMQ" else ()
        for peer in self.peers:
            yield from self._through(peer)
        for rate in RATES:
            yield from self._latencies(rate)

    def _in_turn(self, peers: list[Peer]) -> Iterator[tuple[Peer, int]]:
        """Yield each of *peers* with the number of its slice, each slice in another order."""
        for number in range(SLICES):
            for place in range(len(peers)):
                yield peers[(number + place) % len(peers)], number

    def _row(self, peer: Peer, measure: str, value: float) -> Row:
        return Row(self.broker, measure, peer.name, self.number, value)

    def _place(self, peer: Peer, purpose: str) -> str:
        place = f"b{self.number}-{peer.module.replace('_', '-')}-{purpose}"
        self.sides[peer.name][0].ask(do="declare", place=place)
        return place

    def _publish(self, guarantee: str) -> Iterator[Row]:
        peers = [peer for peer in self.peers if guarantee == "each" or getattr(peer, guarantee)]
        count, found = self.counts[guarantee], defaultdict[str, list[tuple[float, float, int]]](list)
        for peer, number in self._in_turn(peers):
            place = self._place(peer, f"{guarantee}-{number}")
            answer = self.sides[peer.name][0].ask(do="publish", place=place, count=count, guarantee=guarantee)
            sent = count + 1  # one comes before the clock starts
            lost = sent - self.forget(peer, place, sent) if guarantee == "none" and self.broker == "RabbitMQ" else self._forget(peer, place, sent)
            found[peer.name].append((seconds(answer), answer["cpu"], lost))
        for peer in peers:
            wall, cpu, lost = map(sum, zip(*found[peer.name], strict=True))
            yield self._row(peer, f"publish {guarantee} [1/s]", SLICES * count / wall)
            yield self._row(peer, f"publish {guarantee}, CPU [µs]", cpu / (SLICES * count) * 1e6)
            if guarantee == "none" and self.broker == "RabbitMQ":
                yield self._row(peer, "publish none, lost [events]", lost)

    def _forget(self, peer: Peer, place: str, count: int) -> int:
        """Remove a place; what was acked must be gone, and what was confirmed must be there: return how much is missing, nothing."""
        if (found := self.forget(peer, place, count)) != count:
            raise LostError(f"{peer.name} left {found} events in {place}, not {count}")
        return 0

    def _consume(self, peer: Peer) -> Iterator[Row]:
        count = self.counts["pipelined"] if peer.pipelined else 2 * self.counts["each"]
        rate, cpu = self._consumed(peer, self._filled(peer, "filled", count), count)
        yield self._row(peer, "consume [1/s]", rate)
        yield self._row(peer, "consume, CPU [µs]", cpu)

    def _ack(self, peer: Peer) -> Iterator[Row]:
        """Consume with acks in blocks and with acks one by one, in turn; yield the middle of each."""
        count, found = 2 * self.counts["pipelined"], {kind: list[tuple[float, float]]() for kind in ACKS}
        for number in range(SLICES):
            for kind in sorted(ACKS, reverse=bool((self.number + number) % 2)):
                place = self._filled(peer, f"{kind.replace(' ', '-')}-{number}", count)
                found[kind].append(self._consumed(peer, place, count, block=ACKS[kind]))
        for kind, values in found.items():
            rates, cpus = zip(*values, strict=True)
            yield self._row(peer, f"consume, acks {kind} [1/s]", median(rates))
            yield self._row(peer, f"consume, acks {kind}, CPU [µs]", median(cpus))

    def _filled(self, peer: Peer, purpose: str, count: int) -> str:
        """Return a place with *count* events in it."""
        place = self._place(peer, purpose)
        self.sides[peer.name][0].ask(do="publish", place=place, count=count, guarantee="pipelined" if peer.pipelined else "each")
        return place

    def _consumed(self, peer: Peer, place: str, count: int, **how: bool) -> tuple[float, float]:
        """Consume all of a place; return the rate [1/s] and the processor time for each [µs]."""
        consumer = self.sides[peer.name][1]
        consumer.tell(do="consume", place=place, count=count, **how)
        consumer.hear()
        answer = complete(peer, consumer.hear())
        self._forget(peer, place, 0)
        return (count - 1) / ((answer["last"] - answer["first"]) / 1e9), answer["cpu"] / (count - 1) * 1e6

    def _through(self, peer: Peer) -> Iterator[Row]:
        guarantee = "pipelined" if peer.pipelined else "each"
        count, place = self.counts[guarantee], self._place(peer, "through")
        publisher, consumer = self.sides[peer.name]
        consumer.tell(do="consume", place=place, count=count)
        consumer.hear()
        published = publisher.ask(do="publish", place=place, count=count, guarantee=guarantee)
        consumed = complete(peer, consumer.hear())
        yield self._row(peer, "through [1/s]", count / ((consumed["last"] - published["begun"]) / 1e9))
        self._forget(peer, place, 0)

    def _latencies(self, rate: int) -> Iterator[Row]:
        peers = [peer for peer in self.peers if rate in peer.rates]
        lags: dict[str, list[float]] = {peer.name: [] for peer in peers}
        for peer, number in self._in_turn(peers):
            lags[peer.name] += self._lags(peer, rate, number)
        for peer in peers:
            ordered = sorted(lags[peer.name])
            for percent in (50, 99):
                yield self._row(peer, f"latency p{percent} at {rate}/s [ms]", ordered[len(ordered) * percent // 100])

    def _lags(self, peer: Peer, rate: int, number: int) -> list[float]:
        """Return the latencies of one slice [ms]."""
        count, place = int(rate * RATES[rate] / SLICES * self.scale), self._place(peer, f"at-{rate}-{number}")
        publisher, consumer = self.sides[peer.name]
        consumer.tell(do="consume", place=place, count=count)
        consumer.hear()
        publisher.ask(do="paced", place=place, count=count, rate=rate)
        answer = complete(peer, consumer.hear())
        self._forget(peer, place, 0)
        return [lag / 1e6 for lag in answer["lags"]]


def through_sqlite(sides: Sides, number: int, scale: float, folder: Path) -> Iterator[Row]:
    """Publish in one process and consume in another, each event confirmed; yield the rates and how many were lost."""
    for peer in PEERS["SQLite"]:
        place, count = str(folder / f"{peer.module}-{number}.db"), max(50, int(SQLITE[peer.name] * scale))
        publisher, consumer = sides[peer.name]
        publisher.ask(do="declare", place=place)
        consumer.tell(do="consume", place=place, count=count)
        consumer.hear()
        published = publisher.ask(do="publish", place=place, count=count, guarantee="each")
        consumed = complete(peer, consumer.hear()) if peer.name == OURS else consumer.hear()
        yield Row("SQLite", "through [1/s]", peer.name, number, (count - consumed["lost"]) / ((consumed["last"] - published["begun"]) / 1e9))
        yield Row("SQLite", "publish each [1/s]", peer.name, number, count / seconds(published))
        yield Row("SQLite", "lost [events]", peer.name, number, consumed["lost"])


def profile(measure: str, sides: Sides, place: str, count: int) -> list[str]:
    """Return where edakit's time goes in one measurement more, as lines of text; this one is not counted."""
    publisher, consumer = sides[OURS]
    consuming = not measure.startswith("publish")
    guarantee = "each" if "each" in measure or "latency" in measure else "pipelined"
    publisher.ask(do="declare", place=place)
    if consuming:
        consumer.tell(do="consume", place=place, count=count, profile=True)
        consumer.hear()
    published = publisher.ask(do="publish", place=place, count=count, guarantee=guarantee, profile=True)
    lines = ["the publisher:", *published["profile"]]
    return [*lines, "", "the consumer:", *consumer.hear()["profile"]] if consuming else lines


def seconds(answer: dict[str, Any]) -> float:
    """Return how long an order took [s]."""
    return (answer["ended"] - answer["begun"]) / 1e9


def complete(peer: Peer, answer: dict[str, Any]) -> dict[str, Any]:
    """Return *answer* if nothing is missing: a rate without what was lost would be no rate."""
    if answer["lost"]:
        raise LostError(f"{peer.name} lost {answer['lost']} events, or took more than a minute for them")
    return answer


class LostError(Exception):
    """Events are missing."""
