from __future__ import annotations

import contextlib
import threading
import time

import numpy as np
import pytest

from edakit import App, CapabilityError, Component, Constant, Exponential, Faults, measure, measure_trials
from edakit.delivery import Backoff
from edakit.errors import EventValueError, InvalidValueError, UnknownComponentError
from edakit.faults import CrashPoint
from edakit.measuring import (
    Burst,
    ClosedLoop,
    Each,
    Poisson,
    Steady,
    compare,
    interval,
    little,
    mean,
    mm1,
    simulate_queue,
    sweep_rate,
    sweep_utilisation,
)
from edakit.measuring.experiment import takers
from edakit.measuring.progress import Progress
from edakit.shop import Shoppers, build_shop
from tests.shop_language import AddItem, CartItemAdded

NS = 1_000_000_000


def stock_app(*, raising=None, **options):
    """Return an app with one component; its handler fails for the carts in *raising*."""
    stock = Component("stock", **{"takes": Exponential(0.004), "backoff": Backoff(base=0.001, cap=0.001), **options})

    @stock.on(CartItemAdded)
    def reserve(event, context):
        if raising and event.cart_id in raising:
            raise KeyError(event.cart_id)

    return App(stock)


def added(number, random):
    return CartItemAdded(cart_id=str(number))


def stalled(begin, end):
    return {begin: lambda app: app.pause("stock"), end: lambda app: app.resume("stock")}


def stalled_wall(begin, seconds):
    """Pause, and go on *seconds* [s] after the next event was published: one at least waits for so long, however late the machine does either."""
    timers = []

    def pause(app):
        app.pause("stock")
        app.hooks.on("published", lambda *_: go_on_later(app))

    def go_on_later(app):
        if not timers:
            timers.append(threading.Timer(seconds, lambda: app.resume("stock")))
            timers[0].start()

    return {begin: pause}


# Virtual time


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("arrivals", [Poisson(rate=200, duration=20), Steady(rate=240, duration=10), Burst(rate=50, peak=900, start=2, length=3, duration=10)])
def test_every_wait_of_the_full_path_is_that_of_lindleys_recursion_to_the_nanosecond(arrivals, workers):
    run = measure(stock_app(concurrency=workers), Each(arrivals, added), clock="virtual", seed=5)
    sample = simulate_queue(arrivals, Exponential(0.004), workers=workers, seed=5)

    rows = run.component("stock").rows
    order = np.argsort(rows.published_at, kind="stable")
    assert run.events == sample.waits.size > 500
    assert np.array_equal(rows.published_at[order], sample.arrivals)
    assert np.array_equal((rows.started_at - rows.published_at)[order], sample.waits)
    assert np.array_equal((rows.done_at - rows.started_at)[order], sample.services)


def test_the_shop_measured_twice_with_one_seed_is_the_same_run_and_with_another_seed_another():
    digests = [measure(build_shop(), Shoppers(Poisson(rate=5, duration=5)), clock="virtual", seed=seed).trace.digest() for seed in (7, 7, 8)]

    assert digests[0] == digests[1] != digests[2]


def test_littles_law_holds_exactly_for_each_component_of_the_shop():
    run = measure(build_shop(stock_concurrency=2), Shoppers(Poisson(rate=30, duration=10)), clock="virtual", seed=3)

    for name in run.components:
        rows = run.component(name).rows
        law = little(rows.published_at, rows.done_at)
        assert law.holds
        assert law.events > 0


@pytest.mark.parametrize("faults", [Faults(CrashPoint("stock", "handled", nth=0, share=0.1), restart_after=0.05), Faults(duplicate=0.2)])
def test_nothing_is_lost_where_workers_die_or_messages_come_twice(faults):
    stock = Component("stock", takes=Exponential(0.004))
    stock.on(CartItemAdded)(lambda event, context: None)

    run = measure(App(stock, faults=faults), Each(Poisson(rate=100, duration=5), added), clock="virtual", seed=2)

    assert run.lost == 0
    assert run.twice + run.component("stock").count("crashed") > 0


