"""Plots of next to nothing, of very much, of what is all the same, and of what is no run at all."""

from __future__ import annotations

import math
import warnings
from itertools import product

import numpy as np
import pytest
from matplotlib.figure import Figure

from edakit.distributions import Exponential
from edakit.errors import EdakitError, InvalidValueError
from edakit.events import Event
from edakit.measuring import Deliveries, Interval, loop_lag, mm1, on_one_thread, read_queue, share_out, simulate_queue, sweep_utilisation, two_deaths
from edakit.measuring.rows import Rows
from edakit.measuring.words import percent, times
from edakit.measuring.workload import Poisson
from edakit.plots import (
    plot_backlog_over_time,
    plot_gantt,
    plot_intervals,
    plot_lag_over_time,
    plot_latency_cdf,
    plot_latency_over_time,
    plot_loop_lag,
    plot_percentiles,
    plot_promises,
    plot_queue_dial,
    plot_replay,
    plot_sharing,
    plot_stall,
    plot_tail,
    plot_throughput_over_time,
    plot_timeline,
    plot_times_handled,
    plot_wait_and_service,
    plot_wait_by_utilisation,
    plot_work_per_worker,
)

NS = 1_000_000_000
OF_RUNS = (plot_latency_cdf, plot_latency_over_time, plot_throughput_over_time, plot_backlog_over_time, plot_tail)


def around_a_stall(ax, runs):
    return plot_stall(ax, runs if isinstance(runs, dict) else {"stock": runs}, start=0.1, end=0.2)


def in_order(ax, run):
    return plot_percentiles(ax, run.latency)


def deliveries(latencies):
    """Return deliveries that are due every 10 ms and take so long each [s]."""
    due = np.arange(len(latencies)) * 10_000_000
    done = due + np.round(np.asarray(latencies) * NS).astype(np.int64)
    words = np.array(["stock"] * len(due)), np.array(["handled"] * len(due))
    rows = Rows(np.arange(len(due)), *words, due, due, due, done).where(np.argsort(done, kind="stable"))
    end = int(max(done.max(), due[-1] + 10_000_000))
    return Deliveries("stock", rows, 0, end, end, 0.0)


def drawn(seed, count=400, mean=0.004):
    return deliveries(np.random.default_rng(seed).exponential(mean, count))


RUNS = {
    "one": deliveries([0.005]),
    "one that took no time": deliveries([0.0]),
    "two": deliveries([0.005, 0.1]),
    "all the same": deliveries([0.005] * 100),
    "all in no time": deliveries([0.0] * 100),
    "some in no time": deliveries([0.0, 0.001] * 50),
    "nine decades": deliveries(10 ** np.random.default_rng(1).uniform(-8.5, 0.5, 2_000)),
}
MANY = {
    "twelve": {f"series {number}": drawn(number) for number in range(12)},
    "long names": {
        f"a very long name of a run on RabbitMQ 4.1 with quorum queues and confirms, the number of which is {number}": drawn(number) for number in range(3)
    },
}


