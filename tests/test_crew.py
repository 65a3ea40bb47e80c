"""Workers that share a queue in virtual time, each with a bag of its own."""

from __future__ import annotations

import math

import pytest

from edakit.errors import InvalidValueError
from edakit.measuring import ACKS, Attempt, CrewRun, Death, run_crew, two_deaths
from edakit.measuring.attempts import load_runs, save_runs


@pytest.mark.parametrize("ack", ACKS)
@pytest.mark.parametrize("prefetch", [1, 3, 40])
def test_without_a_death_each_order_is_packed_once_whoever_acks_when(ack, prefetch):
    run = run_crew(workers=3, prefetch=prefetch, ack=ack, orders=40)

    assert run.parcels == (1,) * 40
    assert (run.lost, run.twice, run.came_back, run.waiting, run.deaths) == (0, 0, 0, 0, ())


def test_messages_are_handed_out_in_turn():
    run = run_crew(workers=3, prefetch=2, orders=6, takes=1.0)

    assert [(attempt.order, attempt.worker) for attempt in run.attempts if attempt.began == 0] == [(0, 0), (1, 1), (2, 2)]
    assert [run.packed_by(worker) for worker in range(3)] == [2, 2, 2]


@pytest.mark.parametrize(("prefetch", "shares", "over_at"), [(20, [20, 20], 2.4), (1, [8, 32], 0.96)])
def test_a_large_bag_keeps_orders_from_those_who_are_quick(prefetch, shares, over_at):
    run = run_crew(workers=2, prefetch=prefetch, orders=40, takes=[0.12, 0.03])

    assert [run.packed_by(worker) for worker in (0, 1)] == shares
    assert run.over_at == pytest.approx(over_at)


@pytest.mark.parametrize(("prefetch", "share"), [(1, 1 / 6), (2, 2 / 6), (5, 5 / 6), (6, 1.0), (50, 1.0)])
def test_a_worker_is_busy_for_as_much_of_a_round_trip_as_its_bag_holds(prefetch, share):
    run = run_crew(workers=1, prefetch=prefetch, orders=600, takes=0.002, round_trip=0.010)

    assert 600 * 0.002 / run.over_at == pytest.approx(share, rel=0.01)


@pytest.mark.parametrize("prefetch", [1, 4, 10])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_an_ack_after_the_work_loses_nothing_and_repeats_what_was_packed_and_not_acked(workers, prefetch):
    run = two_deaths(workers, prefetch)

    assert (run.lost, run.twice, len(run.deaths), run.waiting) == (0, 1, 2, 0)


@pytest.mark.parametrize("prefetch", [1, 4, 10])
def test_an_ack_before_the_work_repeats_nothing_and_loses_what_was_begun(prefetch):
    run = two_deaths(2, prefetch, "before the work")

    assert (run.lost, run.twice, len(run.deaths), run.waiting) == (1, 0, 2, 0)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("prefetch", [1, 2, 5])
def test_an_ack_on_receipt_loses_the_whole_bag_at_each_death(workers, prefetch):
    run = two_deaths(workers, prefetch, "on receipt")

    # Twice the bag, and what was in the hands before it was packed.
    assert (run.lost, run.twice, run.came_back) == (2 * prefetch + 1, 0, 0)


def test_what_was_in_the_bag_of_a_dead_worker_comes_back_marked_when_it_is_back():
    run = run_crew(workers=2, prefetch=4, orders=20, takes=0.1, kills={0: {2: "before packing"}}, away=0.25)

    assert run.deaths == (Death(0, 0.2),)
    back = [attempt for attempt in run.attempts if attempt.redelivered]
    # Its second order and the four that it had been sent: one in its hands, three in its bag.
    assert {attempt.order for attempt in back} == {2, 4, 6, 8}
    assert min(attempt.began for attempt in back) >= 0.45
    assert run.back_after == pytest.approx(0.25, abs=0.1)


def test_the_attempt_with_which_a_worker_died_has_no_end():
    run = two_deaths(1, 1)

    assert [(attempt.order, attempt.packed is None) for attempt in run.attempts if attempt.ended is None] == [(2, True), (3, False)]


def test_the_same_arguments_give_the_same_run():
    assert two_deaths(3, 5) == two_deaths(3, 5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"workers": 0},
        {"prefetch": 0},
        {"orders": 1.5},
        {"ack": "late"},
        {"takes": [0.1]},
        {"kills": {0: {1: "never"}}},
        {"kills": {2: {1: "before packing"}}},
        {"away": -1.0},
    ],
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(InvalidValueError):
        run_crew(**{"workers": 2, **wrong})


def run(*attempts, **more):
    return CrewRun(3, 2, tuple(attempts), **more)


def test_orders_that_wait_are_not_lost():
    packed = Attempt(0, 0, False, 0.0, 0.1, 0.1)

    assert run(packed).lost == 2
    assert run(packed, waiting=2).lost == 0


def test_what_nobody_began_or_got_back_has_no_time():
    assert math.isnan(run().back_after)
    assert run().over_at == 0


def test_runs_are_read_as_they_were_written(tmp_path):
    runs = {"late": two_deaths(2, 5), "early": two_deaths(2, 5, "before the work")}
    save_runs(tmp_path / "runs.json", runs)

    assert load_runs(tmp_path / "runs.json") == runs


@pytest.mark.parametrize("text", ["", "[]", '{"late": {"orders": 3}}', '{"late": {"attempts": [[1]], "deaths": []}}'])
def test_a_file_that_holds_something_else_is_named(tmp_path, text):
    (tmp_path / "runs.json").write_text(text, encoding="utf-8")

    with pytest.raises(InvalidValueError, match=r"runs\.json"):
        load_runs(tmp_path / "runs.json")
