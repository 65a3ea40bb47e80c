"""The pictures of chapter 05: a stall, dots in order, the slowest few, the beginning of a run, intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from edakit import Constant
from edakit.errors import InvalidValueError
from edakit.measuring import LOAD_MODELS, Interval, QueueSample, Steady, load_test, simulate_queue
from edakit.measuring.errors import NothingMeasuredError
from edakit.plots import plot_intervals, plot_percentiles, plot_stall, plot_tail, plot_warmup
from edakit.plots.style import FONT
from tests.one_stall import press, shop


@pytest.fixture
def ax():
    return Figure(figsize=(8, 4.2)).subplots()


@pytest.fixture(scope="module")
def tests():
    """A tester who waits, and shoppers who do not; the cart stands still from 2 s to 3 s of 6."""
    return {name: load_test(shop, press, "cart", model=LOAD_MODELS[number], duration=6.0, start=2.0) for name, number in (("tester", 0), ("shoppers", 2))}


def texts(ax):
    drawn = [*ax.texts, ax.xaxis.label, ax.yaxis.label, ax.title, *(ax.get_legend().get_texts() if ax.get_legend() else [])]
    return [text for text in drawn if text.get_text()]


# plot_stall


def test_the_table_counts_the_slow_answers_of_each_test(ax, tests):
    table = plot_stall(ax, tests, start=2.0, end=3.0)

    assert table.column("answers") == [501, 600]
    counts = table.column("slower than 100 ms")
    assert counts == [int(np.sum(test.latency > 0.1)) for test in tests.values()]
    assert counts[0] == 1
    assert table.says.startswith("tester: 1 of 501 answers took more than 100 ms, p99 is ")


def test_only_the_time_around_the_stall_is_drawn_a_dot_each(ax, tests):
    plot_stall(ax, tests, start=2.0, end=3.0, margin=0.5)

    tester, shoppers = (line.get_xdata() for line in ax.lines)
    assert (min(shoppers), max(shoppers)) == (1.5, 3.5)
    assert 1.5 <= min(tester) < max(tester) <= 3.5
    assert len(shoppers) - len(tester) in {99, 100}
    assert ax.get_xlim() == (1.5, 3.5)
    assert ax.lines[0].get_marker() != ax.lines[1].get_marker()


def test_milliseconds_of_a_stall_are_written_out(ax, tests):
    plot_stall(ax, tests, start=2.0, end=3.0)
    ax.figure.draw_without_rendering()

    assert {"1", "10", "1000"} <= {label.get_text() for label in ax.get_yticklabels()}


def test_a_stall_of_no_length_is_drawn_without_its_words(ax, tests):
    plot_stall(ax, tests, start=2.0, end=2.0)

    assert "stands still" not in [text.get_text() for text in ax.texts]


@pytest.mark.parametrize(("end", "inside"), [(2.1, False), (3.0, True)])
def test_the_words_of_a_stall_stand_inside_of_it_or_in_the_legend(ax, tests, end, inside):
    plot_stall(ax, tests, start=2.0, end=end)

    assert ("stands still" in [text.get_text() for text in ax.texts]) == inside
    assert ("stands still" in [text.get_text() for text in ax.get_legend().get_texts()]) != inside


def test_without_a_slow_answer_the_axis_reaches_to_where_slow_begins_and_the_legend_hides_no_answer(ax):
    quick = load_test(shop, press, "cart", model=LOAD_MODELS[2], stall=0.0, duration=6.0)

    plot_stall(ax, {"shoppers": quick}, start=2.0, end=2.0)
    ax.figure.draw_without_rendering()

    assert ax.get_ylim()[1] > 100
    assert not ax.get_legend().get_window_extent().count_contains(ax.transData.transform(ax.lines[0].get_xydata()))


@pytest.mark.parametrize("wrong", [{"start": 3.0, "end": 2.0}, {"start": -1.0, "end": 2.0}])
def test_a_stall_that_ends_before_it_begins_is_refused(ax, tests, wrong):
    with pytest.raises(InvalidValueError, match="a stall that begins at 0 s or later"):
        plot_stall(ax, tests, **wrong)


def test_no_test_is_refused(ax):
    with pytest.raises(InvalidValueError, match=r"what is to be drawn is \{\}"):
        plot_stall(ax, {}, start=1.0, end=2.0)


# plot_percentiles


def test_each_mark_stands_at_its_place_in_the_row(ax):
    table = plot_percentiles(ax, np.arange(100, 0, -1) / 1000)

    assert table.rows[:3] == [("p50", 50, 50.0, 50), ("p90", 90, 90.0, 10), ("p99", 99, 99.0, 1)]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines[2:]] == [(50, 50.0), (90, 90.0), (99, 99.0)]


def test_the_mean_lies_above_all_that_are_quicker(ax):
    table = plot_percentiles(ax, [0.001] * 98 + [0.5, 1.0])

    assert table.rows[-1] == ("mean", 98, 15.98, 2)
    assert table.says.endswith("the mean, 16 ms, lies above 98 of them.")


def test_the_mean_does_not_lie_above_those_that_took_as_long(ax):
    table = plot_percentiles(ax, [0.002] * 5)

    assert table.rows[-1] == ("mean", 0, 2.0, 0)


def test_milliseconds_are_written_out_and_the_line_of_the_mean_is_not_under_the_legend(ax):
    plot_percentiles(ax, [0.001] * 98 + [0.5, 1.0])
    ax.figure.draw_without_rendering()

    assert {"1", "10", "1000"} <= {label.get_text() for label in ax.get_yticklabels()}
    bottom = ax.get_legend().get_window_extent().y0
    assert ax.transData.transform((0, ax.lines[1].get_ydata()[0]))[1] < bottom


def test_dots_are_drawn_in_order(ax):
    plot_percentiles(ax, [0.003, 0.001, 0.002])

    assert ax.lines[0].get_ydata().tolist() == [1.0, 2.0, 3.0]


def test_a_percentile_of_nothing_is_refused(ax):
    with pytest.raises(NothingMeasuredError, match="a percentile of no values"):
        plot_percentiles(ax, [])


# plot_tail


def test_the_tail_is_one_in_a_hundred_at_p99(ax, tests):
    table = plot_tail(ax, tests)

    for line, test, row in zip(ax.lines[:4:2], tests.values(), table.rows, strict=True):
        values, left = line.get_xdata(), line.get_ydata()
        assert left[values <= test.percentile(99) * 1e3][-1] <= 0.01 < left[values < test.percentile(99) * 1e3][-1] + 1e-9
        assert row[3] == round(test.percentile(99) * 1e3, 3)
        assert np.all(np.diff(left) < 0)
    assert table.column("answers") == [501, 600]


def test_the_axis_counts_one_in_so_many(ax, tests):
    plot_tail(ax, tests)

    assert [ax.yaxis.get_major_formatter()(share) for share in (1, 0.1, 0.001)] == ["all", "1 in 10", "1 in 1,000"]


def test_of_nothing_there_is_no_tail(ax):
    with pytest.raises(InvalidValueError, match="a run"):
        plot_tail(ax, {})


# plot_warmup


def test_a_bin_is_the_mean_over_all_events_of_all_runs(ax):
    seconds, ms = 10**9, 10**6
    one = QueueSample(np.array([0, 1, 6]) * seconds, np.zeros(3, dtype=int), np.array([0, 30, 90]) * ms)
    other = QueueSample(np.array([2]) * seconds, np.zeros(1, dtype=int), np.array([60]) * ms)

    table = plot_warmup(ax, [one, other], width=5, usual=0.1)

    assert table.rows == [("0 to 5", 30), ("5 to 10", 90), ("5 to 10", 90)]
    assert table.says == "In the first 5 s the mean wait is 30 ms, in the second half of the run 90 ms."


def test_a_queue_without_chance_has_no_warm_up(ax):
    table = plot_warmup(ax, [simulate_queue(Steady(8, 40), Constant(0.1))], width=5, usual=0.0)

    assert set(table.column("mean wait [ms]")) == {0}


EIGHT = simulate_queue(Steady(8, 4), Constant(0.1))


@pytest.mark.parametrize(
    ("samples", "width", "usual", "named"),
    [
        ([], 5, 0.1, "samples"),
        (EIGHT, 5, 0.1, "samples"),
        ([EIGHT], 0, 0.1, "width"),
        ([EIGHT], math.inf, 0.1, "width"),
        ([EIGHT], 1e-9, 0.1, "width"),  # would be four thousand million bins
        ([EIGHT], 5, math.nan, "usual"),
    ],
)
def test_no_sample_or_no_width_is_refused(ax, samples, width, usual, named):
    with pytest.raises(InvalidValueError, match=f"{named} is"):
        plot_warmup(ax, samples, width=width, usual=usual)


def test_samples_in_which_nothing_came_have_no_warm_up(ax):
    with pytest.raises(NothingMeasuredError, match="a warm-up"):
        plot_warmup(ax, [EIGHT.after(99)], width=5, usual=0.1)


# plot_intervals


def made(low, high):
    return Interval((low + high) / 2, low, high, 0.01, 10, 0.95)


def test_intervals_that_hold_the_true_value_are_counted_and_the_others_are_crosses(ax):
    groups = {"each run": [made(0.3, 0.5), made(0.35, 0.45)], "each order": [made(0.39, 0.41), made(0.41, 0.42)]}

    table = plot_intervals(ax, groups, true_value=0.4)

    assert table.rows == [("each run", 2, 2, 150.0), ("each order", 2, 1, 15.0)]
    assert (
        table.says == "With each run as the sample, 2 of 2 intervals hold the true value; with each order as the sample, 1 of 2 intervals hold the true value."
    )
    assert [label.get_text() for label in ax.get_xticklabels()] == ["each run", "each order"]
    assert ax.get_xticks().tolist() == [0.5, 4.5]
    means = [(line.get_ydata()[0], line.get_marker()) for line in ax.lines if len(line.get_ydata()) == 1]
    assert [marker for _, marker in sorted(means)] == ["o", "o", "o", "X"]


def test_a_cross_does_not_hide_the_narrow_interval_that_it_is_on(ax):
    plot_intervals(ax, {"each run": [made(0.2, 0.7)], "each order": [made(0.41, 0.43)]}, true_value=0.4)
    ax.figure.draw_without_rendering()

    _, _, _, line, cross, *_ = ax.lines
    (_, low), (_, high) = ax.transData.transform(line.get_xydata())
    assert cross.get_marker() == "X"
    assert cross.get_markersize() * ax.figure.dpi / 72 < high - low


def test_each_line_reaches_from_low_to_high(ax):
    plot_intervals(ax, {"each run": [made(0.3, 0.5)]}, true_value=0.4)

    assert list(ax.lines[0].get_ydata()) == [300.0, 500.0]


@pytest.mark.parametrize("groups", [{}, {"each run": []}])
def test_no_interval_is_refused(ax, groups):
    with pytest.raises(InvalidValueError, match="one interval or more"):
        plot_intervals(ax, groups, true_value=0.4)


# All of them


def test_every_picture_has_units_large_type_and_a_sentence(tests):
    samples = [simulate_queue(Steady(8, 4), Constant(0.1))]
    drawings = [
        lambda ax: plot_stall(ax, tests, start=2.0, end=3.0),
        lambda ax: plot_percentiles(ax, tests["shoppers"].latency),
        lambda ax: plot_tail(ax, tests),
        lambda ax: plot_warmup(ax, samples, width=1, usual=0.1),
        lambda ax: plot_intervals(ax, {"each run": [made(0.3, 0.5)]}, true_value=0.4),
    ]
    for draw in drawings:
        ax = Figure(figsize=(8, 4.2)).subplots()
        table = draw(ax)
        assert "[ms]" in ax.get_xlabel() + ax.get_ylabel()
        assert min(text.get_fontsize() for text in texts(ax)) >= FONT
        assert len(table.says.split()) > 8
        assert table.says.endswith(".")