def picture(plot, *about, axes=1, **options):
    """Draw, with every warning an error; return the figure and the table."""
    figure = Figure(figsize=(8 * axes, 4.8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = plot(*figure.subplots(1, axes, squeeze=False)[0], *about, **options)
        figure.draw_without_rendering()
    return figure, table


def words_of(figure, table):
    return " ".join([table.says, *(ax.get_title("left") for ax in figure.axes), *(str(cell) for row in table.rows for cell in row)])


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("plot", [*OF_RUNS, around_a_stall, in_order])
def test_a_run_of_any_kind_can_be_drawn_without_a_warning_and_without_a_number_that_is_none(plot, name):
    figure, table = picture(plot, RUNS[name])

    assert not {"nan", "inf"} & set(words_of(figure, table).lower().replace(",", " ").split())


@pytest.mark.parametrize(("plot", "name"), list(product([*OF_RUNS, around_a_stall], MANY)))
def test_many_runs_and_long_names_leave_room_for_the_picture_and_stay_inside_of_it(plot, name):
    figure, _ = picture(plot, MANY[name])

    (ax,) = figure.axes
    page, legend = figure.bbox, ax.get_legend().get_window_extent()
    assert ax.get_window_extent().width > page.width / 3
    assert ax.get_window_extent().height > page.height / (3 if name == "twelve" else 8)
    assert page.x0 - 1 <= legend.x0 <= legend.x1 <= page.x1 + 1
    assert page.y0 - 1 <= legend.y0 <= legend.y1 <= page.y1 + 1


def test_the_names_of_many_series_hide_none_of_them():
    figure, _ = picture(plot_tail, MANY["twelve"])

    (ax,) = figure.axes
    assert ax.get_legend().get_window_extent().x0 >= ax.get_window_extent().x1 - 1


@pytest.mark.parametrize(
    "plot",
    [lambda ax, names: plot_times_handled(ax, {name: [1, 1, 2, 0] for name in names}), lambda ax, names: plot_loop_lag(ax, {name: lag() for name in names})],
)
def test_long_names_beside_the_axis_are_wrapped(plot):
    figure, _ = picture(plot, MANY["long names"])

    (ax,) = figure.axes
    assert ax.get_window_extent().width > figure.bbox.width / 3


@pytest.mark.parametrize(("low", "high"), [(3, 8), (4.9, 5.1), (0.02, 0.09)])
def test_a_logarithmic_axis_of_less_than_a_decade_has_plain_numbers(low, high):
    figure, _ = picture(plot_latency_cdf, deliveries([low / 1e3, high / 1e3]))

    texts = [label.get_text() for minor in (False, True) for label in figure.axes[0].get_xticklabels(minor=minor)]
    assert not [text for text in texts if "$" in text]
    assert len([text for text in texts if text and low / 2 <= float(text) <= 2 * high]) >= 2


def test_of_few_answers_or_of_equal_ones_nobody_is_said_to_be_slower_than_p99():
    for name in ("one", "two", "all the same"):
        assert "nobody took more than" in picture(plot_tail, RUNS[name])[1].says
    assert "one in 100 took more than" in picture(plot_tail, RUNS["nine decades"])[1].says


def test_the_line_of_a_single_answer_can_be_seen():
    figure, _ = picture(plot_tail, RUNS["one"])

    steps, mark = figure.axes[0].lines[:2]
    assert (steps.get_ydata().max(), steps.get_ydata().min()) == (1, 0.5)
    assert steps.get_ydata().min() <= mark.get_ydata()[0] <= 1


def test_what_took_no_time_is_seen_in_the_row_and_the_axis_says_where():
    figure, table = picture(plot_percentiles, [0.0] * 3 + [0.004])

    (ax,) = figure.axes
    assert "0 at its end" in ax.get_ylabel()
    assert ax.lines[0].get_ydata().tolist() == pytest.approx([4 / 1.5] * 3 + [4])
    assert table.rows[0] == ("p50", 2, 0.0, 1)


def test_percentiles_in_one_place_share_one_mark():
    figure, _ = picture(plot_percentiles, [0.005])

    assert [text.get_text() for text in figure.axes[0].texts] == ["p50, p90, p99"]


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0"),
        (0.8, "80"),
        (0.0008, "0.08"),
        (0.995, "99.5"),
        (0.9996, "99.96"),
        (0.99999, "99.999"),
        (1 - 1e-9, "99.9999999"),
        (1, "100"),
        (1.6, "160"),
        (10, "1,000"),
    ],
)
def test_what_is_nearly_all_is_not_all(share, text):
    assert percent(share) == text


def test_a_queue_that_is_almost_or_far_overloaded_is_told_without_exponents():
    almost, far = read_queue(249.9, 0.004, duration=5), read_queue(100_000, 0.004, 25, duration=1)

    assert "busy for 99.96 % of the time" in almost.says
    assert "can handle 6,250/s: there is work for 1,600 % of the time" in far.says
    assert "grows by 93,750 events every second" in far.says
    assert times(1234567, 4) == "1,235,000"
    for reading in (almost, far):
        picture(plot_queue_dial, reading, axes=2)


def test_one_level_is_spoken_of_once():
    figure, table = picture(plot_wait_by_utilisation, sweep_utilisation([0.5], trials=2, duration=20), theory=mm1(service_rate=250))

    assert table.says.startswith("1 worker: at 50 % utilisation the mean wait is ")
    assert figure.axes[0].get_title("left").count("%") == 1


@pytest.mark.parametrize("rate", [1.0, 4.0])
def test_carts_without_events_are_drawn_beside_those_that_have_some(rate):
    sharing = share_out(partitions=3, consumers=2, rate=rate)

    assert len(set(sharing.cart.tolist())) < 12
    picture(plot_sharing, sharing, axes=2)


class Clicked(Event):
    """Somebody clicked."""


def clicks():
    """Return an app whose component `shop` had two events."""
    return on_one_thread({Clicked: lambda event, context: None}, [(0.1, Clicked()), (0.2, Clicked())])


def lag():
    return loop_lag(lambda event, context: None)


