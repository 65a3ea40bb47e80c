"""Percentiles, shares, throughput, backlog, and how sure a mean is."""

from __future__ import annotations

import math
import pickle
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edakit.measuring.errors
from edakit.errors import EdakitError, InvalidValueError
from edakit.measuring.errors import NothingMeasuredError, ShapeError
from edakit.measuring.statistics import after_warmup, backlog, ecdf, interval, mean, percentile, throughput
from edakit.measuring.student import MANY, student_t, within

times = st.floats(0, 1e6, allow_nan=False)


@pytest.mark.parametrize(
    ("values", "q", "expected"),
    [
        ([15, 20, 35, 40, 50], 5, 15),
        ([15, 20, 35, 40, 50], 30, 20),
        ([15, 20, 35, 40, 50], 40, 20),
        ([15, 20, 35, 40, 50], 50, 35),
        ([15, 20, 35, 40, 50], 100, 50),
        ([3, 6, 7, 8, 8, 10, 13, 15, 16, 20], 25, 7),
        ([20, 16, 15, 13, 10, 8, 8, 7, 6, 3], 75, 15),
        ([7], 1, 7),
        (range(1, 1001), 99.9, 999),
        (range(1, 1001), 99.91, 1000),
        (range(1, 201), 99, 198),
    ],
)
def test_a_percentile_is_the_value_of_the_nearest_rank(values, q, expected):
    assert percentile(list(values), q) == expected


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=40), st.integers(100, 10_000).map(lambda n: n / 100))
def test_a_percentile_is_the_smallest_value_that_enough_do_not_exceed(values, q):
    enough = [value for value in values if Fraction(sum(other <= value for other in values), len(values)) >= Fraction(str(q)) / 100]

    assert percentile(values, q) == min(enough)


@pytest.mark.parametrize("q", [0, 0.99, -1, 100.1, math.nan])
def test_a_percentile_that_is_no_percentage_is_refused(q):
    with pytest.raises(InvalidValueError, match="give a percentage from 1 to 100, such as 99 for p99"):
        percentile([1, 2], q)


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=30))
def test_the_ecdf_gives_for_each_value_the_share_that_does_not_exceed_it(values):
    found, shares = ecdf(values)

    assert found.tolist() == sorted(values)
    assert shares.tolist() == [sum(other <= value for other in values) / len(values) for value in sorted(values)]
    assert shares[-1] == 1


def test_a_mean_is_summed_without_rounding():
    values = [1e16, 1.0, -1e16, 1.0]

    assert mean(values) == 0.5
    assert float(np.sum(values)) / 4 == 0.25


@given(st.lists(st.floats(-1e12, 1e12), min_size=1), st.randoms())
def test_a_mean_does_not_depend_on_the_order(values, random):
    shuffled = random.sample(values, len(values))

    assert mean(shuffled) == mean(values)


@pytest.mark.parametrize(("ask", "asked"), [(mean, "the mean"), (ecdf, "the share of events"), (lambda values: percentile(values, 99.9), "p99.9")])
def test_what_nobody_measured_has_no_statistics(ask, asked):
    with pytest.raises(NothingMeasuredError, match=f"{asked} of no values does not exist"):
        ask([])
    with pytest.raises(InvalidValueError, match=f"{asked} says nothing where some are not known"):
        ask([1.0, math.nan])


def test_what_was_due_in_the_warm_up_does_not_count():
    assert after_warmup([0, 0.999, 1, 2], 1).tolist() == [False, False, True, True]
    assert after_warmup([0, 1], 0).all()
    assert after_warmup([], 1).size == 0


@pytest.mark.parametrize("warmup", [-0.1, math.inf, math.nan])
def test_a_warm_up_that_is_no_time_is_refused(warmup):
    with pytest.raises(InvalidValueError, match=r"warmup is .*; give a number of seconds, zero or more"):
        after_warmup([0, 1], warmup)


def test_throughput_is_counted_per_second_in_each_bin_and_an_edge_belongs_to_the_later_one():
    done = [0.1, 3.9, 0.5, math.nan, 1.5, 2.0, 4.0, -0.1]

    assert throughput(done, [0, 0.5, 2, 4]).tolist() == [1 / 0.5, 2 / 1.5, 2 / 2]
    assert throughput([], [0, 1]).tolist() == [0]


