"""The pictures of chapter 06: waiting and work of each design, and where a queue stands."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from edakit.errors import InvalidValueError
from edakit.measuring import QueueSample, read_queue
from edakit.plots import plot_queue_dial, plot_wait_and_service
from edakit.plots.style import FONT

MS = 1_000_000  # [ns]


@pytest.fixture
def ax():
    return Figure(figsize=(8, 4.2)).subplots()


def sample(*waits_and_services):
    """Return events that came a second apart, with the given waits and services [ms]."""
    waits, services = (np.array(column) * MS for column in zip(*waits_and_services, strict=True))
    return QueueSample(np.arange(waits.size) * 1000 * MS, services, waits)


@pytest.fixture
def designs():
    return {"fast": [sample((2, 1), (4, 1)), sample((6, 1), (4, 1))], "slow": [sample((0, 6), (0, 2)), sample((0, 4), (0, 4))]}


# plot_wait_and_service


def test_waiting_and_service_are_means_over_trials_and_add_up_to_the_latency(ax, designs):
    table = plot_wait_and_service(ax, designs)

    assert [row[:4] for row in table.rows] == [("fast", 4.0, 1.0, 5.0), ("slow", 0.0, 4.0, 4.0)]


def test_the_interval_is_that_of_the_latency_over_trials(ax, designs):
    table = plot_wait_and_service(ax, designs)

    # Student's t for two trials is 12.706; the latencies are 4 and 6 ms, and twice 4 ms. How far it may be off has two digits.
    assert table.column("± [ms]") == [13.0, 0.0]


def test_the_bars_stand_end_to_end_and_are_as_long_as_the_table_says(ax, designs):
    plot_wait_and_service(ax, designs)

    bars = [(round(bar.get_x(), 9), round(bar.get_width(), 9)) for bar in ax.patches]
    assert bars == [(0, 4), (0, 0), (4, 1), (0, 4)]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["fast", "slow"]


def test_the_title_names_the_design_that_is_done_soonest_and_the_sentence_has_all(ax, designs):
    table = plot_wait_and_service(ax, designs)

    assert ax.get_title(loc="left") == "Done soonest: slow"
    assert (
        table.says
        == "fast: an event waits 4.0 ms and is served for 1.0 ms, 5.0 ms in all; slow: an event waits 0.0 ms and is served for 4.0 ms, 4.0 ms in all."
    )


@pytest.mark.parametrize("trials", [{}, {"one run": [sample((1, 1))]}])
def test_one_run_or_none_is_refused(ax, trials):
    with pytest.raises(InvalidValueError):
        plot_wait_and_service(ax, trials)


# plot_queue_dial


@pytest.fixture
def axes():
    return Figure(figsize=(10, 4)).subplots(1, 2)


def lines(ax):
    return {line.get_label(): line.get_xydata() for line in ax.get_lines()}


def test_the_point_stands_at_the_utilisation_and_wait_of_the_run(axes):
    reading = read_queue(225, 0.004)

    table = plot_queue_dial(*axes, reading)

    assert lines(axes[0])["this run"].tolist() == [[pytest.approx(90), pytest.approx(1e3 * reading.wait)]]
    assert table == reading.table


def test_the_curve_is_that_of_the_model_and_the_point_lies_within_the_picture(axes):
    reading = read_queue(225, 0.004, variability=4)

    plot_queue_dial(*axes, reading)

    curve = lines(axes[0])["theory, M/G/1"]
    assert np.interp(50, *curve.T) == pytest.approx(1e3 * reading.theory.wait(125), rel=0.01)
    assert axes[0].get_ylim()[1] > 1e3 * reading.wait


def test_the_backlog_is_that_of_the_run_with_its_mean_in_theory(axes):
    reading = read_queue(225, 0.004)

    plot_queue_dial(*axes, reading)

    drawn = lines(axes[1])
    assert drawn["this run"][-1].tolist() == [60, reading.left]
    assert drawn["mean in theory, 9"].tolist() == [[0, pytest.approx(9)], [60, pytest.approx(9)]]


def test_above_one_there_is_no_point_but_a_line_that_grows(axes):
    plot_queue_dial(*axes, read_queue(300, 0.004))

    assert "this run" not in lines(axes[0])
    assert lines(axes[1])["50 more each second"][-1].tolist() == [60, 3000]
    assert axes[1].get_title(loc="left") == "The backlog grows by 50 a second"


@pytest.mark.parametrize(("rate", "takes"), [(225, 0.0045), (300, 0.004), (500, 0.004), (600, 0.004), (600, 0.010)])
def test_above_one_the_legend_hides_no_curve_and_names_the_line(axes, rate, takes):
    plot_queue_dial(*axes, read_queue(rate, takes))
    curve, _ = axes
    curve.figure.draw_without_rendering()

    drawn = curve.transData.transform(curve.lines[0].get_xydata())
    inside = drawn[drawn[:, 1] < curve.get_window_extent().y1]
    assert not curve.get_legend().get_window_extent().count_contains(inside)
    assert "here: no mean wait" in [text.get_text() for text in curve.get_legend().get_texts()]


def test_at_one_nothing_is_promised(axes):
    plot_queue_dial(*axes, read_queue(250, 0.004))

    assert list(lines(axes[1])) == ["this run"]
    assert axes[1].get_title(loc="left") == "The backlog has no level of its own"


@pytest.mark.parametrize("number", [0, 1])
def test_quantities_and_units_stand_at_both_axes_in_type_that_can_be_read(axes, number):
    plot_queue_dial(*axes, read_queue(225, 0.004))

    labels = (axes[number].xaxis.label, axes[number].yaxis.label)
    assert all(label.get_text().endswith("]") and label.get_size() >= FONT for label in labels)


@pytest.mark.parametrize("setting", [(900, 0.004, 4, 4), (300, 0.004)])
def test_the_legend_hides_no_backlog(axes, setting):
    plot_queue_dial(*axes, read_queue(*setting))
    _, run = axes
    run.figure.draw_without_rendering()

    drawn = run.transData.transform(run.lines[0].get_xydata())
    assert not run.get_legend().get_window_extent().count_contains(drawn)
