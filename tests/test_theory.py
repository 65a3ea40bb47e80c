"""What queueing theory says of one component, against tables, integrals and Lindley's recursion."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from random import Random

import numpy as np
import pytest

from edakit.clock import NS
from edakit.distributions import Constant, Erlang, Exponential, HyperExponential
from edakit.errors import InvalidValueError
from edakit.measuring.errors import NoClosedFormError, OverloadError
from edakit.measuring.lindley import lindley
from edakit.measuring.statistics import interval, mean
from edakit.measuring.theory import mg1, mm1, mmc
from edakit.measuring.workload import Poisson


def erlang_b(workers, load):
    """Return the share of calls that find every one of *workers* busy: terms of a Poisson law, as Erlang wrote it down."""
    terms = [load**k / math.factorial(k) for k in range(workers + 1)]
    return terms[-1] / math.fsum(terms)


def test_one_worker_at_nine_tenths_waits_nine_times_its_service():
    model = mm1(service_rate=250)

    assert model.utilisation(225) == pytest.approx(0.9)
    assert model.wait(225) == pytest.approx(9 * 0.004)
    assert model.response(225) == pytest.approx(10 * 0.004)
    assert model.backlog(225) == pytest.approx(9)
    assert (model.label, model.servers, model.capacity) == ("M/M/1", 1, 250)


@pytest.mark.parametrize(
    ("workers", "load", "expected"), [(1, 1 / 2, 1 / 2), (2, 1, 1 / 3), (2, 9 / 5, 81 / 95), (3, 2, 4 / 9), (4, 3, 27 / 53), (5, 4, 128 / 231)]
)
def test_the_share_that_waits_is_the_fraction_that_one_finds_by_hand(workers, load, expected):
    assert mmc(service_rate=1, workers=workers).waits(load) == pytest.approx(expected, rel=1e-12)


# The usual tables give the load [erlang], to two places, at which so many channels let so many calls wait.
@pytest.mark.parametrize(("workers", "load", "share"), [(8, 3.87, 0.05), (10, 4.08, 0.01)])
def test_the_share_that_waits_is_that_of_erlangs_tables(workers, load, share):
    model = mmc(service_rate=1, workers=workers)

    assert model.waits(load - 0.005) <= share <= model.waits(load + 0.005)


@pytest.mark.parametrize("workers", [1, 2, 4, 9, 30])
@pytest.mark.parametrize("busy", [0.05, 0.3, 0.75, 0.95])
def test_erlangs_c_follows_from_his_b(workers, busy):
    load = busy * workers
    blocked = erlang_b(workers, load)

    assert mmc(service_rate=7, workers=workers).waits(7 * load) == pytest.approx(blocked / (1 - busy * (1 - blocked)), rel=1e-12)


def test_many_workers_do_not_overflow():
    model = mmc(service_rate=1, workers=2000)

    assert 0 < model.waits(1960) < 1
    assert model.wait(1000) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("workers", [1, 2, 10, 100, 300])
@pytest.mark.parametrize("busy", [0.5, 0.9, 0.999, 1 - 1e-6, 1 - 1e-9])
def test_erlangs_c_is_exact_for_hundreds_of_workers_close_to_their_limit(workers, busy):
    rate = busy * workers
    model = mmc(service_rate=1.0, workers=workers)
    load, terms = Fraction(rate), [Fraction(1)]
    for worker in range(1, workers + 1):
        terms.append(terms[-1] * load / worker)
    last = terms.pop() / (1 - load / workers)
    waits = last / (sum(terms) + last)

    assert model.waits(rate) == pytest.approx(float(waits), rel=1e-12)
    assert model.wait(rate) == pytest.approx(float(waits / (workers - load)), rel=1e-12)
    assert model.wait_law(rate).mean == pytest.approx(model.wait(rate), rel=1e-12)
    assert model.response_law(rate).mean == pytest.approx(model.response(rate), rel=1e-6)


def test_several_workers_share_one_queue():
    model = mmc(service_rate=10, workers=4)

    assert (model.label, model.servers, model.capacity) == ("M/M/4", 4, 40)
    assert model.wait(30) == pytest.approx(0.509434 / 10, rel=1e-5)
    assert model.backlog(30) == pytest.approx(30 * (model.wait(30) + 0.1))


@pytest.mark.parametrize("rate", [0, 1e-9, 3, 9.99])
def test_one_of_several_workers_is_one_worker(rate):
    one, same = mm1(service_rate=10), mmc(service_rate=10, workers=1)

    assert same.wait(rate) == pytest.approx(one.wait(rate), rel=1e-9)
    for q in (1, 50, 99):
        assert same.wait_law(rate).percentile(q) == pytest.approx(one.wait_law(rate).percentile(q), rel=1e-9, abs=1e-12)
        assert same.response_law(rate).percentile(q) == pytest.approx(one.response_law(rate).percentile(q), rel=1e-9)


def test_constant_service_waits_half_as_long_and_exponential_service_as_long_as_mm1():
    assert mg1(service_rate=250, scv=0).wait(225) == pytest.approx(mm1(service_rate=250).wait(225) / 2)
    assert mg1(service_rate=250, scv=1).wait(225) == pytest.approx(mm1(service_rate=250).wait(225))
    assert mg1(service_rate=250, scv=4).wait(225) == pytest.approx(mm1(service_rate=250).wait(225) * 2.5)
    assert (mg1(service_rate=250, scv=0).label, mg1(service_rate=250, scv=4).label) == ("M/D/1", "M/G/1")


def test_pollaczek_and_khinchine_need_the_second_moment_of_the_service_only():
    # rate * E[S²] / (2 * (1 - utilisation)) with services of 1 s or 3 s, as often the one as the other.
    model = mg1(service_rate=1 / 2, scv=1 / 4)

    assert model.wait(0.4) == pytest.approx(0.4 * (1 + 9) / 2 / (2 * (1 - 0.8)))


MODELS = [mm1(service_rate=250), mmc(service_rate=80, workers=4), mmc(service_rate=100, workers=3), mmc(service_rate=250, workers=1)]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.label)
@pytest.mark.parametrize("busy", [0.0, 0.1, 0.5, 0.75, 2 / 3, 0.9, 0.99])
def test_the_mean_of_a_law_is_its_integral_and_that_of_the_model(model, busy):
    rate = busy * model.capacity
    for law, expected in ((model.wait_law(rate), model.wait(rate)), (model.response_law(rate), model.response(rate))):
        end = 40 / min(model.capacity - rate, model.service_rate)
        times = np.linspace(0, end, 400_001)
        longer = 1 - law.share(times)

        assert np.trapezoid(longer, times) == pytest.approx(expected, rel=1e-5, abs=1e-12)
        assert law.mean == pytest.approx(expected, rel=2e-6, abs=1e-12)
        assert np.all(np.diff(longer) <= 1e-9)
        assert -1e-9 <= longer.min() <= longer.max() <= 1 + 1e-9


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.label)
@pytest.mark.parametrize("busy", [0.1, 0.75, 0.95])
def test_the_latency_is_a_wait_and_an_independent_service(model, busy):
    # P(W + S > t) = P(S > t) + ∫ P(W > t - s) dP(S ≤ s), summed over small steps.
    rate, mu = busy * model.capacity, model.service_rate
    at = 1.7 / min(mu, model.capacity - rate)
    steps = np.linspace(0, at, 200_001)
    density = mu * np.exp(-mu * steps)
    longer = math.exp(-mu * at) + np.trapezoid(density * (1 - model.wait_law(rate).share(at - steps)), steps)

    assert 1 - float(model.response_law(rate).share(at)) == pytest.approx(longer, rel=1e-5)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.label)
@pytest.mark.parametrize("q", [1, 50, 95, 99, 99.99])
def test_a_percentile_of_a_law_is_not_exceeded_by_that_share(model, q):
    for law in (model.wait_law(0.8 * model.capacity), model.response_law(0.8 * model.capacity)):
        time = law.percentile(q)

        assert float(law.share(time)) >= q / 100 - 1e-12
        assert time == 0 or float(law.share(time * (1 - 1e-6))) < q / 100


def test_percentiles_of_one_worker_are_logarithms():
    model = mm1(service_rate=250)

    assert model.response_law(225).percentile(99) == pytest.approx(math.log(100) / 25)
    assert model.wait_law(225).percentile(99) == pytest.approx(math.log(0.9 * 100) / 25)
    assert model.wait_law(225).percentile(5) == 0
    assert model.wait_law(0).percentile(99) == 0
    assert float(model.wait_law(225).share(-1)) == float(model.wait_law(225).share(0)) == pytest.approx(0.1)


@pytest.mark.parametrize("model", [*MODELS, mg1(service_rate=3, scv=2)], ids=lambda model: model.label)
@pytest.mark.parametrize("busy", [1.0, 1.5])
def test_with_more_to_do_than_time_the_wait_has_no_end(model, busy):
    rate = busy * model.capacity

    assert model.wait(rate) == model.response(rate) == model.backlog(rate) == math.inf
    with pytest.raises(OverloadError, match="the backlog only grows; lower the rate, or add workers"):
        model.wait_law(rate)
    with pytest.raises(OverloadError):
        model.response_law(rate)


def test_with_more_to_do_than_time_everybody_waits():
    assert mmc(service_rate=1, workers=2).waits(2) == 1


def test_a_general_service_has_no_law_of_waiting():
    model = mg1(service_rate=250, scv=0)

    with pytest.raises(NoClosedFormError, match="M/D/1 has no formula for the distribution of the wait"):
        model.wait_law(100)
    with pytest.raises(NoClosedFormError, match="the distribution of the latency"):
        model.response_law(100)


@pytest.mark.parametrize("rate", [-1, math.inf, math.nan])
@pytest.mark.parametrize("ask", ["utilisation", "wait", "response", "backlog", "wait_law", "response_law"])
def test_a_rate_that_is_none_is_refused(ask, rate):
    for model in (mm1(service_rate=1), mmc(service_rate=1, workers=2), mg1(service_rate=1, scv=0)):
        with pytest.raises(InvalidValueError, match="give events per second, zero or more"):
            getattr(model, ask)(rate)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: mm1(service_rate=0), "service_rate is 0; give a finite number above 0"),
        (lambda: mm1(service_rate=math.nan), "service_rate is nan"),
        (lambda: mmc(service_rate=-1, workers=2), "service_rate is -1"),
        (lambda: mmc(service_rate=1, workers=0), "workers is 0; give a whole number of 1 or more"),
        (lambda: mmc(service_rate=1, workers=1.5), "workers is 1.5"),
        (lambda: mg1(service_rate=math.inf, scv=1), "service_rate is inf"),
        (lambda: mg1(service_rate=1, scv=-0.1), "scv is -0.1; give a finite number, zero or more"),
        (lambda: mg1(service_rate=1, scv=math.nan), "scv is nan"),
    ],
)
def test_a_model_that_makes_no_sense_is_refused(make, problem):
    with pytest.raises(InvalidValueError, match=problem):
        make()


@pytest.mark.parametrize("q", [0, 0.99, 100, math.nan])
def test_a_law_has_no_longest_time(q):
    with pytest.raises(InvalidValueError, match="give a percentage from 1 to below 100"):
        mm1(service_rate=1).wait_law(0.5).percentile(q)


def test_workers_may_be_counted_by_numpy():
    assert mmc(service_rate=1, workers=np.int64(4)) == mmc(service_rate=1, workers=4)


TAKES = 0.004
"""Mean service time [s]."""
QUEUES = {
    "M/M/1": (mm1(service_rate=1 / TAKES), Exponential(TAKES)),
    "M/M/4": (mmc(service_rate=1 / TAKES, workers=4), Exponential(TAKES)),
    "M/G/1": (mg1(service_rate=1 / TAKES, scv=1 / 2), Erlang(2, TAKES)),
    "M/G/1, variable": (mg1(service_rate=1 / TAKES, scv=2), HyperExponential(TAKES, 2)),
    "M/D/1": (mg1(service_rate=1 / TAKES, scv=0), Constant(TAKES)),
}
EVENTS = {0.3: 20_000, 0.6: 20_000, 0.8: 40_000, 0.95: 120_000}
"""In each replication, so that the standard error is small enough: rare waits, and long ones that depend on each other, need more."""
WARMUP = 0.1
"""Share of a replication that does not count: the queue begins empty, and theory speaks of one that has been open for ever [1]."""


@cache
def replications(name, busy):
    """Return the mean wait of 20 seeded replications [s]."""
    model, takes = QUEUES[name]
    rate = busy * model.capacity
    return [one_mean(Poisson(rate, EVENTS[busy] / rate), takes, model.servers, seed) for seed in range(20)]


def one_mean(arrivals, takes, workers, seed):
    came = np.fromiter(arrivals.due(Random(f"{seed}/arrivals")), dtype=np.int64)
    random = Random(f"{seed}/services")
    services = np.fromiter((takes.draw(random) for _ in range(came.size)), dtype=np.int64, count=came.size)
    waits = lindley(came, services, workers)
    return mean(waits[came >= WARMUP * arrivals.duration * NS] / NS)


@pytest.mark.parametrize("busy", EVENTS)
@pytest.mark.parametrize("name", QUEUES)
def test_lindley_over_20_replications_lies_within_3_standard_errors_of_theory(name, busy):
    model, _ = QUEUES[name]
    seen = interval(replications(name, busy))
    expected = model.wait(busy * model.capacity)

    off, error = (seen.mean - expected) / seen.standard_error, seen.standard_error / expected
    print(f"{name} at {busy}: {seen.mean * 1e3:.4f} ms, theory {expected * 1e3:.4f} ms, off by {off:+.2f} standard errors of {error:.2%}")
    assert error <= (0.04 if busy == 0.95 else 0.02)
    assert abs(off) <= 3


@pytest.mark.parametrize("busy", EVENTS)
@pytest.mark.parametrize(("name", "other"), [("M/M/1", "M/D/1"), ("M/M/1", "M/G/1"), ("M/G/1, variable", "M/M/1"), ("M/D/1", "M/G/1")])
def test_lindley_tells_one_service_law_from_another(name, other, busy):
    wrong, _ = QUEUES[other]
    seen = interval(replications(name, busy))

    assert abs(seen.mean - wrong.wait(busy * wrong.capacity)) > 3 * seen.standard_error