@given(st.lists(times), st.lists(times, min_size=2, unique=True).map(sorted))
def test_throughput_in_all_bins_together_is_every_event_between_the_edges(done, edges):
    rates = throughput(done, edges)

    assert sum(rates * np.diff(edges)) == pytest.approx(sum(edges[0] <= time < edges[-1] for time in done))


@pytest.mark.parametrize("edges", [[], [1], [0, 0], [1, 0], [0, math.nan, 2]])
def test_bins_that_do_not_ascend_are_refused(edges):
    with pytest.raises(InvalidValueError, match=r"edges is .*; give two or more times that ascend"):
        throughput([1, 2], edges)


@given(st.lists(st.tuples(st.integers(0, 20), st.one_of(st.integers(0, 20), st.just(math.nan))), max_size=30), st.lists(st.integers(-1, 41), max_size=10))
def test_the_backlog_is_what_has_come_and_not_left(stays, looks):
    came = [begin for begin, _ in stays]
    left = [begin + stay for begin, stay in stays]

    inside = [sum(begin <= look and not end <= look for begin, end in zip(came, left, strict=True)) for look in looks]

    assert backlog(came, left, looks).tolist() == inside


def test_a_backlog_needs_an_end_for_each_beginning():
    with pytest.raises(ShapeError, match="published_at has 2 entries and done_at 1; give as many of one as of the other"):
        backlog([1, 2], [3], [0])


# Percentage points of Student's t, two-sided: table 3 in Pearson and Hartley (1966), "Biometrika Tables for Statisticians", volume 1.
TABLE = {
    1: (6.314, 12.706, 63.657),
    2: (2.920, 4.303, 9.925),
    3: (2.353, 3.182, 5.841),
    4: (2.132, 2.776, 4.604),
    5: (2.015, 2.571, 4.032),
    9: (1.833, 2.262, 3.250),
    10: (1.812, 2.228, 3.169),
    19: (1.729, 2.093, 2.861),
    20: (1.725, 2.086, 2.845),
    30: (1.697, 2.042, 2.750),
    60: (1.671, 2.000, 2.660),
    120: (1.658, 1.980, 2.617),
}


@pytest.mark.parametrize("degrees", TABLE)
def test_student_t_is_that_of_the_tables(degrees):
    assert tuple(round(student_t(level, degrees), 3) for level in (0.90, 0.95, 0.99)) == TABLE[degrees]


def test_student_t_comes_close_to_the_normal_law_with_many_trials():
    assert student_t(0.95, 10_000) == pytest.approx(1.959964, abs=3e-4)


@pytest.mark.parametrize("degrees", [MANY + 1, MANY + 2, 4 * MANY])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_student_t_of_many_degrees_is_as_exact_as_that_of_few(level, degrees):
    assert within(student_t(level, degrees), degrees) == pytest.approx(level, abs=1e-12)


def test_student_t_of_a_million_events_does_not_sum_a_million_terms():
    assert student_t(0.95, 10**15) == pytest.approx(1.9599639845400538, rel=1e-12)


@given(st.floats(0.01, 0.999), st.integers(1, 60))
def test_student_t_is_the_inverse_of_its_probability(level, degrees):
    assert within(student_t(level, degrees), degrees) == pytest.approx(level, abs=1e-12)


@pytest.mark.parametrize(("degrees", "t"), [(2, 0.7), (3, 1.3), (4, 4.0), (7, 2.2)])
def test_the_probability_between_minus_t_and_t_is_the_integral_of_the_density(degrees, t):
    steps = np.linspace(-t, t, 20_001)
    scale = math.gamma((degrees + 1) / 2) / math.sqrt(degrees * math.pi) / math.gamma(degrees / 2)
    density = scale * (1 + steps**2 / degrees) ** (-(degrees + 1) / 2)

    assert within(t, degrees) == pytest.approx(np.trapezoid(density, steps), abs=1e-8)


@pytest.mark.parametrize(
    ("level", "degrees", "named"), [(0, 3, "level"), (1, 3, "level"), (95, 3, "level"), (math.nan, 3, "level"), (0.95, 0, "degrees"), (0.95, 2.5, "degrees")]
)
def test_student_t_of_what_makes_no_sense_is_refused(level, degrees, named):
    with pytest.raises(InvalidValueError, match=f"{named} is "):
        student_t(level, degrees)


