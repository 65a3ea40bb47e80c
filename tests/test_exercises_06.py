from __future__ import annotations

import itertools
import math

import pytest

from edakit.classroom.checks import ch06
from edakit.classroom.checks.ch06 import CASES, check_06_1, check_06_2, check_06_3
from edakit.measuring.theory import mmc


def memoryless(rate, takes, variability):
    busy = rate * takes
    return busy * takes / (1 - busy)


def wait(rate, takes, variability):
    return (1 + variability) / 2 * memoryless(rate, takes, variability)


def test_06_1_the_formula_for_any_law_passes():
    assert check_06_1(wait).passed


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (memoryless, "Right for exponential times, double for constant ones."),
        (lambda rate, takes, variability: wait(rate, takes, variability) + takes, "This is the latency"),
        (lambda rate, takes, variability: 1000 * wait(rate, takes, variability), "in milliseconds"),
        (lambda rate, takes, variability: wait(rate, takes, variability**2), "variability is squared already"),
        (lambda rate, takes, variability: wait(rate, takes, math.sqrt(variability)), "take no root of it"),
        (lambda rate, takes, variability: variability * memoryless(rate, takes, 1), "orders still wait, since arrivals are random"),
        (lambda rate, takes, variability: wait(rate, takes, variability) / takes, "This is the backlog"),
        (lambda rate, takes, variability: 2 * wait(rate, takes, variability), "This is twice the wait"),
        (lambda rate, takes, variability: 2 ** (variability - 1) * memoryless(rate, takes, 1), "fits two of the variabilities and not the third"),
        (lambda rate, takes, variability: 0.5, "mean is taken for its rate"),
        (lambda rate, takes, variability: "long", "something else than a number"),
    ],
)
def test_06_1_a_wrong_answer_is_told_why(answer, said):
    verdict = check_06_1(answer)

    assert verdict.kind == "not yet"
    assert said in repr(verdict)


def test_06_1_a_stub_is_told_what_is_missing():
    assert repr(check_06_1(lambda rate, takes, variability: ...)).startswith("nothing here yet")


def in_time(rate, takes, p95, workers):
    return rate * takes < workers and mmc(service_rate=1 / takes, workers=workers).response_law(rate).percentile(95) <= p95


def workers_for(rate, takes, p95):
    if -takes * math.log(0.05) > p95:
        return None
    return next(workers for workers in itertools.count(1) if in_time(rate, takes, p95, workers))


def without_end(rate, takes, p95):
    workers = 1
    while not in_time(rate, takes, p95, workers):
        workers = min(workers + 1, 50)
    return workers


def by_factorials(rate, takes, p95):
    if -takes * math.log(0.05) > p95:
        return math.exp(10_000)
    return workers_for(rate, takes, p95)


def mean_load(rate, takes, p95):
    return math.ceil(rate * takes)


def p95_of_the_wait(rate, takes, p95):
    for workers in itertools.count(1):
        if rate * takes < workers and mmc(service_rate=1 / takes, workers=workers).wait_law(rate).percentile(95) <= p95:
            return workers
    return None


def test_06_2_the_fewest_or_none_passes():
    verdict = check_06_2(workers_for)

    assert verdict.passed
    assert f"four loads from one worker to {max(workers_for(*case) for case in CASES)}," in repr(verdict)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (mean_load, "Enough for the mean load, p95 not met."),
        (p95_of_the_wait, "the wait alone is compared with p95"),
        (lambda rate, takes, p95: (workers_for(rate, takes, p95) or 0) + 1, "More than needed"),
        (lambda rate, takes, p95: workers_for(rate, takes, p95) or 999, "No number helps: the work itself is too slow."),
        (by_factorials, "No number helps: the work itself is too slow."),
        (lambda rate, takes, p95: rate * takes, "Workers come in whole numbers."),
    ],
)
def test_06_2_a_wrong_answer_is_told_why(answer, said):
    verdict = check_06_2(answer)

    assert verdict.kind == "not yet"
    assert said in repr(verdict)


def test_06_2_a_search_without_end_is_stopped_and_told_why(monkeypatch):
    monkeypatch.setattr(ch06, "PATIENCE", 0.5)

    verdict = check_06_2(without_end)

    assert "no end of workers_for(20, 0.1, 0.2)" in repr(verdict)
    assert "No number helps: the work itself is too slow." in repr(verdict)


def test_06_2_a_search_for_what_never_comes_is_stopped_and_told_why(monkeypatch):
    monkeypatch.setattr(ch06, "SEARCH", 0.5)

    verdict = check_06_2(lambda rate, takes, p95: without_end(rate, takes, p95 / 1000))

    assert "no end of workers_for(100, 0.004, 0.05) after 0.5 s" in repr(verdict)
    assert "a p95 in milliseconds" in repr(verdict)


def test_06_2_a_stub_is_told_what_is_missing():
    assert repr(check_06_2(lambda rate, takes, p95: None)).startswith("nothing here yet")


@pytest.mark.parametrize(("rate", "takes", "p95"), CASES)
def test_06_2_no_case_is_decided_by_a_hair(rate, takes, p95):
    enough = ch06.fewest(rate, takes, p95)

    assert mmc(service_rate=1 / takes, workers=enough).response_law(rate).percentile(95) < 0.9 * p95
    if rate * takes < enough - 1:
        assert mmc(service_rate=1 / takes, workers=enough - 1).response_law(rate).percentile(95) > 1.1 * p95


BECAUSE = "The worker is 50 orders a second short. A longer queue stores them and helps nobody. Who is refused can come back."


@pytest.mark.parametrize(("bound", "policy"), [(95, "drop newest"), (80, "drop oldest"), (97, "raise")])
def test_06_3_a_short_queue_that_refuses_passes(bound, policy):
    verdict = check_06_3(bound, policy, BECAUSE)

    assert verdict.passed
    assert "At 300/s for 60 s, " in repr(verdict)


def test_06_3_an_argument_in_chinese_passes():
    assert check_06_3(95, "drop newest", "工人每秒少处理50个订单。队列再长也没有用。被拒绝的人马上知道。").passed


@pytest.mark.parametrize(
    ("bound", "policy", "because", "said"),
    [
        (10_000, "drop newest", BECAUSE, "Refused 0, the newest waits 12 s: the queue stored the surplus."),
        (None, "raise", BECAUSE, "Refused 0, the newest waits 12 s: the queue stored the surplus."),
        (95, "wait", BECAUSE, "now the publishers stand in line, the newest of them for 12 s"),
        (110, "drop newest", BECAUSE, "A little too large"),
        (5, "drop newest", BECAUSE, "the bound is smaller than need be"),
        (95, "drop newest", "It works.", "1 sentence."),
        (95, "drop newest", "The worker is too slow", "A sentence ends with a full stop."),
        (95, "shed", BECAUSE, "one of raise, drop newest, drop oldest, wait"),
        (0.4, "drop newest", BECAUSE, "a whole number of 1 or more"),
        (0.4 / 0.004 - 5, "drop newest", BECAUSE, "what a division gave"),
    ],
)
def test_06_3_a_wrong_answer_is_told_why(bound, policy, because, said):
    verdict = check_06_3(bound, policy, because)

    assert verdict.kind == "not yet"
    assert said in repr(verdict)


def test_06_3_a_stub_is_told_what_is_missing():
    assert repr(check_06_3(..., ..., ...)).startswith("nothing here yet")


def test_the_points_of_the_chapter_add_up_to_ten():
    assert sum(check.exercise.points for check in (check_06_1, check_06_2, check_06_3)) == 10
