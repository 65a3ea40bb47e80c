"""CHECKS R1 and R2: consumers that are killed again and again while events flow, and producers too."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest

from edakit import App
from edakit.transports.sqlite_consumer import Consumer
from edakit.transports.sqlite_keeper import Keeper
from tests.chaos.cart_process import BOTH, commit_later, commit_what_was_fetched, consume, consumer, process, produce
from tests.chaos.record import FULL, printed
from tests.conformance.helpers import added, opened, until
from tests.real_brokers import address

CARTS = 100
LEASE = {"sqlite": 0.5, "kafka": 1, "amqp": None}
"""After which what a dead process had is free again [s]: short, because these checks wait for it."""
WORKERS = {"sqlite": 1, "amqp": 1, "kafka": 2}
RECOVERY = {"sqlite": 5, "amqp": 5, "kafka": 15} if FULL else dict.fromkeys(LEASE, 50)
"""So long may a dead worker's events wait for another one [s]; the small size runs also where the machine is busy."""


@pytest.fixture
def url(broker, request, tmp_path):
    """An address of one broker, with nothing on it."""
    return address(broker, request.getfixturevalue, tmp_path, lease=LEASE[broker])


class Flow:
    """Publishes *size* events in order, at most *ahead* of what was applied, so that each kill meets work; number n goes to cart n modulo CARTS."""

    def __init__(self, bus, effects, size, ahead):
        self.confirmed, self._bus, self._effects, self._size, self._ahead = {}, bus, effects, size, ahead
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        for first in range(0, self._size, 100):
            until(lambda first=first: first < self._effects.count() + self._ahead, 60)
            events = [added(number, str(number % CARTS)) for number in range(first, first + 100)]
            self.confirmed.update((receipt.id, number) for number, receipt in enumerate(self._bus.publish_many(events), first))

    def oldest(self):
        """Return the ids of the oldest events that are confirmed and not applied."""
        confirmed = dict(self.confirmed)
        return sorted(confirmed.keys() - self._effects.ids(), key=confirmed.__getitem__)[:200]

    def join(self):
        self._thread.join()


