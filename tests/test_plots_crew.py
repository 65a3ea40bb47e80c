"""The pictures of chapter 03: who had which order when, and how often each was handled."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from edakit.errors import InvalidValueError
from edakit.measuring import Attempt, CrewRun, Death
from edakit.plots import plot_times_handled, plot_work_per_worker
from edakit.plots.style import FONT

QUIET = CrewRun(3, 2, (Attempt(0, 0, False, 0.0, 0.1, 0.1), Attempt(1, 1, False, 0.0, 0.2, 0.2), Attempt(2, 0, False, 0.1, 0.2, 0.2)))
DEADLY = CrewRun(
    4,
    2,
    (
        Attempt(0, 0, False, 0.0, 0.1, None),
        Attempt(1, 0, False, 0.0, None, None),
        Attempt(2, 1, False, 0.0, 0.1, 0.1),
        Attempt(0, 1, True, 0.5, 0.6, 0.6),
        Attempt(3, 1, True, 0.6, 0.7, 0.7),
    ),
    (Death(0, 0.4),),
)


@pytest.fixture
def ax():
    return Figure(figsize=(8, 4.2)).subplots()


def bars(ax):
    """Return the left and right end [ms] and the lane of each bar, in the order of drawing."""
    found = []
    for collection in ax.collections:
        for path in collection.get_paths():
            (left, low), (right, high) = path.get_extents().min, path.get_extents().max
            found.append((round(left, 6), round(right, 6), round((low + high) / 2, 6)))
    return found


def marks(ax):
    return {line.get_gid(): tuple(round(float(each[0]), 6) for each in line.get_data()) for line in ax.lines if line.get_gid()}


def named(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# plot_work_per_worker


def test_each_worker_has_a_lane_with_its_orders_in_milliseconds(ax):
    table = plot_work_per_worker(ax, QUIET)

    assert bars(ax) == [(0, 100, 0), (100, 200, 0), (0, 200, 1)]
    assert table.rows == [(1, 2, 0, 200.0), (2, 1, 0, 200.0)]
    assert table.says == "worker 1 packed 2, worker 2 packed 1, all done after 200 ms."
    assert [label.get_text() for label in ax.get_yticklabels()] == ["worker 1", "worker 2"]
    assert named(ax) == ["an order"]


def test_what_two_hands_do_at_a_time_lies_side_by_side_and_ends_with_the_death(ax):
    plot_work_per_worker(ax, DEADLY)

    first, second, *_ = bars(ax)
    assert first[:2] == second[:2] == (0, 400)
    assert first[2] == -second[2] != 0


def test_deaths_second_parcels_and_lost_orders_are_marked(ax):
    table = plot_work_per_worker(ax, DEADLY)

    assert marks(ax)["killed"] == (400, -0.35)
    assert marks(ax)["packed a second time"] == (600, 1)
    assert marks(ax)["never packed"][0] == 200
    assert named(ax) == ["an order", "delivered again", "its worker died", "killed", "packed a second time", "never packed"]
    assert table.says == "worker 1 packed 1, worker 2 packed 3; 2 orders were delivered again, 1 packed twice, 1 lost."
    assert ax.get_title(loc="left") == "1 lost, 1 packed twice"


def test_only_the_second_parcel_is_marked_when_the_first_one_was_packed_after_a_redelivery(ax):
    deaths = (Death(0, 0.1), Death(0, 0.4))
    attempts = (Attempt(0, 0, False, 0.0, None, None), Attempt(0, 0, True, 0.3, 0.4, None), Attempt(0, 0, True, 0.6, 0.7, 0.7))
    plot_work_per_worker(ax, CrewRun(1, 1, attempts, deaths))

    assert [line.get_xdata()[0] for line in ax.lines if line.get_gid() == "packed a second time"] == [700]


def test_an_order_that_came_back_and_was_packed_once_has_no_mark(ax):
    attempts = (Attempt(0, 0, False, 0.0, None, None), Attempt(0, 1, True, 0.5, 0.6, 0.6))
    plot_work_per_worker(ax, CrewRun(1, 2, attempts, (Death(0, 0.1),)))

    assert marks(ax) == {"killed": (100, -0.35)}


def test_orders_that_were_lost_before_anybody_began_them_are_counted_since_no_bar_shows_them(ax):
    lost = CrewRun(4, 1, (Attempt(0, 0, False, 0.0, 0.1, 0.1), Attempt(1, 0, False, 0.1, None, None)), (Death(0, 0.2),))

    table = plot_work_per_worker(ax, lost)

    assert ax.get_title(loc="left") == "3 lost (2 of them not begun), 0 packed twice"
    assert table.says.endswith("3 lost (2 of them not begun).")


def test_what_still_waits_is_said(ax):
    table = plot_work_per_worker(ax, CrewRun(3, 1, (Attempt(0, 0, False, 0.0, None, None),), (Death(0, 0.1),), waiting=3))

    assert table.says.endswith("0 lost, 3 still wait.")


def test_several_runs_stand_one_below_the_other(ax):
    table = plot_work_per_worker(ax, {"late": QUIET, "early": DEADLY})

    assert [label.get_text() for label in ax.get_yticklabels()] == ["late: worker 1", "late: worker 2", "early: worker 1", "early: worker 2"]
    assert table.column("run") == ["late", "late", "early", "early"]
    assert table.columns[0] == "run"


def test_a_guess_stands_between_the_lanes_of_the_first_run(ax):
    plot_work_per_worker(ax, {"large": QUIET, "small": QUIET}, guess=150.0)

    [cross] = [line for line in ax.lines if line.get_marker() == "X"]
    assert cross.get_data() == ([150.0], [0.5])
    assert "your guess" in named(ax)


@pytest.mark.parametrize("runs", [{}, CrewRun(3, 2, ())])
def test_runs_in_which_nothing_was_begun_are_refused(ax, runs):
    with pytest.raises(InvalidValueError):
        plot_work_per_worker(ax, runs)


# plot_times_handled


def test_each_run_is_a_bar_of_three_parts(ax):
    table = plot_times_handled(ax, {"late": [1, 1, 2, 3], "early": [1, 0, 1, 1]})

    assert table.rows == [("late", 2, 2, 0), ("early", 3, 0, 1)]
    assert [(bar.get_x(), bar.get_width()) for bar in ax.patches] == [(0, 2), (2, 2), (4, 0), (0, 3), (3, 0), (3, 1)]
    assert table.says == "late: 2 more than once of 4; early: 1 never of 4."
    assert ax.get_title(loc="left") == "Repeated: late. Lost: early"


def test_where_all_is_well_the_title_says_none(ax):
    table = plot_times_handled(ax, {"late": [1, 1]})

    assert ax.get_title(loc="left") == "Repeated: nowhere. Lost: nowhere"
    assert table.says == "each event once in each run."


def test_the_sentence_names_the_exceptions_and_counts_the_others(ax):
    table = plot_times_handled(ax, {"late": [2, 0], "early": [1, 1], "never killed": [1, 1]})

    assert table.says == "late: 1 more than once, 1 never of 2; each event once in 2 other runs."


@pytest.mark.parametrize("runs", [{}, {"late": []}])
def test_runs_without_events_are_refused(ax, runs):
    with pytest.raises(InvalidValueError):
        plot_times_handled(ax, runs)


@pytest.mark.parametrize("draw", [lambda ax: plot_work_per_worker(ax, DEADLY), lambda ax: plot_times_handled(ax, {"late": [1, 2, 0]})])
def test_all_type_is_large_enough_and_lies_inside_the_picture(ax, draw):
    draw(ax)
    figure = ax.get_figure()
    for _ in range(2):  # the layout is made at the first time, and what lies beside the axes follows at the second
        figure.draw_without_rendering()

    texts = [*ax.get_legend().get_texts(), *ax.get_xticklabels(), *ax.get_yticklabels(), ax.xaxis.label]
    assert min(text.get_fontsize() for text in texts) >= FONT
    legend, axis = (part.get_window_extent() for part in (ax.get_legend(), ax.xaxis.label))
    assert legend.y0 > 0
    assert legend.x0 >= 0
    assert legend.y1 <= axis.y0 + 1