def wrong_for_every_plot():
    sweep, sample, found = sweep_utilisation([0.5], trials=2, duration=5), simulate_queue(Poisson(50, 5), Exponential(0.004)), Interval(1, 0, 2, 0.1, 2, 0.95)
    run, crew = drawn(1), two_deaths()
    yield from ((plot, (wrong,), {}) for plot in OF_RUNS for wrong in (None, [run], {"a": None}, {}, "run", np.ones(3)))
    yield from ((around_a_stall, (wrong,), {}) for wrong in (None, [run], {"a": None}, {}))
    yield from (
        (plot_latency_cdf, (run,), options) for options in ({"guess": "5"}, {"guess": 1e300}, {"guess": 5, "guess_at": "99"}, {"theory": mm1(service_rate=250)})
    )
    yield from ((plot_throughput_over_time, (run,), {"width": width}) for width in ("1", None, math.nan))
    yield from (
        (plot_backlog_over_time, (run,), options)
        for options in ({"guess": "5"}, {"guess": 5, "guess_at": math.nan}, {"guess": 5, "guess_at": "1"}, {"points": ["a", "b"]})
    )
    yield from (
        (plot_stall, ({"a": run},), options)
        for options in ({"start": "1", "end": 2}, {"start": 1, "end": 2, "margin": math.nan}, {"start": 1, "end": 1, "margin": 0})
    )
    yield from ((plot_percentiles, (wrong,), {}) for wrong in ("abc", None, [[1], [2, 3]], [-1.0, 1.0], [math.inf, 1.0], run))
    yield from ((plot_percentiles, ([1.0],), {"marks": marks}) for marks in (["50"], [None], [math.nan]))
    yield from (
        (plot_wait_by_utilisation, (sweep,), options) for options in ({"theory": "mm1"}, {"theory": mm1}, {"guess": "5"}, {"guess": 5, "guess_at": "1"})
    )
    yield from ((plot_wait_and_service, (wrong,), {}) for wrong in ([sample], {"a": sample}, {"a": [1, 2]}, {}))
    yield from ((plot_intervals, (wrong,), {"true_value": 1}) for wrong in ([found], {"a": None}, {"a": [1, 2]}, {}))
    yield from ((plot_intervals, ({"a": [found]},), {"true_value": wrong}) for wrong in ("1", None, math.nan))
    yield from ((plot_timeline, (clicks(),), options) for options in ({"start": "1"}, {"start": math.nan}))
    yield from ((plot_work_per_worker, (wrong,), {}) for wrong in (None, [crew], {"a": 1}))
    yield from ((plot_work_per_worker, (crew,), {"guess": wrong}) for wrong in ("5", -5, math.nan))
    yield from ((plot_times_handled, (wrong,), {}) for wrong in ([1, 1], None, {"a": crew}, {"a": ["1"]}))
    yield from ((plot_gantt, (wrong,), {}) for wrong in (None, run, {}, [], [1]))
    yield from ((plot_loop_lag, (wrong,), {}) for wrong in ([lag()], {"a": None}, {}))
    yield from ((plot_replay, (wrong,), {"live": 3, "unit": "pieces"}) for wrong in ([1, 2], {"a": [None]}, {"a": [1, math.nan]}, {"a": "12"}))
    yield from (
        (plot_replay, ({"a": [1]},), {"live": 3, "unit": "pieces", **wrong})
        for wrong in ({"live": "3"}, {"live": math.nan}, {"guess": math.nan}, {"guess": "2"})
    )
    yield from ((plot, (None,), {}) for plot in (plot_lag_over_time, plot_promises))


@pytest.mark.parametrize(("plot", "about", "options"), list(wrong_for_every_plot()))
def test_what_cannot_be_drawn_is_refused_with_a_sentence(plot, about, options):
    with pytest.raises(EdakitError, match="; "):
        picture(plot, *about, **options)


def test_what_a_dial_cannot_show_is_refused():
    with pytest.raises(InvalidValueError, match="reading is None"):
        picture(plot_queue_dial, None, axes=2)


def test_a_guess_of_how_long_the_longest_waits_is_a_number():
    with pytest.raises(InvalidValueError, match="guess is nan"):
        picture(plot_gantt, clicks(), guess=math.nan)


@pytest.mark.parametrize("guess", [5, ("shop", "0", 1.0), ("shop", 0, "1"), ("shop", 0, math.nan), ("shop", 2, 1.0), ("stok", 0, 1.0)])
def test_a_guess_about_a_delivery_that_is_not_drawn_is_refused(guess):
    with pytest.raises(InvalidValueError, match="guess is"):
        picture(plot_timeline, clicks(), guess=guess)
