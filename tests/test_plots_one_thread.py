"""The pictures of chapter 02: who has the thread, and how late timers are."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from edakit.errors import InvalidValueError
from edakit.measuring import Handling, LoopLag
from edakit.plots import plot_gantt, plot_lag_over_time, plot_loop_lag
from edakit.plots.style import FONT, colour

MS = 1_000_000  # [ns]


@pytest.fixture
def ax():
    return Figure(figsize=(8, 4.2)).subplots()


def handling(name, due, began, ended, *busy):
    return Handling(name, "shop", due * MS, began * MS, ended * MS, tuple((begin * MS, end * MS) for begin, end in busy))


def run(*due_and_fired):
    due, fired = (np.array(column) / 1e3 for column in zip(*due_and_fired, strict=True))
    return LoopLag(0.010, due, fired, (), "virtual")


REPORT = handling("report", 0, 0, 100, (0, 100))
CLICK = handling("click", 10, 100, 105, (100, 105))
PAYMENT = handling("payment", 5, 5, 90, (5, 10), (80, 90))


def bars(ax):
    """Return the left and right end and the lane of each bar, filled ones and hatched ones apart."""
    ends = {True: [], False: []}
    for collection in ax.collections:
        for path in collection.get_paths():
            (left, low), (right, high) = path.get_extents().min, path.get_extents().max
            ends[bool(collection.get_hatch())].append((round(left, 6), round(right, 6), round((low + high) / 2, 6)))
    return ends[False], ends[True]


def crosses(ax):
    return [tuple(float(each[0]) for each in line.get_data()) for line in ax.lines if line.get_marker() == "X"]


# plot_gantt


def test_the_table_has_a_row_an_event_in_milliseconds(ax):
    table = plot_gantt(ax, [REPORT, CLICK])

    assert table.rows == [("report", 0.0, 0.0, 0.0, 100.0, 100.0), ("click", 10.0, 90.0, 100.0, 105.0, 5.0)]
    assert table.says == "Who waits longest, and how long: click (90 ms)."
    assert ax.get_title(loc="left") == "Longest wait: 90 ms"


def test_computing_is_filled_being_under_way_is_hatched_and_waiting_is_dotted(ax):
    plot_gantt(ax, [PAYMENT, CLICK])

    computing, under_way = bars(ax)
    assert computing == [(5, 10, 0), (80, 90, 0), (100, 105, 1)]
    assert under_way == [(5, 90, 0), (100, 105, 1)]
    dotted = [tuple(map(float, line.get_xdata())) for line in ax.lines if line.get_linestyle() == ":" and len(line.get_xdata())]
    assert dotted == [(5, 5), (10, 100)]


def test_the_sentence_names_what_is_hatched(ax):
    table = plot_gantt(ax, [PAYMENT, REPORT])

    assert table.says == "Who waits longest, and how long: nobody waits. Whose handler awaits longest: payment (70 ms)."


def test_runs_stand_one_below_the_other_under_their_names(ax):
    table = plot_gantt(ax, {"one": [REPORT, CLICK], "other": [PAYMENT]})

    assert [text.get_text() for text in ax.get_yticklabels()] == ["one: report", "one: click", "other: payment"]
    assert table.column("run") == ["one", "one", "other"]
    assert table.says == "Who waits longest, and how long: one: click (90 ms); other: nobody waits. Whose handler awaits longest: other: payment (70 ms)."
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first one on top


def test_a_guess_of_the_longest_wait_stands_in_its_lane_counted_from_the_coming(ax):
    plot_gantt(ax, [REPORT, CLICK], guess=40)

    assert crosses(ax) == [(50, 1)]


def test_a_short_bar_is_seen_beside_a_guess_far_away(ax):
    plot_gantt(ax, [REPORT, CLICK], guess=5_000)

    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    x, y = ax.transData.transform((102.5, 1))
    shown = np.asarray(canvas.buffer_rgba())[-round(y), round(x) - 3 : round(x) + 3, :3]
    assert np.any(np.all(shown == np.round(255 * np.array(to_rgb(colour(0)))), axis=1))


def test_without_a_guess_there_is_no_cross(ax):
    plot_gantt(ax, [REPORT, CLICK], guess=None)

    assert crosses(ax) == []


@pytest.mark.parametrize("runs", [[], {"empty": []}, {"full": [REPORT], "empty": []}])
def test_a_run_in_which_nothing_was_handled_is_refused(ax, runs):
    with pytest.raises(InvalidValueError, match="something was handled"):
        plot_gantt(ax, runs)


# plot_loop_lag


def test_each_timer_is_a_mark_in_the_row_of_its_run(ax):
    table = plot_loop_lag(ax, {"held": run((10, 10), (20, 300)), "free": run((10, 12))})

    marks = [(line.get_xdata().round(6).tolist(), line.get_ydata().tolist()) for line in ax.lines]
    assert marks == [([0.1, 280.0], [0, 0]), ([2.0], [1])]
    assert table.rows == [("held", 2, 1, 280.0), ("free", 1, 0, 2.0)]
    assert table.says == "The worst lag of a timer of 10 ms: 280 ms (held), 2 ms (free)."


@pytest.mark.parametrize(
    ("runs", "title"),
    [
        ({"held": run((10, 310)), "free": run((10, 12)), "sliced": run((10, 50))}, "Worst lag from 2 ms (free) to 300 ms (held)"),
        ({"held": run((10, 310))}, "Worst lag: 300 ms (held)"),
    ],
)
def test_the_title_states_the_worst_lag_of_the_calmest_and_of_the_most_held_run(ax, runs, title):
    plot_loop_lag(ax, runs)

    assert ax.get_title(loc="left") == title
    assert "a mark for each timer of 10 ms" in ax.get_xlabel()


def test_runs_differ_in_their_mark_not_only_in_colour(ax):
    plot_loop_lag(ax, {name: run((10, 12)) for name in ("one", "two", "three", "four")})

    assert len({line.get_marker() for line in ax.lines}) == 4


def test_no_runs_are_refused(ax):
    with pytest.raises(InvalidValueError, match="a run of loop_lag"):
        plot_loop_lag(ax, {})


# plot_lag_over_time


def test_each_timer_is_a_stem_as_high_as_it_was_late_where_it_was_due(ax):
    table = plot_lag_over_time(ax, run((10, 10), (20, 300)))

    [stems] = ax.collections
    assert [segment.round(6).tolist() for segment in stems.get_segments()] == [[[10, 0], [10, 0]], [[20, 0], [20, 280]]]
    assert table.rows == [(10.0, 0.0), (20.0, 280.0)]
    assert table.says == "Of 2 timers of 10 ms the latest fires 280 ms late."


def test_where_no_timer_is_late_the_axis_still_has_a_height(ax):
    plot_lag_over_time(ax, run((10, 10)))

    assert ax.get_ylim() == (0, 1)


# all of them


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: plot_gantt(ax, [REPORT, CLICK], guess=40),
        lambda ax: plot_loop_lag(ax, {"held": run((20, 300))}),
        lambda ax: plot_lag_over_time(ax, run((20, 300))),
    ],
)
def test_every_axis_has_its_quantity_and_type_can_be_read(ax, draw):
    draw(ax)
    ax.figure.draw_without_rendering()

    assert ax.get_ylabel()
    assert "[ms]" in ax.get_xlabel()
    texts = [*ax.get_xticklabels(), *ax.get_yticklabels(), *ax.texts, ax.xaxis.label, ax.yaxis.label, ax.title]
    texts += ax.get_legend().get_texts() if ax.get_legend() else []
    assert min(text.get_fontsize() for text in texts if text.get_text()) >= FONT
