"""Waits from arrivals and service times alone, exact to the nanosecond, and Little's law."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from edakit.clock import NS
from edakit.distributions import Exponential, HyperExponential
from edakit.errors import InvalidValueError
from edakit.measuring.errors import ShapeError
from edakit.measuring.lindley import Little, lindley, little
from edakit.measuring.workload import Poisson, Steady

gaps_and_services = st.lists(st.tuples(st.integers(0, 10), st.integers(0, 25)), max_size=40)
beginnings = st.sampled_from([0, 1, -7, 1_700_000_000 * NS])


def queue(pairs, begin):
    """Return arrivals and services of a queue from (gap, service) *pairs*."""
    arrivals = begin + np.cumsum([gap for gap, _ in pairs], dtype=np.int64)
    return arrivals, np.array([service for _, service in pairs], dtype=np.int64)


def recursion(arrivals, services):
    """Return the waits of one worker as Lindley wrote them down, event by event."""
    waits = [0] if len(arrivals) else []
    for n in range(len(arrivals) - 1):
        waits.append(max(0, waits[n] + int(services[n]) - int(arrivals[n + 1] - arrivals[n])))
    return waits


def nanosecond_by_nanosecond(arrivals, services, workers):
    """Return the waits of several workers by looking at each nanosecond: who is free takes the first in the queue."""
    waits, queued, busy_until, coming = {}, [], [-math.inf] * workers, 0
    now = int(arrivals[0]) if len(arrivals) else 0
    while len(waits) < len(arrivals):
        while coming < len(arrivals) and arrivals[coming] == now:
            queued.append(coming)
            coming += 1
        while queued and (free := [worker for worker in range(workers) if busy_until[worker] <= now]):
            event = queued.pop(0)
            waits[event] = now - int(arrivals[event])
            busy_until[free[-1]] = now + int(services[event])
        now += 1
    return [waits[event] for event in range(len(arrivals))]


def in_simpy(arrivals, services, workers):
    """Return the waits that SimPy finds."""
    environment = simpy.Environment()
    resource, waits = simpy.Resource(environment, workers), {}

    def event(number, arrival, service):
        yield environment.timeout(arrival)
        with resource.request() as turn:
            yield turn
            waits[number] = environment.now - arrival
            yield environment.timeout(service)

    for number, (arrival, service) in enumerate(zip(arrivals.tolist(), services.tolist(), strict=True)):
        environment.process(event(number, arrival, service))
    environment.run()
    return [waits[number] for number in range(len(arrivals))]


def test_who_comes_while_the_worker_is_busy_waits_for_the_rest_of_it():
    assert lindley([0, 2, 3, 20], [5, 4, 1, 1]).tolist() == [0, 3, 6, 0]
    assert lindley([0, 2, 3, 20], [5, 4, 1, 1], workers=2).tolist() == [0, 0, 2, 0]


@given(gaps_and_services, beginnings)
def test_the_waits_of_one_worker_are_those_of_the_recursion(pairs, begin):
    arrivals, services = queue(pairs, begin)

    waits = lindley(arrivals, services)

    assert waits.tolist() == recursion(arrivals, services)
    assert waits.dtype == np.int64


@settings(max_examples=50)
@given(gaps_and_services, st.integers(1, 5), beginnings)
def test_the_waits_of_several_workers_are_those_of_a_queue_watched_at_each_nanosecond(pairs, workers, begin):
    arrivals, services = queue(pairs, begin)

    assert lindley(arrivals, services, workers).tolist() == nanosecond_by_nanosecond(arrivals, services, workers)


def test_a_nanosecond_is_not_lost_after_fifty_years():
    begin = 50 * 365 * 86_400 * NS
    arrivals = np.arange(begin, begin + 1000, dtype=np.int64)

    assert lindley(arrivals, np.full(1000, 2)).tolist() == list(range(1000))
    assert lindley(arrivals, np.full(1000, 4), workers=2).tolist() == [n - n % 2 for n in range(1000)]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(
    ("arrivals", "takes"),
    [
        (Poisson(rate=225, duration=20), Exponential(0.004)),
        (Poisson(rate=100, duration=40), HyperExponential(0.009, 4)),
        (Steady(rate=250, duration=16), Exponential(0.004)),
        # The same nanosecond again and again: ties between an arrival and an end of service.
        (Steady(rate=NS / 2, duration=6e-6), Exponential(2e-9)),
    ],
)
def test_simpy_fed_the_same_times_gives_the_same_waits(arrivals, takes, workers):
    random = Random(7)
    came = np.array(list(arrivals.due(random)))
    services = np.array([takes.draw(random) * workers for _ in came])

    waits = lindley(came, services, workers)

    assert waits.tolist() == in_simpy(came, services, workers)
    assert 2000 < len(waits) < 6000
    assert np.count_nonzero(waits) > 500


def test_nobody_waits_where_nobody_comes():
    for workers in (1, 2):
        assert lindley([], [], workers).tolist() == []
        assert lindley([5], [3], workers).tolist() == [0]


def test_workers_may_be_counted_by_numpy():
    assert lindley([0, 0, 0], [5, 5, 5], np.int64(2)).tolist() == [0, 0, 5]


@pytest.mark.parametrize(
    ("arrivals", "services", "workers", "problem"),
    [
        ([0, 3, 2], [1, 1, 1], 1, r"arrivals\[2\] is 2; give times that ascend \[ns\]: the one before is 3"),
        ([0, 1], [1, -1], 1, r"services is -1; give times of zero or more"),
        ([0.0, 1.0], [1, 1], 1, r"arrivals is \[0.0, 1.0\]; give whole nanoseconds"),
        ([0, 1], [1, 0.5], 1, "services is .*; give whole nanoseconds"),
        ([0], [1], 0, "workers is 0; give a whole number of 1 or more"),
        ([0], [1], 1.0, "workers is 1.0"),
    ],
)
def test_times_that_make_no_queue_are_refused(arrivals, services, workers, problem):
    with pytest.raises(InvalidValueError, match=problem):
        lindley(arrivals, services, workers)


def test_each_arrival_needs_a_service():
    with pytest.raises(ShapeError, match="arrivals has 2 entries and services 1"):
        lindley([0, 1], [1])


def inside(came, left):
    """Return the sum of the backlog over each nanosecond."""
    return sum(sum(begin <= now < end for begin, end in zip(came, left, strict=True)) for now in range(min(came), max(left)))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), min_size=1, max_size=30))
def test_littles_law_holds_on_every_trace_that_begins_and_ends_empty(stays):
    came = [begin for begin, _ in stays]
    left = [begin + stay for begin, stay in stays]

    found = little(came, left)

    assert found.holds
    assert found.area_ns == inside(came, left)
    assert found.stay_ns == sum(stay for _, stay in stays)
    assert (found.events, found.span_ns) == (len(stays), max(left) - min(came))


def test_littles_law_is_about_three_means():
    found = little([0, 1 * NS, 2 * NS], [4 * NS, 2 * NS, 10 * NS])

    assert (found.backlog, found.rate, found.stay) == (1.3, 0.3, pytest.approx(13 / 3))
    assert found.backlog == pytest.approx(found.rate * found.stay)
    assert not Little(events=3, area_ns=13, stay_ns=14, span_ns=10).holds


def test_littles_law_holds_in_a_queue_of_a_hundred_thousand_to_the_nanosecond():
    random = Random(3)
    came = np.fromiter(Poisson(rate=240, duration=400).due(random), dtype=np.int64) + 1_700_000_000 * NS
    services = np.array([Exponential(0.004).draw(random) for _ in came])

    found = little(came, came + lindley(came, services) + services)

    assert found.holds
    assert found.events > 90_000


def test_a_trace_in_which_nothing_happened_keeps_littles_law():
    found = little([], [])

    assert (found.holds, found.backlog, found.rate, found.stay) == (True, 0, 0, 0)
    assert little([5], [5]).backlog == 0


def test_a_stay_that_cannot_be_is_refused():
    with pytest.raises(ShapeError, match="came_at has 2 entries and left_at 1"):
        little([1, 2], [3])
    with pytest.raises(InvalidValueError, match=r"left_at\[1\] is 1; give a time from 2 ns on, when that event came"):
        little([1, 2], [3, 1])
    with pytest.raises(InvalidValueError, match=r"came_at is .*; give whole nanoseconds"):
        little([0.5], [1])


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("arrivals", "services"),
    [([0, 1, 2], [2**62] * 3), ([2**62, 2**62], [2**62, 2**62]), (np.array([2**63], dtype=np.uint64), [1])],
)
def test_a_sum_beyond_64_bits_is_refused_and_does_not_become_negative(arrivals, services, workers):
    with pytest.raises(InvalidValueError):
        lindley(arrivals, services, workers)


def test_a_queue_that_is_overloaded_for_years_has_its_waits():
    waits = lindley(np.arange(100) * NS, np.full(100, 400 * 86_400 * NS))

    assert waits[-1] == 99 * (400 * 86_400 - 1) * NS
