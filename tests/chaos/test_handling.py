"""CHECKS R6 and R8 on every broker: subscribers do not disturb each other, and what always fails is tried exactly so often."""

from __future__ import annotations

import itertools
from bisect import bisect
from collections import Counter
from random import Random

import pytest

from edakit import Backoff, Component, CrashPoint, Exponential, Faults, Inbox
from tests.chaos.record import record
from tests.conformance.helpers import added
from tests.shop_language import CartItemAdded


def counted(name, applied, **options):
    """Return a component that counts the events that it applies, by their carts."""
    component = Component(name, backoff=Backoff(base=0.001, cap=0.01), **options)

    @component.on(CartItemAdded)
    def handle(event, context):
        applied[event.cart_id] += 1

    return component


def three_subscribers(make_app, *, size=1000, inbox=None):
    """Publish *size* events to three, of whom one rejects, retries and dies; return the app and what each applied."""
    applied = {name: Counter() for name in ("steady", "moody", "other")}
    moody, random = Component("moody", max_attempts=30, backoff=Backoff(base=0.001, cap=0.01), inbox=inbox), Random(6)

    @moody.on(CartItemAdded)
    def handle(event, context):
        if random.random() < 0.3:
            raise ValueError("rejected")
        applied["moody"][event.cart_id] += 1

    crashes = [CrashPoint("moody", point, nth=0, share=0.05) for point in ("started", "handled")]
    steady, other = (counted(name, applied[name]) for name in ("steady", "other"))
    app = make_app(steady, moody, other, seed=6, faults=Faults(*crashes, restart_after=0.001))
    app.publish_many(CartItemAdded(cart_id=str(number)) for number in range(size))
    app.run_until_idle(on_error="retry")
    return app, applied


def test_r6_three_subscribers_are_isolated(broker, make_app):
    app, applied = three_subscribers(make_app, inbox=Inbox())

    found = record(f"R6 {broker}", app, applied["moody"], seed=6)
    assert found["lost"] == 0
    assert min(found["crashed"], found["retried"], found["duplicated_delivery"]) > 0, "the check met what it is about"
    assert applied == {name: Counter(map(str, range(1000))) for name in applied}


@pytest.mark.on("virtual")
def test_r6_finds_it_when_nobody_remembers_what_was_applied(broker, make_app):
    app, applied = three_subscribers(make_app)

    assert record(f"R6 {broker}, without an inbox", app, applied["moody"], seed=6)["double_applied"] > 0


def failing(make_app, *, size=1000):
    """Publish *size* events of which every tenth always fails; return the app, the tries of each, and how to cure it."""
    tries, cured = Counter(), []
    component = Component("mail", max_attempts=4, concurrency=2, backoff=Backoff(base=0.1, cap=1.0))

    @component.on(CartItemAdded)
    def handle(event, context):
        tries[event.cart_id] += 1
        if int(event.cart_id) % 10 == 0 and not cured:
            raise ValueError("always")

    app = make_app(component, seed=8)
    app.publish_many(CartItemAdded(cart_id=str(number)) for number in range(size))
    app.run_until_idle(on_error="retry")
    return app, tries, lambda: cured.append(True)


def pauses_of(app):
    """Return the waits between the attempts of an event that fails, by the attempt before [s]."""
    rows, pauses = {}, {}
    for row in app.trace.deliveries:
        rows.setdefault(row.event, []).append(row)
    for before, after in itertools.chain.from_iterable(itertools.pairwise(each) for each in rows.values()):
        pauses.setdefault(before.attempt, []).append((after.received_at - before.done_at) / 1e9)
    return pauses


def growing(pauses, *, exact):
    """Whether the pauses are half of 0.1 s, 0.2 s and 0.4 s on average; in real time it may be longer until the event's turn comes."""
    means = [sum(pauses[attempt]) / len(pauses[attempt]) for attempt in (1, 2, 3)]
    return all(0.8 * expected < mean and (mean < 1.25 * expected or not exact) for mean, expected in zip(means, (0.05, 0.1, 0.2), strict=True))


def held_up(app):
    """Return the share of the waits for a second attempt in which no other event was handled, though others were there."""
    rows = app.trace.deliveries
    handled = [place for place, row in enumerate(rows) if row.outcome == "handled"]
    first, second = ({row.event: place for place, row in enumerate(rows) if row.outcome != "handled" and row.attempt == attempt} for attempt in (1, 2))
    waits = [(place, second[event]) for event, place in first.items() if place < handled[-1]]
    return sum(bisect(handled, begin) == bisect(handled, end) for begin, end in waits) / len(waits)


def test_r8_an_event_that_always_fails_is_tried_exactly_so_often_with_growing_pauses_and_can_be_redriven(broker, make_app):
    app, tries, cure = failing(make_app)
    record(f"R8 {broker}", app, tries, double_applied=None)
    poisoned = {str(number) for number in range(0, 1000, 10)}
    assert tries == Counter({str(number): 4 if str(number) in poisoned else 1 for number in range(1000)})
    letters = app.dead_letters("mail")
    assert (len(letters), {letter.attempts for letter in letters}) == (100, {4})

    pauses = pauses_of(app)
    assert growing(pauses, exact=broker == "virtual")
    assert all(len(set(each)) > 90 for each in pauses.values()), "they are jittered"
    assert held_up(app) < 0.5, "who waits for the next attempt holds up nobody"

    cure()
    assert app.redrive("mail") == 100
    app.run_until_idle(on_error="retry")
    assert app.dead_letters("mail") == []
    assert all(tries[cart_id] == 5 for cart_id in poisoned)


@pytest.mark.on("virtual")
def test_r8_finds_it_when_there_is_no_pause_between_the_attempts(broker, make_app, monkeypatch):
    monkeypatch.setattr(Backoff, "delay_ns", lambda self, attempt, random: 0)
    app, tries, _ = failing(make_app, size=200)

    record(f"R8 {broker}, no pauses", app, tries, double_applied=None)
    assert not growing(pauses_of(app), exact=False)


@pytest.mark.on("virtual")
def test_r8_neighbours_of_events_that_always_fail_wait_hardly_longer(broker, make_app):
    def p95(share):
        component, random = Component("mail", max_attempts=5, takes=Exponential(0.004)), Random(8)

        @component.on(CartItemAdded)
        def handle(event, context):
            if event.cart_id == "poison":
                raise ValueError("always")

        app = make_app(component, seed=8)
        for number in range(3000):
            event = added(number, "poison" if random.random() < share else "fine")
            app.call_at(number * 10_000_000, lambda event=event: app.publish(event))
        app.run_until_idle(on_error="retry")
        due = {row.event: number * 10_000_000 for number, row in enumerate(app.trace.publications)}
        waits = sorted(row.done_at - due[row.event] for row in app.trace.deliveries if row.outcome == "handled")
        app.close()
        return waits[int(0.95 * len(waits))] / 1e6, app

    (calm, _), (troubled, app) = p95(0.0), p95(0.05)

    found = record(f"R8 {broker}, neighbours", app, Counter(), p95_calm_ms=round(calm, 2), p95_troubled_ms=round(troubled, 2))
    assert (found["lost"], found["dead"] > 100) == (0, True)
    assert troubled < 2 * calm
