"""One thread in virtual time: who holds it, who gives it back, and who waits meanwhile."""

from __future__ import annotations

import time

import pytest

from edakit import App, Component, Constant, Event, VirtualClock
from edakit.errors import InvalidValueError, VirtualTimeError
from edakit.measuring.handlings import AtOnce, at_once, compare_at_once, handlings
from edakit.measuring.onethread import OneThread, compute, on_one_thread


class Long(Event):
    """Something that takes long."""


class Short(Event):
    """Something that does not."""


def holds(seconds):
    return lambda event, context: compute(context, seconds)


def holds_async(seconds):
    async def handle(event, context):
        compute(context, seconds)

    return handle


def waits(seconds):
    async def handle(event, context):
        await context.sleep(seconds)

    return handle


def sliced(count, seconds):
    async def handle(event, context):
        for _ in range(count):
            compute(context, seconds)
            await context.sleep(0)

    return handle


def long_then_short(handler):
    """Return how long the short one waited behind the long one, and when the long one ended [ms]."""
    long, short = handlings(on_one_thread({Long: handler, Short: holds(0.004)}, [(0.0, Long()), (0.010, Short())]))
    return short.waited, long.ended_at / 1e6


def test_who_comes_while_the_thread_is_held_waits_for_its_end():
    assert long_then_short(holds(0.100)) == (90, 100)


def test_async_def_without_an_await_holds_the_thread_as_long():
    assert long_then_short(holds_async(0.100)) == (90, 100)


def test_who_comes_while_a_handler_awaits_is_handled_at_once():
    assert long_then_short(waits(0.100)) == (0, 100)


def test_who_comes_while_a_sliced_handler_computes_waits_for_the_end_of_a_slice():
    assert long_then_short(sliced(25, 0.004)) == (2, 104)


def test_a_timer_that_is_due_while_the_thread_is_held_is_late_and_not_lost():
    two = handlings(on_one_thread({Long: waits(0.020), Short: holds(0.100)}, [(0.0, Long()), (0.010, Short())]))

    assert [each.ended_at / 1e6 for each in two] == [110, 110]


def test_the_slices_tell_who_held_the_thread_and_when():
    app = on_one_thread({Long: sliced(2, 0.030), Short: holds(0.004)}, [(0.0, Long()), (0.010, Short())])

    assert [(part.began_at / 1e6, part.ended_at / 1e6) for part in app.slices] == [(0, 30), (30, 34), (34, 64)]
    assert app.slices[0].event == app.slices[2].event != app.slices[1].event
    assert {part.component for part in app.slices} == {"shop"}
    assert [each.computed for each in handlings(app)] == [60, 4]


def test_slices_never_overlap():
    app = on_one_thread({Long: sliced(7, 0.003), Short: holds_async(0.005)}, [(0.002 * number, event) for number in range(9) for event in (Long(), Short())])
    ends = [part.ended_at for part in app.slices]

    assert all(end <= part.began_at for end, part in zip(ends, app.slices[1:], strict=False))


def test_under_way_is_concurrent_and_computing_is_parallel():
    workers = Component("workers", concurrency=3, takes=Constant(0.1))
    workers.on(Long)(lambda event, context: None)
    parallel = App(workers, broker="memory://", clock="virtual")
    parallel.publish_many([Long()] * 3)
    parallel.run_until_idle()
    runs = {
        "computes": on_one_thread({Long: holds_async(0.1)}, [(0.0, Long())] * 3),
        "awaits": on_one_thread({Long: waits(0.1)}, [(0.0, Long())] * 3),
        "3 workers": parallel,
    }

    assert [at_once(app) for app in runs.values()] == [AtOnce(1, 1, 300), AtOnce(3, 0, 100), AtOnce(3, 3, 100)]
    assert compare_at_once(runs).column("computing at once") == [1, 0, 3]


def test_in_real_time_handlings_count_from_the_first_event():
    component = Component("shop")
    component.on(Long)(lambda event, context: None)
    app = App(component, broker="memory://")
    app.publish(Long())
    app.run_until_idle()

    assert handlings(app)[0].due_at == 0
    assert 0 <= at_once(app).over_at < 60_000


def test_events_of_one_name_are_numbered_and_others_are_not():
    app = on_one_thread({Long: holds(0.1), Short: holds(0.1)}, [(0.0, Long()), (0.0, Short()), (0.0, Long())])

    assert [each.name for each in handlings(app)] == ["long 1", "short", "long 2"]


def test_a_handler_that_raises_raises_to_the_caller():
    def fail(event, context):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        on_one_thread({Long: fail}, [(0.0, Long())])


def test_takes_is_refused_since_it_gives_each_worker_a_time_of_its_own():
    with pytest.raises(InvalidValueError, match=r"takes of stock is .*call compute"):
        OneThread(Component("stock", takes=Constant(0.1)))


def test_a_wall_clock_is_refused():
    with pytest.raises(VirtualTimeError, match="clock of its own"):
        OneThread(Component("stock")).configure(clock="wall")


def test_compute_in_an_ordinary_virtual_app_says_what_to_do():
    component = Component("stock")
    component.on(Long)(holds(0.1))
    app = App(component, broker="memory://", clock="virtual")
    app.publish(Long())

    with pytest.raises(VirtualTimeError, match="make the app with OneThread"):
        app.run_until_idle()


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_compute_refuses_what_is_no_duration(seconds):
    with pytest.raises(InvalidValueError, match="a number of seconds"):
        on_one_thread({Long: holds(seconds)}, [(0.0, Long())])


def test_in_real_time_compute_takes_that_long_and_really_computes():
    component = Component("stock")
    component.on(Long)(holds(0.3))
    app = App(component, broker="memory://")
    shares = []

    for _ in range(20):  # a busy machine may give the thread no time once, not always
        app.publish(Long())
        began, used = time.perf_counter(), time.thread_time()
        app.run_until_idle()
        took = time.perf_counter() - began
        assert took >= 0.3
        shares.append((time.thread_time() - used) / took)
        if shares[-1] > 0.03:
            break

    assert max(shares) > 0.03, "who only waits for it uses no hundredth of the time"


def test_the_clock_of_every_other_app_still_refuses_to_go_back():
    clock = VirtualClock(5)

    with pytest.raises(VirtualTimeError, match="cannot go back"):
        clock.advance_to(4)
