"""One queue, looked at twice: the approximation for any law and any number of workers, and a reading beside a run."""

from __future__ import annotations

import math

import pytest

from edakit import Constant, Erlang, Exponential, HyperExponential
from edakit.errors import InvalidValueError
from edakit.measuring import Poisson, interval, mean, mg1, mgc, mmc, read_queue, service_law, simulate_queue

# The approximation for several workers and any law


@pytest.mark.parametrize("scv", [0, 0.5, 1, 4])
def test_with_one_worker_it_is_the_exact_formula_of_any_law(scv):
    ours, exact = mgc(service_rate=250, workers=1, scv=scv), mg1(service_rate=250, scv=scv)

    assert [ours.wait(rate) for rate in (1, 100, 225)] == pytest.approx([exact.wait(rate) for rate in (1, 100, 225)])
    assert ours.exact


@pytest.mark.parametrize("workers", [2, 5])
def test_with_exponential_service_it_is_erlangs_formula(workers):
    ours, exact = mgc(service_rate=250, workers=workers, scv=1), mmc(service_rate=250, workers=workers)

    assert ours.wait(225 * workers) == exact.wait(225 * workers)
    assert ours.exact


@pytest.mark.parametrize("scv", [0, 0.25, 4])
def test_elsewhere_it_says_that_it_is_no_exact_formula_and_is_near_what_is_simulated(scv):
    theory = mgc(service_rate=250, workers=3, scv=scv)

    waits = [mean(simulate_queue(Poisson(600, 60), service_law(0.004, scv), workers=3, seed=seed).after(6).waiting) for seed in range(5)]

    assert not theory.exact
    assert theory.wait(600) == pytest.approx(interval(waits).mean, rel=0.15)


def test_from_a_utilisation_of_one_on_the_wait_is_infinite():
    assert mgc(service_rate=250, workers=2, scv=0).wait(500) == math.inf


def test_a_rate_that_differs_from_the_capacity_by_rounding_alone_is_a_utilisation_of_one():
    reading = read_queue(math.nextafter(250, 0), 0.004, 1, 1, duration=5.0)

    assert (reading.utilisation, reading.expected_wait, reading.growth) == (1, math.inf, 0)
    assert "no mean wait exists" in reading.says


@pytest.mark.parametrize(("scv", "label"), [(0, "M/D/3"), (1, "M/M/3"), (2, "M/G/3")])
def test_its_label_is_kendalls(scv, label):
    assert mgc(service_rate=250, workers=3, scv=scv).label == label


@pytest.mark.parametrize("wrong", [{"service_rate": 0}, {"workers": 0}, {"workers": 1.5}, {"scv": -1}, {"scv": math.nan}])
def test_numbers_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InvalidValueError):
        mgc(**{"service_rate": 250, "workers": 2, "scv": 1, **wrong})


# Laws by their variability


@pytest.mark.parametrize(
    ("variability", "law"),
    [(0, Constant(0.004)), (0.25, Erlang(4, 0.004)), (1 / 3, Erlang(3, 0.004)), (1, Exponential(0.004)), (4, HyperExponential(0.004, 4))],
)
def test_a_law_has_the_mean_and_the_variability_that_were_asked_for(variability, law):
    assert service_law(0.004, variability) == law
    assert (law.mean, law.scv) == (0.004, pytest.approx(variability))


@pytest.mark.parametrize(("mean_time", "variability"), [(0.004, 0.7), (0.004, -1), (0.004, math.inf), (0, 1), (math.nan, 1)])
def test_a_law_that_nobody_has_is_refused(mean_time, variability):
    with pytest.raises(InvalidValueError):
        service_law(mean_time, variability)


# Readings


def test_a_reading_has_the_run_and_what_theory_says_of_it():
    reading = read_queue(225, 0.004, seed=7)

    assert reading.utilisation == pytest.approx(0.9)
    assert reading.expected_wait == pytest.approx(0.036)
    assert reading.wait == mean(simulate_queue(Poisson(225, 60), Exponential(0.004), seed=7).after(6).waiting)
    assert (reading.overloaded, reading.growth) == (False, 0)


def test_below_one_it_says_how_busy_the_workers_are_and_how_long_events_wait():
    assert read_queue(225, 0.004).says.startswith(
        "225 events/s come, and one worker can handle 250/s: busy for 90 % of the time. In theory an event waits 36 ms on average"
    )


def test_an_approximation_is_called_one():
    assert "In theory an event waits about" in read_queue(600, 0.004, workers=3, variability=4).says
    assert "about" not in read_queue(600, 0.004, workers=3, variability=1).says


def test_above_one_it_says_that_the_backlog_grows_and_how_fast():
    reading = read_queue(300, 0.004, variability=0)

    assert reading.growth == 50
    assert "The backlog grows by 50 events every second. After 60 s there are " in reading.says
    assert reading.left == pytest.approx(3000, rel=0.15)
    assert float(reading.sample.waiting[-1]) == pytest.approx(12, rel=0.15)
    assert reading.table.column("wait in theory [ms]") == [None]


def test_above_one_nobody_is_busy_for_more_than_all_the_time():
    assert "one worker can handle 250/s: there is work for 120 % of the time." in read_queue(300, 0.004).says


def test_a_wait_that_is_not_zero_is_not_called_zero():
    reading = read_queue(25, 0.001, workers=8, variability=4)

    assert "In theory an event waits less than 0.001 ms on average, in this run of 60 s 0 ms; 95 % were done within 2.56 ms." in reading.says


def test_at_one_it_says_that_there_is_no_level():
    reading = read_queue(250, 0.004)

    assert (reading.overloaded, reading.growth) == (True, 0)
    assert "no mean wait exists" in reading.says


def test_the_table_has_the_sentence_and_what_it_says():
    reading = read_queue(225, 0.004)

    assert reading.table.says == reading.says
    assert reading.table.rows == [
        (225, 250.0, 90.0, 36.0, pytest.approx(1e3 * reading.wait, rel=0.01), pytest.approx(1e3 * reading.p95, rel=0.01), reading.left)
    ]


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"rate": -1}, {"takes": 0}, {"workers": 0}, {"variability": 0.7}, {"takes": 1e9}, {"takes": 1e300}])
def test_a_queue_that_cannot_be_is_refused(wrong):
    with pytest.raises(InvalidValueError):
        read_queue(**{"rate": 225, "takes": 0.004, **wrong})
