"""How late timers are: in virtual time to the digit, on a real asyncio loop by a wide margin."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from edakit.errors import InvalidValueError
from edakit.measuring.looplag import calmest_lags, loop_lag, sliced_lag
from edakit.measuring.onethread import compute


def holds(event, context):
    compute(context, 0.3)


async def holds_async(event, context):
    compute(context, 0.3)


async def waits(event, context):
    await context.sleep(0.3)


async def slices(event, context):
    for _ in range(60):
        compute(context, 0.005)
        await context.sleep(0)


def test_the_timer_that_falls_into_a_held_thread_is_late_by_what_is_left_of_it():
    # Set when the work came, after 50 ms, and due 10 ms later; the thread is free again at 350 ms.
    run = loop_lag(holds)

    assert round(run.worst, 6) == 290
    assert np.count_nonzero(run.lag > 0.001) == 1
    assert round(float(run.due_at[run.lag.argmax()]), 9) == 0.060


def test_async_def_does_not_help_and_an_await_does():
    assert loop_lag(holds_async).worst == loop_lag(holds).worst
    assert loop_lag(waits).worst == 0


@pytest.mark.parametrize(("holds_for", "tasks", "worst"), [(0.6, 1, 590), (0.06, 1, 50), (0.06, 4, 230), (0.02, 3, 50), (0.01, 1, 0)])
def test_the_lag_is_what_each_holds_times_how_many_there_are_less_what_has_passed(holds_for, tasks, worst):
    assert round(sliced_lag(holds_for, tasks).worst, 6) == worst == tasks * holds_for * 1e3 - 10


def test_each_task_computes_all_of_its_work_also_if_the_last_slice_is_shorter():
    run = sliced_lag(0.070, tasks=2, work=0.1)

    assert [each.computed for each in run.work] == [100, 100]
    assert run.clock == "virtual"


def test_a_real_loop_is_held_by_def_and_by_async_def_and_not_by_an_await_nor_by_slices():
    for _ in range(5):  # until the machine is calm for one round of each
        lags = calmest_lags({"def": holds, "async def": holds_async, "await": waits, "slices": slices}, rounds=3)
        worst = {name: run.worst for name, run in lags.items()}
        if 3 * max(worst["await"], worst["slices"]) < worst["def"]:
            break

    assert min(worst["def"], worst["async def"]) > 250
    assert 3 * max(worst["await"], worst["slices"]) < worst["def"]


def test_of_several_rounds_the_calmest_is_kept_and_nothing_stays_behind():
    threads = set(threading.enumerate())
    turns = []

    async def hold_less_each_time(event, context):
        turns.append(None)
        compute(context, 0.4 - 0.1 * len(turns))

    lags = calmest_lags({"it": hold_less_each_time}, rounds=3, clock="virtual")

    assert len(turns) == 3
    assert round(lags["it"].worst, 6) == 90
    assert set(threading.enumerate()) <= threads


class _Loop(asyncio.SelectorEventLoop):
    """A loop of asyncio whose clock moves only when somebody computes."""

    now = 0.0

    def time(self):
        return self.now


def test_on_asyncio_a_sleeper_is_late_by_up_to_three_slices():
    """It is put into the queue, wakes its task, and the task queues too: three rounds, with a slice in each."""
    lags = []

    async def compute_in_slices(loop):
        for _ in range(200):
            loop.now += 0.015
            await asyncio.sleep(0)

    async def main():
        loop = asyncio.get_running_loop()
        work = asyncio.create_task(compute_in_slices(loop))
        while not work.done():
            due = loop.now + 0.010
            await asyncio.sleep(0.010)
            lags.append((loop.now - due) / 0.015)

    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(main())

    assert len(lags) > 30
    assert 2 < max(lags[:-1]) <= 3


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: loop_lag(holds, tasks=0), "tasks is 0; give a whole number"),
        (lambda: loop_lag(holds, every=0), "every is 0; give a number of seconds above zero"),
        (lambda: sliced_lag(0), "holds is 0; give a number of seconds above zero"),
        (lambda: calmest_lags({"it": holds}, rounds=0), "rounds is 0; give a whole number"),
    ],
)
def test_what_makes_no_sense_is_refused(call, said):
    with pytest.raises(InvalidValueError, match=said):
        call()


def test_a_handler_that_fails_is_named_on_either_clock_and_not_tried_again():
    tries = []

    def fails(event, context):
        tries.append(None)
        raise LookupError("no such report")

    with pytest.raises(LookupError, match="no such report"):
        loop_lag(fails)
    with pytest.raises(InvalidValueError, match="no such report"):
        loop_lag(fails, clock="wall")

    assert len(tries) == 2