def kill_workers(url, effects, tmp_path, *, workers, size, kills, wrong=None):
    """Let *size* events flow to *workers* of one component, of which one after the other is killed; return ids by number, and the recoveries [s]."""
    path = tmp_path / "effects.db"
    with opened(url) as bus, ThreadPoolExecutor(kills) as watchers, ExitStack() as ended:
        bus.declare(consumer(effects))

        def worker():
            return ended.enter_context(process(consume, url, path, wrong=wrong))

        running, flow, recoveries = [worker() for _ in range(workers)], Flow(bus, effects, size, ahead=size if wrong else 1000), []
        for kill in range(kills):
            until(lambda kill=kill: effects.count() >= (kill + 1) * size // (kills + 2), 60)
            running[kill % workers].kill()
            recoveries.append(watchers.submit(recovery, effects, [] if wrong else flow.oldest()))
            running[kill % workers] = worker()
        flow.join()
        with suppress(AssertionError):  # what is missing then is lost
            until(lambda: effects.count() >= size or (wrong and bus.outstanding("carts") == 0), 60)
        return flow.confirmed, [each.result() for each in recoveries]


def recovery(effects, adrift):
    """Return how long it takes until all of these ids are applied [s]."""
    begin = time.monotonic()
    while not effects.has_all(adrift):
        time.sleep(0.02)
        if time.monotonic() > begin + 60:
            return float("inf")
    return time.monotonic() - begin


def until_done(bus):
    """Wait until nothing is left to do."""
    until(lambda: bus.outstanding("carts") == 0, 60)


def out_of_order(effects, numbers):
    """Count the events that were first applied after a later one of their cart."""
    last, found = {}, 0
    for (event_id,) in effects.connection.execute("SELECT id FROM applied ORDER BY rowid"):
        number = numbers[event_id]
        found += number < last.get(number % CARTS, 0)
        last[number % CARTS] = max(number, last.get(number % CARTS, 0))
    return found


@pytest.mark.needs("processes")
def test_r1_and_r2_workers_that_are_killed_again_and_again_lose_nothing_and_apply_nothing_twice(broker, can, url, effects, tmp_path):
    size, kills = (100_000, 50) if FULL else (10_000, 10)
    numbers, waits = kill_workers(url, effects, tmp_path, workers=WORKERS[broker], size=size, kills=kills)

    late = None if can.shares_events else out_of_order(effects, numbers)
    check = "R1" if can.shares_events else "R2"
    found = printed(f"{check} {broker}", numbers.keys(), effects, crashed=kills, out_of_order=late, recovery_s=round(max(waits), 2))
    assert (found["confirmed"], found["lost"], found["double_applied"]) == (size, 0, 0)
    assert not late
    assert max(waits) < RECOVERY[broker]
    assert found["duplicated_delivery"] > 0, "the check met what it is about: events that were handled, killed before their ack, and came again"


@pytest.mark.on("kafka")
def test_r2_finds_it_when_all_that_was_fetched_is_committed(broker, url, effects, tmp_path):
    numbers, _ = kill_workers(url, effects, tmp_path, workers=2, size=2000, kills=1, wrong=commit_what_was_fetched)

    assert printed(f"R2 {broker}, commits what was fetched", numbers.keys(), effects)["lost"] > 0


@pytest.mark.on("amqp")
def test_r1_finds_it_when_events_are_acked_before_the_work(broker, url, effects, monkeypatch):
    from edakit.transports.rabbitmq_messages import Acks  # noqa: PLC0415 (only here)

    class OnArrival(Acks):
        def came(self, tag):
            super().came(tag)
            self._done.add(tag)

        def finished(self, tag):
            pass

    monkeypatch.setattr("edakit.transports.rabbitmq_messages.Acks", OnArrival)
    app = App(consumer(effects, pause=0.001), broker=url).start()
    confirmed = {receipt.id for receipt in app.bus.publish_many(added(number) for number in range(1000))}
    until(lambda: effects.count() >= 200)
    app.close()
    monkeypatch.undo()
    with App(consumer(effects), broker=url) as app:
        app.wait_until_idle(60)

    assert printed(f"R1 {broker}, acked on arrival", confirmed, effects)["lost"] > 0


@pytest.mark.on("sqlite")
def test_r1_finds_it_when_nobody_ends_the_leases_of_the_dead(broker, url, effects, tmp_path, monkeypatch):
    with opened(url) as bus:
        bus.declare(consumer(effects))
        with process(consume, url, tmp_path / "effects.db", 0.001) as running:
            confirmed = {receipt.id for receipt in bus.publish_many(added(number) for number in range(1000))}
            until(lambda: effects.count() > 100)
            running.kill()
        monkeypatch.setattr(Keeper, "go_round", lambda self: [each.renew() for each in self.file.consumers])
        with App(consumer(effects), broker=url):
            until(lambda: bus.backlog("carts") == 0)
            time.sleep(1.0)  # twice as long as a lease lasts: whatever would come back has come

    assert printed(f"R1 {broker}, leases never end", confirmed, effects)["lost"] > 0


@pytest.mark.parametrize("renewed", [True, False])
@pytest.mark.on("sqlite")
def test_r1_a_slow_handler_keeps_its_event_because_its_lease_is_renewed_and_only_then(broker, url, effects, tmp_path, monkeypatch, renewed):
    url = url.replace("lease=0.5", "lease=2")  # a busy machine may renew it half a second late
    if not renewed:
        monkeypatch.setattr(Consumer, "renew", lambda self: None)
    with App(consumer(effects, pause=4), broker=url) as app:
        confirmed = {app.publish(added(1)).id}
        until(effects.ids)
        with process(consume, url, tmp_path / "effects.db"):
            time.sleep(3.2)
        app.wait_until_idle(60)

    found = printed(f"R1 {broker}, slow handler{'' if renewed else ' whose lease is not renewed'}", confirmed, effects)
    assert (found["duplicated_delivery"] == 0) == renewed
    assert (found["lost"], found["double_applied"]) == (0, 0)


@BOTH
@pytest.mark.on("sqlite")
def test_r1_a_consumer_that_froze_longer_than_its_lease_does_not_undo_what_others_did_and_works_on(broker, url, effects, tmp_path):
    with opened(url) as bus:
        bus.declare(consumer(effects))
        # It sleeps nearly all of the time: frozen in the middle of a transaction it would hold SQLite's lock, and everybody would wait.
        with process(consume, url, tmp_path / "effects.db", 0.05) as frozen:
            confirmed = {receipt.id for receipt in bus.publish_many(added(number) for number in range(500))}
            until(effects.ids)
            os.kill(frozen.pid, signal.SIGSTOP)
            with App(consumer(effects), broker=url) as app:
                app.wait_until_idle(60)
                os.kill(frozen.pid, signal.SIGCONT)
            until_done(bus)
            confirmed |= {receipt.id for receipt in bus.publish_many(added(number) for number in range(500, 520))}
            until(lambda: confirmed <= effects.ids())
            assert bus.link.store.consumers("carts") == 1, "it found that it had lost its lease, and has another"

    found = printed(f"R1 {broker}, frozen", confirmed, effects, crashed=1)
    assert (found["lost"], found["double_applied"]) == (0, 0)


@pytest.mark.parametrize("wrong", [None, commit_later])
@pytest.mark.on("sqlite")
def test_r1_what_was_confirmed_to_a_producer_that_is_killed_is_there_because_it_was_committed(broker, url, effects, tmp_path, wrong):
    with opened(url) as bus:
        bus.declare(consumer(effects))
        for turn in range(1, 6):
            with process(produce, url, tmp_path / "confirmed", wrong=wrong) as running:
                time.sleep(0.1 + 0.1 * random.random())
                until(lambda turn=turn: (tmp_path / "confirmed").read_text().count("\n") > 110 * turn)
                running.kill()
        confirmed = set((tmp_path / "confirmed").read_text().split())
        with App(consumer(effects), broker=url) as app:
            app.wait_until_idle(60)

    found = printed(f"R1 {broker}, producer killed{', commits late' if wrong else ''}", confirmed, effects)
    assert found["confirmed"] > 500
    assert found["double_applied"] == 0
    assert (found["lost"] > 0) == bool(wrong)
