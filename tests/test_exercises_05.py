from __future__ import annotations

import math
import re

import numpy as np
import pytest

from edakit.classroom.checks.ch05 import EVERY, SLOW, check_05_1, check_05_2, check_05_3
from edakit.measuring.student import student_t


def p99(values):
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


def test_05_1_nearest_rank_and_interpolation_pass():
    assert check_05_1(p99).passed
    assert check_05_1(lambda values: np.percentile(values, 99)).passed
    assert check_05_1(lambda values: np.float32(p99(values))).passed


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda values: (p99(values[: len(values) // 2 or 1]) + p99(values[len(values) // 2 :])) / 2, "Percentiles cannot be averaged; pool the events first."),
        (max, "This is the slowest of all"),
        (lambda values: values[math.ceil(0.99 * len(values)) - 1], "the values are not put in order first"),
        (np.mean, "This is the mean"),
        (np.median, "This is the median"),
        (lambda values: 1.2 * max(values), "longer than the slowest of all"),
        (lambda values: sorted(values)[len(values) // 100], "counted from the wrong end"),
        (sorted, "more than one number is given back"),
        (lambda values: 1000 * p99(values), "This is in milliseconds."),
        (lambda values: np.mean(values) + 2.33 * np.std(values), "This is p99 of a normal distribution."),
    ],
)
def test_05_1_a_wrong_answer_is_told_why(answer, said):
    verdict = check_05_1(answer)

    assert verdict.kind == "not yet"
    assert said in repr(verdict)


def test_05_1_a_stub_is_told_what_is_missing():
    assert repr(check_05_1(lambda values: ...)).startswith("nothing here yet")


def backfill(latencies, every):
    corrected = list(latencies)
    for latency in latencies:
        missing = latency - every
        while missing >= every:
            corrected.append(missing)
            missing -= every
    return corrected


def two_runs():
    """Return what a waiting tester and all shoppers see of a worker of 200 a second that stands still for 1 s: log and truth [s]."""
    free, truth = 0.0, []
    for due in np.arange(0, 10, EVERY):
        free = max(free, due, 5.0 if 4.0 <= due < 5.0 else 0.0) + 0.005
        truth.append(free - due)
    return np.array([0.005] * 899 + [1.005]), np.array(truth)


def recovered():
    log, truth = two_runs()
    return 100 * sum(value > SLOW for value in backfill(log, EVERY)) / np.sum(truth > SLOW)


def test_05_2_a_log_that_is_filled_up_passes_and_recovers_most_but_not_all():
    verdict = check_05_2(backfill, recovered(), *two_runs())

    assert verdict.passed
    assert 50 < recovered() < 99
    assert f"Your log shows {recovered():.0f} % of the slow latencies" in repr(verdict)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda latencies, every: [value for value in latencies if value < 0.1], "You deleted the very second that the shoppers complain about."),
        (lambda latencies, every: list(latencies), "those requests are missing from its log"),
        (lambda latencies, every: [*latencies, *(v for v in latencies for _ in range(round(v / every) - 1))], "would have waited less than the one before"),
        (lambda latencies, every: [*backfill(latencies, every), *[0.001] * 100], "quick answers are multiplied too"),
        (lambda latencies, every: backfill([value for value in latencies if value > every], every), "what was measured is replaced"),
        (lambda latencies, every: [*latencies, *backfill([max(latencies)], every)[1:]], "Look at the answer of 0.044 s"),
        (lambda latencies, every: [*latencies, *backfill([max(latencies)], 2 * every)[1:]], "would have waited less than the one before"),
        (lambda latencies, every: [*latencies, *(n * every for v in latencies for n in range(1, int(v / every)))], "0.994, 0.984, 0.974"),
        (lambda latencies, every: [*(v for v in latencies if v < SLOW), *backfill([v for v in latencies if v > SLOW], every)], "or only a very slow one"),
    ],
)
def test_05_2_a_wrong_answer_is_told_why(answer, said):
    verdict = check_05_2(answer, recovered(), *two_runs())

    assert verdict.kind == "not yet"
    assert said in repr(verdict)


@pytest.mark.parametrize("share", [100.0, 0.64, "64 %"])
def test_05_2_a_wrong_share_is_told_the_counts(share):
    verdict = check_05_2(backfill, share, *two_runs())

    assert verdict.kind == "not yet"
    assert f"Expected: {recovered():.0f}, in %" in repr(verdict)


@pytest.mark.parametrize(("function", "share"), [(lambda latencies, every: None, 64.0), (backfill, ...)])
def test_05_2_a_stub_is_told_what_is_missing(function, share):
    assert repr(check_05_2(function, share, *two_runs())).startswith("nothing here yet")


def interval(trials):
    means = trials.mean(axis=1)
    half = student_t(0.95, 9) * means.std(ddof=1) / math.sqrt(len(means))
    return means.mean() - half, means.mean() + half


def of_events(trials):
    half = 1.96 * trials.std() / math.sqrt(trials.size)
    return trials.mean() - half, trials.mean() + half


def one_standard_error(trials):
    means = trials.mean(axis=1)
    half = means.std() / math.sqrt(len(means))
    return means.mean() - half, means.mean() + half


def test_05_3_an_interval_of_ten_means_passes():
    verdict = check_05_3(interval)

    assert verdict.passed
    assert "a queue at 70 %: covers 9" in repr(verdict)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (of_events, ": neighbours in a queue wait together. The sample is the run."),
        (one_standard_error, "the interval is too narrow for ten values"),
        (lambda trials: (0.0, 1000.0), "Covers 100 %: an interval that is never wrong"),
        (lambda trials: (1, 2, 3), "two numbers, low and high"),
        (lambda trials: interval(trials)[::-1], "Low is above high"),
        (lambda trials: (trials.mean(), interval(trials)[1] - trials.mean()), "are a middle and a width"),
        (lambda trials: interval(np.median(trials, axis=1, keepdims=True)), "the middle is not their mean"),
    ],
)
def test_05_3_a_wrong_answer_is_told_why(answer, said):
    verdict = check_05_3(answer)

    assert verdict.kind == "not yet"
    assert said in repr(verdict)


def test_05_3_who_takes_the_run_as_the_sample_is_not_told_to_do_so():
    assert "The sample is the run" not in repr(check_05_3(one_standard_error))


def test_05_3_events_taken_as_independent_cover_far_too_little():
    seen = re.search(r"covers the true value in (\d+) %", repr(check_05_3(of_events)))

    assert 10 < int(seen[1]) < 40


def test_05_3_a_stub_is_told_what_is_missing():
    assert repr(check_05_3(lambda trials: ...)).startswith("nothing here yet")


def test_the_points_of_the_chapter_add_up_to_ten():
    assert sum(check.exercise.points for check in (check_05_1, check_05_2, check_05_3)) == 10