def test_a_handler_that_fails_names_itself_in_the_table_of_the_run():
    run = measure(stock_app(raising={"3", "4"}, max_attempts=2), Each(Steady(rate=10, duration=1), added), clock="virtual")

    assert (run.events, run.dead, run.lost) == (10, 2, 0)
    assert "Dead: stock: KeyError: '3' (in stock_app.<locals>.reserve, line " in repr(run)
    assert repr(run).endswith("seed 0, virtual clock, memory://")


def test_actions_happen_at_their_time():
    seen = []
    actions = {0.25: lambda app: seen.append(app.now_ns), 0.75: lambda app: seen.append(app.now_ns)}

    measure(stock_app(), Each(Steady(rate=10, duration=1), added), clock="virtual", at=actions)

    assert seen == [NS // 4, 3 * NS // 4]


def test_a_stall_delays_what_was_due_in_it_and_a_tester_who_waits_sees_one_slow_answer():
    load = Steady(rate=100, duration=4)
    shoppers = measure(stock_app(takes=Constant(0.001)), Each(load, added), clock="virtual", at=stalled(1.0, 2.0))
    tester = measure(stock_app(takes=Constant(0.001)), Each(ClosedLoop(testers=1, every=0.010, duration=4), added), clock="virtual", at=stalled(1.0, 2.0))

    assert np.sum(shoppers.latency > 0.1) > 80
    assert np.sum(tester.latency > 0.1) == 1
    assert tester.events == 400 - 99  # those of the second that it waited were never sent


def test_a_publisher_behind_a_full_queue_waits_and_its_messages_keep_the_time_at_which_they_were_due():
    run = measure(stock_app(takes=Constant(0.010), bound=2, when_full="wait"), Each(Steady(rate=200, duration=1), added), clock="virtual")

    stock = run.component("stock")
    assert (run.events, run.lost, run.unsent, run.turned_away) == (200, 0, 0, 0)
    assert stock.waiting.max() <= 0.03
    assert stock.latency.max() == pytest.approx(200 * 0.010 - 0.995, abs=0.02)
    assert np.all(np.diff(stock.done_at) > 0)


@pytest.mark.parametrize("policy", ["raise", "drop newest", "drop oldest"])
def test_what_a_full_queue_refuses_is_counted_and_not_lost(policy):
    run = measure(stock_app(takes=Constant(0.010), bound=5, when_full=policy), Each(Steady(rate=200, duration=1), added), clock="virtual")

    handled = run.component("stock").events
    assert handled + run.refused == 200
    assert run.refused > 90
    assert run.lost == 0


def test_a_closed_loop_sends_the_next_message_when_the_last_one_is_answered_and_not_before_its_time():
    run = measure(stock_app(takes=Constant(0.004)), Each(ClosedLoop(testers=2, every=0.010, duration=1), added), clock="virtual")
    slow = measure(stock_app(takes=Constant(0.030)), Each(ClosedLoop(testers=2, every=0.010, duration=1), added), clock="virtual")

    assert run.events == 200
    assert np.allclose(run.latency, 0.004)
    assert slow.events == pytest.approx(1 / 0.030, abs=2)
    assert slow.latency.max() <= 0.060


def test_the_throughput_of_a_short_closed_loop_is_what_its_workers_can_do():
    # Each of 20 testers asks again at once, and has a worker that takes 0.1 s on average: 200 answers a second. While the last answers come in, after
    # the 2 s, fewer and fewer work: counted together with that time, it would be 12 % less.
    workload = Each(ClosedLoop(testers=20, every=1e-6, duration=2), added)
    runs = measure_trials(lambda: stock_app(takes=Exponential(0.1), concurrency=20), workload, trials=20)

    assert mean([run.throughput for run in runs]) == pytest.approx(200, rel=0.03)
    assert mean([run.events / run.duration for run in runs]) < 0.93 * 200
    assert all(run.component("stock").throughput == run.throughput for run in runs)


def test_what_was_due_in_the_warm_up_and_is_handled_after_it_is_throughput():
    run = measure(stock_app(takes=Constant(0.010)), Each(Steady(rate=200, duration=2), added), clock="virtual", warmup=1.0)

    assert run.throughput == pytest.approx(100, rel=0.02)


def test_a_closed_loop_goes_on_where_nobody_is_bound_or_the_queue_is_full():
    nobody = App(Component("stock"))
    full = stock_app(takes=Constant(0.100), bound=1)

    unheard = measure(nobody, Each(ClosedLoop(every=0.010, duration=0.1), added), clock="virtual")
    refused = measure(full, Each(ClosedLoop(testers=5, every=0.010, duration=1), added), clock="virtual")

    assert (unheard.events, unheard.unrouted) == (10, 10)
    assert refused.turned_away > 10
    assert refused.lost == 0


@pytest.mark.parametrize("counts", [True, False])
def test_a_closed_loop_waits_for_the_components_of_its_own_app_on_every_broker(tmp_path, monkeypatch, counts):
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    with App(Component("away", bindings=["#"]), broker=url) as other:
        assert other.bus  # its queue stays, and nobody serves it
    app = stock_app(takes=Constant(0.1))
    app.configure(broker=url)
    if not counts:  # as RabbitMQ and Kafka
        publish = app.bus.link.publish
        monkeypatch.setattr(app.bus.link, "publish", lambda *event, **options: publish(*event, **options) and None)

    run = measure(app, Each(ClosedLoop(every=0.010, duration=2), added))

    assert 2 <= run.events <= 20, "ten at most in a second, and fewer where the machine is slow"
    assert run.latency.max() < 10


@pytest.mark.parametrize("clock", ["virtual", "wall"])
def test_a_closed_loop_goes_on_where_a_full_queue_drops_what_it_waits_for(clock):
    full = stock_app(takes=Constant(0.020), bound=1, when_full="drop oldest")

    run = measure(full, Each(ClosedLoop(testers=5, every=0.010, duration=2), added), clock=clock)

    assert run.refused > 10
    assert (run.lost, run.component("stock").events) == (0, run.events - run.refused)


def test_a_command_is_sent_to_its_one_handler():
    cart = Component("cart")
    cart.on(AddItem)(lambda command, context: None)

    run = measure(App(cart), Each(Steady(rate=10, duration=1), lambda number, random: AddItem(cart_id="c")), clock="virtual")

    assert run.component("cart").events == 10


def test_what_a_paused_component_has_not_handled_is_waiting_and_not_lost():
    run = measure(stock_app(), Each(Steady(rate=10, duration=1), added), clock="virtual", at={0.35: lambda app: app.pause("stock")})

    assert (run.waiting_events, run.lost, run.component("stock").events) == (6, 0, 4)


def test_the_warm_up_counts_for_the_account_and_not_for_latencies():
    app = stock_app(takes=Constant(0.001))
    run = measure(app, Each(Steady(rate=10, duration=2), added), clock="virtual", warmup=0.5)

    assert run.latency.size == run.events == 15
    assert run.component("stock").count("handled") == 20
    assert run.throughput == pytest.approx(10)


def test_an_interrupted_run_keeps_what_was_measured():
    def press_stop(app):
        raise KeyboardInterrupt

    run = measure(stock_app(), Each(Steady(rate=100, duration=2), added), clock="virtual", at={1.0: press_stop})

    assert run.interrupted
    assert 90 <= run.component("stock").events <= 101
    assert run.lost == 0
    assert "interrupted" in repr(run)


def test_an_interrupted_series_of_trials_keeps_those_that_were_run():
    def press_stop(app):
        if app.seed == 2:
            raise KeyboardInterrupt

    runs = measure_trials(stock_app, Each(Steady(rate=100, duration=1), added), trials=5, at={0.5: press_stop})

    assert [run.interrupted for run in runs] == [False, False, True]


def test_trials_have_seeds_of_their_own():
    runs = measure_trials(stock_app, Each(Poisson(rate=100, duration=2), added), trials=3, seed=10)

    assert [run.seed for run in runs] == [10, 11, 12]
    assert len({run.trace.digest() for run in runs}) == 3
    assert interval([mean(run.waiting) for run in runs]).trials == 3


def test_runs_are_compared_line_by_line():
    runs = {
        name: measure(stock_app(takes=Constant(takes)), Each(Steady(rate=10, duration=1), added), clock="virtual")
        for name, takes in (("a", 0.001), ("b", 0.002))
    }

    table = compare(runs)

    assert table.column("run") == ["a", "b"]
    assert table.column("p50 [ms]") == [1.0, 2.0]


# Real time


def test_in_real_time_the_same_messages_are_handled_and_no_thread_is_left():
    before = set(threading.enumerate())
    load = Each(Poisson(rate=200, duration=1), added)

    real = measure(stock_app(takes=None), load, clock="wall", seed=4)
    virtual = measure(stock_app(takes=None), load, clock="virtual", seed=4)

    assert (real.events, real.lost, real.dead) == (virtual.events, 0, 0)
    due = real.component("stock").rows.due_at
    assert np.array_equal(np.sort(due) - real.start_ns, np.sort(virtual.component("stock").rows.due_at))
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("workload", [Each(Steady(rate=100, duration=1), added), Each(ClosedLoop(every=0.010, duration=1), added)])
def test_in_real_time_a_stall_is_seen_and_ends(workload):
    run = measure(stock_app(takes=None), workload, clock="wall", at=stalled_wall(0.3, 0.3))

    assert run.latency.max() > 0.15
    assert run.lost == 0


def test_in_real_time_a_publisher_waits_for_a_queue_that_somebody_else_empties():
    run = measure(stock_app(takes=None, bound=3, when_full="wait"), Each(Steady(rate=100, duration=0.5), added), clock="wall", at=stalled_wall(0.1, 0.2))

    assert (run.component("stock").events, run.lost, run.turned_away) == (50, 0, 0)
    assert run.latency.max() > 0.1


def test_an_interrupted_run_in_real_time_stops_its_threads_and_keeps_what_was_measured():
    before, app = set(threading.enumerate()), stock_app(takes=None)
    app.hooks.on("published", lambda *_: _interrupt_after(app, 15))

    run = measure(app, Each(Steady(rate=200, duration=60), added), clock="wall")

    assert run.interrupted
    assert 15 <= run.component("stock").events <= len(app.trace.publications) < 12_000
    assert set(threading.enumerate()) <= before


def _interrupt_after(app, events):
    if len(app.trace.deliveries) >= events:
        raise KeyboardInterrupt


def test_handlers_that_fail_in_real_time_do_not_end_the_run():
    run = measure(stock_app(takes=None, raising={"3"}, max_attempts=2), Each(Steady(rate=100, duration=0.1), added), clock="wall")

    assert (run.component("stock").events, run.dead, run.lost) == (9, 1, 0)
    assert "KeyError" in repr(run)


def test_what_a_tester_in_a_thread_cannot_go_on_for_is_raised():
    before = set(threading.enumerate())

    with pytest.raises(EventValueError, match="CartItemAdded was not sent"):
        measure(stock_app(takes=None), Each(ClosedLoop(testers=2, every=0.010, duration=60), _cannot_travel), clock="wall")

    assert set(threading.enumerate()) <= before


def _cannot_travel(number, random):
    return CartItemAdded(cart_id=number)


@pytest.mark.parametrize("clock", ["virtual", "wall"])
def test_what_an_action_raises_is_raised(clock):
    before = set(threading.enumerate())

    with pytest.raises(UnknownComponentError, match="'stokc'"):
        measure(stock_app(takes=None), Each(Steady(rate=100, duration=0.1), added), clock=clock, at={0.05: lambda app: app.pause("stokc")})

    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("load", [Steady(rate=100, duration=0.1), ClosedLoop(every=0.010, duration=0.1)])
def test_what_ends_a_component_in_real_time_ends_the_run_that_waits_for_it(load):
    app = stock_app(takes=None)
    app.hooks.on("handled", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        measure(app, Each(load, added), clock="wall")


# What does not go together


def test_a_used_app_is_refused():
    app = stock_app()
    app.publish(CartItemAdded(cart_id="c"))

    with pytest.raises(InvalidValueError, match="a new app"):
        measure(app, Each(Steady(rate=1, duration=1), added))


@pytest.mark.parametrize("warmup", [-1, 1, float("nan")])
def test_a_warm_up_that_leaves_nothing_is_refused(warmup):
    with pytest.raises(InvalidValueError, match="warmup"):
        measure(stock_app(), Each(Steady(rate=1, duration=1), added), clock="virtual", warmup=warmup)


def test_a_virtual_clock_with_a_network_broker_is_refused():
    with pytest.raises(CapabilityError, match="virtual time"):
        measure(stock_app(), Each(Steady(rate=1, duration=1), added), clock="virtual", broker="amqp://localhost")


def test_who_was_to_get_an_event_is_known_where_receipts_do_not_tell():
    stock, audit, lossy = Component("stock"), Component("audit", bindings=["cart.#"]), Component("lossy", bound=1, when_full="drop oldest")
    for component in (stock, lossy):
        component.on(CartItemAdded)(lambda event, context: None)
    app = App(stock, audit, lossy, broker="amqp://127.0.0.1:1")
    app.trace.published(("1", "", "1", "cart.item.added", "app", 0, 0, -1))
    app.trace.published(("2", "", "2", "order.placed", "app", 0, 0, -1))

    assert takers(app, app.components.values()) == {"cart.item.added": 2, "order.placed": 0}
    app.configure(broker="memory://")
    assert takers(app, app.components.values()) == {}


def test_trials_take_every_option_of_measure():
    runs = measure_trials(stock_app, Each(Steady(100, 0.1), added), trials=2, label="mine", warmup=0.05)

    assert [(run.label, run.warmup) for run in runs] == [("mine", 0.05)] * 2


def test_levels_and_rates_of_a_sweep_may_be_an_array():
    swept = sweep_utilisation(np.linspace(0.3, 0.6, 2), trials=2, duration=1)
    measured = sweep_rate(stock_app, lambda rate: Each(Steady(rate, 0.1), added), np.array([50.0, 100.0]), trials=1)

    assert swept.levels == (0.3, 0.6)
    assert measured.rates == (50.0, 100.0)


@pytest.mark.parametrize("clock", ["virtual", "wall"])
def test_an_action_before_the_run_is_refused(clock):
    with pytest.raises(InvalidValueError, match="-1"):
        measure(stock_app(), Each(Steady(rate=1, duration=1), added), clock=clock, at={-1.0: lambda app: None})


@pytest.mark.parametrize("trials", [0, 1.5])
def test_trials_are_counted_in_whole_numbers(trials):
    with pytest.raises(InvalidValueError, match="trials"):
        measure_trials(stock_app, Each(Steady(rate=1, duration=1), added), trials=trials)
    with pytest.raises(InvalidValueError, match="trials"):
        sweep_utilisation([0.5], trials=trials)


# Sweeps


def test_a_sweep_finds_the_waits_of_theory_and_lasts_as_long_as_it_says():
    theory = mm1(service_rate=250)
    sweep = sweep_utilisation([0.3, 0.6], trials=20, duration=100, seed=1)

    for level in sweep.levels:
        assert abs(sweep.wait(level) - theory.wait(level * 250)) < 3 * sweep.standard_error(level)
        assert sweep.wait(level) in sweep.interval(level)
    assert sweep.waits.shape == (2, 20)
    assert sweep.rates == (75.0, 150.0)


def test_a_sweep_of_even_arrivals_and_constant_service_never_waits():
    sweep = sweep_utilisation([0.5, 0.9], takes=Constant(0.004), arrivals=Steady, trials=2, duration=10)

    assert np.all(sweep.waits == 0)


def test_a_sweep_through_the_full_path_is_the_sweep_by_lindley():
    rates, service = [100, 200], Exponential(0.004)
    full = sweep_rate(stock_app, lambda rate: Each(Poisson(rate=rate, duration=10), added), rates, trials=2, warmup=1.0).component("stock")

    for row, rate in enumerate(rates):
        for trial in range(2):
            sample = simulate_queue(Poisson(rate=rate, duration=10), service, seed=trial).after(1.0)
            assert full.waits[row, trial] == mean(sample.waiting)
    assert full.levels == pytest.approx([0.4, 0.8], rel=0.1)


@pytest.mark.parametrize("levels", [[], [0.0], [-0.1]])
def test_a_sweep_needs_levels_above_zero(levels):
    with pytest.raises(InvalidValueError, match="levels"):
        sweep_utilisation(levels)


def test_a_level_that_was_not_swept_is_refused_with_those_that_were():
    with pytest.raises(InvalidValueError, match=r"0\.3, 0\.6"):
        sweep_utilisation([0.3, 0.6], trials=2, duration=1).wait(0.9)


def test_an_interrupted_sweep_keeps_the_trials_that_were_finished():
    calls = []

    def arrivals(rate, duration):
        calls.append(rate)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return Poisson(rate, duration)

    sweep = sweep_utilisation([0.3, 0.6], arrivals=arrivals, trials=10, duration=1)

    assert sweep.waits.shape == (2, 2)


def test_an_interrupted_sweep_of_runs_keeps_the_rates_that_were_finished():
    apps = []

    def make_app():
        apps.append(stock_app())
        if len(apps) == 4:
            apps[-1].hooks.on("handled", _press_stop)
        return apps[-1]

    sweep = sweep_rate(make_app, lambda rate: Each(Poisson(rate=rate, duration=1), added), [50, 100, 150], trials=2)

    assert sweep.rates == (50,)
    assert sweep.component("stock").waits.shape == (1, 2)


def _press_stop(*_):
    raise KeyboardInterrupt


def test_progress_shows_in_a_terminal_only_when_it_takes_long(capsys, monkeypatch):
    monkeypatch.setenv("EDAKIT_PROGRESS", "1")

    measure(stock_app(takes=None), Each(Steady(rate=1000, duration=0.3), added), clock="wall")
    assert capsys.readouterr().err == ""

    measure(stock_app(takes=None), Each(Steady(rate=200, duration=2.6), added), clock="wall")
    assert "measuring" in capsys.readouterr().err


def test_progress_is_off_where_it_is_not_wanted(capsys, monkeypatch):
    monkeypatch.setenv("EDAKIT_PROGRESS", "0")
    monkeypatch.setattr("edakit.measuring.progress.DELAY", 0.0)

    began = time.perf_counter()
    measure(stock_app(takes=None), Each(Steady(rate=500, duration=0.3), added), clock="wall")

    assert capsys.readouterr().err == ""
    assert time.perf_counter() - began >= 0.3


@pytest.mark.parametrize(("error", "shown"), [(None, 3.0), (KeyError, 2.5)])
def test_a_bar_is_full_in_the_end_unless_something_failed(monkeypatch, error, shown):
    monkeypatch.setenv("EDAKIT_PROGRESS", "1")

    with contextlib.suppress(KeyError), Progress(3.0, "measuring", "s") as progress:
        progress.to(2.5)
        if error:
            raise error

    assert progress._bar.n == shown


@pytest.mark.parametrize("clock", ["virtual", "wall"])
def test_what_comes_first_is_handled_to_its_end_and_counts_for_the_account_alone(clock):
    run = measure(stock_app(takes=None), Each(Steady(100, 0.05), added), first=Each(Steady(1000, 0.02), added), clock=clock)

    assert len(run.trace.deliveries) == 25
    assert (run.events, run.latency.size, run.lost) == (5, 5, 0)
    assert run.due_at.min() >= 0


def test_a_first_workload_that_is_interrupted_leaves_no_thread():
    before = set(threading.enumerate())

    with pytest.raises(KeyboardInterrupt):
        measure(stock_app(), Each(Steady(100, 0.05), added), first=Interrupted(), clock="wall")

    assert set(threading.enumerate()) <= before


class Interrupted:
    """A workload at whose first message somebody presses Ctrl-C."""

    duration = 1.0

    def messages(self, random):
        raise KeyboardInterrupt


class OutOfTime:
    """Makes new apps, and is interrupted instead of making the one of *number*."""

    def __init__(self, number):
        self.number, self.made = number, 0

    def __call__(self):
        self.made += 1
        if self.made == self.number:
            raise KeyboardInterrupt
        return stock_app()


ONE_SECOND = Each(Steady(rate=20, duration=1), added)


def test_trials_that_are_interrupted_between_two_runs_are_kept():
    runs = measure_trials(OutOfTime(3), ONE_SECOND, trials=5)

    assert [run.interrupted for run in runs] == [False, False]


def test_a_sweep_of_runs_that_is_interrupted_between_two_runs_keeps_whole_rates_only():
    sweep = sweep_rate(OutOfTime(4), lambda _: ONE_SECOND, [10, 20, 30], trials=2)

    assert sweep.rates == (10,)
    assert [len(row) for row in sweep.runs] == [2]


def test_an_interrupt_before_anything_was_measured_is_one():
    with pytest.raises(KeyboardInterrupt):
        measure_trials(OutOfTime(1), ONE_SECOND)
    with pytest.raises(KeyboardInterrupt):
        sweep_rate(OutOfTime(1), lambda _: ONE_SECOND, [10])