def test_an_interval_is_the_mean_and_t_standard_errors_to_each_side():
    found = interval([12, 15, 11, 14, 13])

    assert (found.mean, found.trials, found.level) == (13, 5, 0.95)
    assert found.standard_error == pytest.approx(math.sqrt(2.5 / 5))
    assert (found.low, found.high) == pytest.approx((13 - 2.776445 * 0.7071068, 13 + 2.776445 * 0.7071068), abs=1e-6)


@pytest.mark.parametrize("value", [13, 13.0, np.float64(13), np.int64(13), Fraction(13)])
def test_a_number_of_any_kind_can_be_looked_for_in_an_interval(value):
    found = interval([12, 15, 11, 14, 13])

    assert value in found
    assert value + 2 not in found
    assert "13" not in found


def test_of_a_hundred_intervals_about_as_many_hold_the_true_mean_as_their_level_says():
    random = Random(5)
    hits = dict.fromkeys((0.5, 0.95), 0)
    for _ in range(2000):
        trials = [random.gauss(7, 3) for _ in range(4)]
        for level in hits:
            hits[level] += 7 in interval(trials, level)

    # Four standard deviations of a share of 2000; with the normal law's 1.96 instead of Student's 3.18 it would be 0.855.
    assert hits[0.5] / 2000 == pytest.approx(0.5, abs=0.045)
    assert hits[0.95] / 2000 == pytest.approx(0.95, abs=0.0195)


@pytest.mark.parametrize("trials", [[], [1.0]])
def test_one_trial_tells_nothing_about_its_own_error(trials):
    with pytest.raises(InvalidValueError, match="at least two values, each of a run with its own seed"):
        interval(trials)


ERRORS = {
    "NoClosedFormError": ("M/G/1", "the distribution of the wait"),
    "NothingMeasuredError": ("p99",),
    "OverloadError": (300.0, 250.0),
    "ShapeError": ("a", 1, "b", 2),
    "WorkloadLineError": ("day.csv", 3, "x", "it has 1 values instead of 3"),
}


@pytest.mark.parametrize("name", edakit.measuring.errors.__all__)
def test_every_error_of_measuring_says_something_and_survives_pickling(name):
    error = getattr(edakit.measuring.errors, name)(*ERRORS[name])
    again = pickle.loads(pickle.dumps(error))

    assert isinstance(error, EdakitError)
    assert (str(again), vars(again)) == (str(error), vars(error))
    assert str(ERRORS[name][0]).removesuffix(".0") in str(error)


@pytest.mark.parametrize("trials", [[1.0, math.inf], [1.0, math.nan], [-math.inf, math.inf]])
def test_a_trial_that_is_not_finite_has_no_interval(trials):
    with pytest.raises(InvalidValueError, match=r"trials is .*; give finite numbers"):
        interval(trials)


def test_a_backlog_whose_beginnings_and_ends_are_swapped_is_refused():
    with pytest.raises(InvalidValueError, match=r"done_at is 1\.0; give times after those of publication \(5 s\)"):
        backlog([5, 6], [1, math.nan], [3])


@given(st.lists(st.tuples(times, st.one_of(times, st.just(math.nan))), min_size=1), st.lists(times, max_size=9))
def test_a_backlog_is_never_refused_where_each_end_is_after_its_beginning(stays, looks):
    came = [begin for begin, _ in stays]

    assert (backlog(came, [begin + length for begin, length in stays], looks) >= 0).all()


@pytest.mark.parametrize("edges", [[0, math.inf], [-math.inf, 1], [0, math.nan, 1]])
def test_bins_have_an_end(edges):
    with pytest.raises(InvalidValueError, match="edges is"):
        throughput([1.0], edges)


@pytest.mark.parametrize("trials", [2, 3, 5, 10])
def test_with_few_trials_95_of_100_intervals_hold_the_true_mean(trials):
    drawn = np.random.default_rng(trials).normal(10, 3, (2_000, trials))

    held = sum(10.0 in interval(row) for row in drawn) / 2_000

    # The standard deviation of this share is 0.005.
    assert held == pytest.approx(0.95, abs=0.02)
