from __future__ import annotations

import re
import warnings

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from edakit import App, Component, Constant, Exponential
from edakit.errors import InvalidValueError, UnknownComponentError
from edakit.measuring import Each, Poisson, Run, Steady, Sweep, measure, mm1, mmc, sweep_utilisation
from edakit.measuring.errors import NothingMeasuredError
from edakit.plots import (
    plot_backlog_over_time,
    plot_event_map,
    plot_latency_cdf,
    plot_latency_over_time,
    plot_throughput_over_time,
    plot_timeline,
    plot_wait_by_utilisation,
)
from edakit.plots.event_graph import NOBODY, WAITING, graph_of
from edakit.plots.series import counted, listed, nice, rounded, times, took
from edakit.plots.style import FONT
from edakit.shop import AddItem, Shoppers, build_shop
from edakit.trace import Trace
from tests.shop_language import CartItemAdded, OrderPlaced

MS = 1_000_000
S = 1_000_000_000


@pytest.fixture
def ax():
    figure = Figure(figsize=(8, 4.2))
    FigureCanvasAgg(figure)
    return figure.subplots()


def trace_of(*deliveries):
    """Make a trace of (component, due, published, started, done, outcome), times in ms; each is an event of its own."""
    trace = Trace()
    for number, (component, due, published, started, done, outcome) in enumerate(deliveries):
        trace.published((f"e{number}", "", f"e{number}", "cart.item.added", "app", due * MS, published * MS, 1))
        trace.delivered((f"e{number}", component, 0, 1, outcome, published * MS, started * MS, done * MS))
    return trace


def run_of(*latencies_ms, label="stock"):
    """Make a run with one delivery every 100 ms, which takes so long."""
    return Run(trace_of(*(("stock", 100 * n, 100 * n, 100 * n, 100 * n + took_ms, "handled") for n, took_ms in enumerate(latencies_ms))), label=label)


def listeners(*, mail_takes=None):
    """Return an app whose badge and mail react to what is added to a cart; mail publishes an event that nobody knows."""
    badge, mail = Component("badge"), Component("mail", takes=mail_takes)

    @badge.on(CartItemAdded)
    def count(event, context):
        pass

    @mail.on(CartItemAdded)
    def write(event, context):
        context.publish(OrderPlaced(order_id=event.cart_id))

    return App(badge, mail, clock="virtual")


def paused_mail(**options):
    app = listeners(**options)
    app.pause("mail")
    for number in range(5):
        app.publish(CartItemAdded(cart_id=str(number)))
        app.advance(seconds=1)
    app.resume("mail")
    app.run_until_idle()
    return app


def found(ax, label):
    (line,) = [line for line in ax.lines if line.get_label() == label or line.get_gid() == label]
    return line


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


SWEEP = Sweep("one worker", (0.5, 0.9), (125.0, 225.0), np.array([[0.003, 0.005], [0.030, 0.042]]))


# What all of them have in common

PLOTS = {
    "cdf": lambda ax: plot_latency_cdf(ax, run_of(1, 2, 30), theory=mm1(service_rate=250).response_law(200), guess=20),
    "latency": lambda ax: plot_latency_over_time(ax, {"one": run_of(1, 2, 30), "two": run_of(*range(1, 500))}),
    "throughput": lambda ax: plot_throughput_over_time(ax, {"one": run_of(1, 2, 30), "two": run_of(1, 2)}),
    "backlog": lambda ax: plot_backlog_over_time(ax, {"one": run_of(1, 2, 30), "two": run_of(1, 2)}),
    "wait": lambda ax: plot_wait_by_utilisation(ax, SWEEP, theory=mm1(service_rate=250), guess=12),
    "timeline": lambda ax: plot_timeline(ax, paused_mail()),
    "map": lambda ax: plot_event_map(ax, paused_mail()),
}


@pytest.fixture(params=PLOTS)
def drawn(request, ax):
    before = dict(mpl.rcParams)
    table = PLOTS[request.param](ax)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax.figure.canvas.draw()
    assert dict(mpl.rcParams) == before
    return request.param, ax, table


def texts_of(ax):
    axes = [] if not ax.axison else [*ax.get_xticklabels(), *ax.get_yticklabels(), ax.xaxis.label, ax.yaxis.label]
    legend = ax.get_legend().get_texts() if ax.get_legend() else []
    return [text for text in (*ax.texts, *axes, *legend, *ax.figure.texts, *(getattr(ax, name) for name in ("title", "_left_title"))) if text.get_text()]


def test_every_text_of_a_plot_has_11_points_or_more(drawn):
    sizes = {text.get_text(): text.get_fontsize() for text in texts_of(drawn[1])}

    assert len(sizes) > 4
    assert {text: size for text, size in sizes.items() if size < FONT} == {}


def test_every_axis_of_a_plot_names_its_quantity_and_its_unit(drawn):
    name, ax, _ = drawn

    labels = [ax.get_xlabel(), ax.get_ylabel()] if name not in {"map", "timeline"} else [ax.get_xlabel()] * (name == "timeline")
    assert all(label.count("[") == label.count("]") == 1 for label in labels)
    assert ax.axison is (name != "map")


def test_a_plot_says_in_one_line_what_is_seen_and_has_a_title(drawn):
    _, ax, table = drawn

    assert table.says.endswith(".")
    assert "\n" not in table.says
    assert repr(table).splitlines()[-1] == table.says
    assert ax.get_title(loc="left")
    assert len(table.rows) <= 14


def test_nothing_of_a_plot_is_cut_off_at_the_edge_of_the_figure(drawn):
    _, ax, _ = drawn
    figure = ax.figure
    page = figure.bbox

    # Ticks outside of an axis' limits keep their labels and are not drawn.
    shown = [text for text in texts_of(ax) if text not in {*ax.get_xticklabels(), *ax.get_yticklabels()}]
    boxes = {text.get_text(): text.get_window_extent() for text in shown}
    assert [text for text, box in boxes.items() if box.x0 < -1 or box.x1 > page.x1 + 1 or box.y0 < -1 or box.y1 > page.y1 + 1] == []


def test_versions_and_machine_stand_under_a_figure_once_however_many_plots_it_has():
    figure = Figure(figsize=(8, 6))
    above, below = figure.subplots(2)

    plot_latency_over_time(above, run_of(1, 2))
    plot_throughput_over_time(below, run_of(1, 2))

    footers = [text.get_text() for text in figure.texts]
    assert len(footers) == 1
    assert "edakit" in footers[0]
    assert "matplotlib" in footers[0]
    assert figure.get_facecolor() == (1, 1, 1, 1)


def test_a_title_that_is_given_takes_the_place_of_the_computed_one(ax):
    plot_latency_cdf(ax, run_of(1, 2), title="The second of the sale")

    assert ax.get_title(loc="left") == "The second of the sale"


@pytest.mark.parametrize("plot", [plot_latency_cdf, plot_latency_over_time, plot_throughput_over_time, plot_backlog_over_time])
def test_plots_of_runs_say_what_is_missing(plot, ax):
    empty = Run(Trace(), label="nothing")

    with pytest.raises(InvalidValueError, match="a run, or runs by name"):
        plot(ax, {})
    with pytest.raises(InvalidValueError, match="a run, or runs by name"):
        plot(ax, {"a trace": Trace()})
    with pytest.raises(NothingMeasuredError, match="'nothing'"):
        plot(ax, empty)
    with pytest.raises(NothingMeasuredError, match="'mine'"):
        plot(ax, {"mine": empty})


# Latency: shares of events


def test_the_shares_of_events_are_drawn_as_steps_with_p50_and_p99_marked(ax):
    table = plot_latency_cdf(ax, run_of(1, 2, 2, 30))

    steps, marks = ax.lines[0], ax.lines[1]
    assert steps.get_drawstyle() == "steps-post"
    assert steps.get_xdata().tolist() == pytest.approx([0, 1, 2, 30, 45])
    assert steps.get_ydata().tolist() == [0, 25, 75, 100, 100]
    assert marks.get_xdata() == pytest.approx([2, 30])
    assert list(marks.get_ydata()) == [50, 99]
    assert [line.get_ydata()[0] for line in ax.lines[2:]] == [50, 99]
    assert ax.get_xscale() == "log"
    assert list(table.rows) == [("stock", 4, 2.0, 30.0, 30.0, 30.0)]
    assert table.says == "stock: of 4 deliveries half took at most 2 ms and 99 % at most 30 ms."
    assert ax.get_title(loc="left") == "Half were handled within 2 ms, 99 % within 30 ms"


def test_events_that_took_no_time_are_at_the_left_end_and_counted_in_words(ax):
    plot_latency_cdf(ax, run_of(0, 0, 0, 10))

    assert legend_of(ax) == ["stock (75 % at 0 ms)"]
    assert ax.lines[0].get_ydata().tolist() == [75, 100, 100]
    left = ax.get_xlim()[0]
    assert 0 < left < 10
    assert ax.lines[1].get_xdata()[0] == left  # the mark of p50


@pytest.mark.parametrize(("quickest", "left"), [(2, 2), (0.0001, 0.1)])
def test_the_axis_begins_where_the_latencies_do_unless_a_few_are_very_short(ax, quickest, left):
    plot_latency_cdf(ax, run_of(quickest, *[10] * 50))

    assert ax.get_xlim()[0] == pytest.approx(left / 1.5)


def test_the_legend_does_not_hide_the_line(ax):
    plot_latency_cdf(ax, run_of(*np.linspace(1, 1.2, 60), 1000))
    ax.figure.draw_without_rendering()

    steps = ax.transData.transform(ax.lines[0].get_xydata()[1:])
    assert not ax.get_legend().get_window_extent().count_contains(steps)


def test_a_run_in_which_everything_took_no_time_can_be_drawn(ax):
    table = plot_latency_cdf(ax, run_of(0, 0))
    ax.figure.canvas.draw()

    assert table.rows[0][2:] == (0.0, 0.0, 0.0, 0.0)
    assert legend_of(ax) == ["stock (100 % at 0 ms)"]


def test_theory_is_a_dotted_line_under_the_shares_and_the_guess_a_cross(ax):
    law = mm1(service_rate=250).response_law(225)

    table = plot_latency_cdf(ax, {"225/s": run_of(10, 40)}, theory=law, guess=80)

    line = found(ax, f"theory: {law.label}")
    assert line.get_ydata() == pytest.approx(100 * law.share(np.asarray(line.get_xdata()) / 1e3))
    assert line.get_zorder() < ax.lines[0].get_zorder()
    cross = found(ax, "your guess")
    assert (cross.get_xdata()[0], cross.get_ydata()[0], cross.get_marker()) == (80, 99, "X")
    # M/M/1: the latency is exponential with a mean of 1 / (250 - 225) s.
    assert table.rows[1] == ("theory: M/M/1 at 225/s", None, *(float(f"{-40 * np.log(1 - q):.3g}") for q in (0.50, 0.95, 0.99)), None)


def test_the_title_of_several_runs_names_the_fastest_and_the_slowest(ax):
    plot_latency_cdf(ax, {"open": run_of(1, 500), "closed": run_of(1, 2), "other": run_of(3)})

    assert ax.get_title(loc="left") == "99 % were handled within 2 ms (closed) to 500 ms (open)"


def test_a_guess_of_nothing_stands_at_the_end_of_the_axis(ax):
    plot_latency_cdf(ax, run_of(1, 2), guess=0)

    assert found(ax, "your guess").get_xdata() == [ax.get_xlim()[0]]


@pytest.mark.parametrize("guess", [-1, float("nan"), float("inf")])
def test_a_guess_that_is_no_time_is_refused(guess, ax):
    with pytest.raises(InvalidValueError, match="guess"):
        plot_latency_cdf(ax, run_of(1), guess=guess)
    with pytest.raises(InvalidValueError, match="guess"):
        plot_wait_by_utilisation(ax, SWEEP, guess=guess)


# Latency, throughput and backlog over time


def test_each_latency_is_a_dot_at_the_time_when_it_was_due(ax):
    table = plot_latency_over_time(ax, run_of(5, 80, 3))

    (dots,) = ax.lines
    assert dots.get_xdata().tolist() == pytest.approx([0, 0.1, 0.2])
    assert dots.get_ydata().tolist() == pytest.approx([5, 80, 3])
    assert list(table.rows) == [("stock", 3, 5.0, 80.0, 80.0, 0.1)]
    assert table.says == "stock: the longest latency, 80 ms, is that of a delivery due at 0.1 s."


def test_latency_counts_from_the_due_time_also_where_a_publisher_was_blocked(ax):
    plot_latency_over_time(ax, Run(trace_of(("stock", 0, 0, 0, 1, "handled"), ("stock", 10, 500, 500, 501, "handled"))))

    assert ax.lines[0].get_ydata().tolist() == pytest.approx([1, 491])


def test_over_many_dots_lie_p50_and_p99_of_each_stretch_of_time(ax):
    run = run_of(*(n % 100 + 1 for n in range(400)))  # 1 to 100 ms, again and again: 40 s

    plot_latency_over_time(ax, run)

    dots, high, low = ax.lines
    assert len(dots.get_xdata()) == 400
    assert high.get_label() == "stock: p99 of each 1 s"
    assert low.get_label() == "stock: p50 of each 1 s"
    # Ten deliveries a second: the largest is their p99, the fifth their p50.
    assert high.get_ydata()[:3].tolist() == pytest.approx([10, 20, 30])
    assert low.get_ydata()[:3].tolist() == pytest.approx([5, 15, 25])
    assert high.get_xdata()[:3].tolist() == pytest.approx([0.5, 1.5, 2.5])


def test_throughput_is_drawn_as_steps_of_events_handled_in_each_stretch(ax):
    run = measure(listeners(), Each(Steady(rate=4, duration=3), lambda number, random: CartItemAdded(cart_id=str(number))), label="shop")

    table = plot_throughput_over_time(ax, run.component("mail"), width=1.0)

    (steps,) = ax.lines
    assert steps.get_xdata().tolist() == pytest.approx([0, 1, 1, 2, 2, 3], abs=1e-6)
    assert steps.get_ydata().tolist() == pytest.approx([4, 4, 4, 4, 4, 4])
    assert list(table.rows) == [("mail", 4.0, 4.0, 4.0)]
    assert ax.get_ylabel() == "Throughput, each 1 s [1/s]"


def test_an_event_that_two_components_handle_counts_once_where_the_last_one_is_done(ax):
    app = listeners(mail_takes=Constant(1.5))
    run = measure(app, Each(Steady(rate=1, duration=1), lambda number, random: CartItemAdded(cart_id="c")))

    plot_throughput_over_time(ax, run, width=0.5)

    assert ax.lines[0].get_ydata()[::2].tolist() == pytest.approx([0, 0, 2])


def test_the_stretches_of_a_throughput_together_have_all_events_also_those_at_the_very_end():
    run = measure(listeners(mail_takes=Constant(0.013)), Each(Poisson(rate=50, duration=7.3), lambda number, random: CartItemAdded(cart_id="c")), seed=3)
    edges = np.linspace(0, run.duration + 1e-9, 6)

    assert (run.throughput_in(edges) * np.diff(edges)).sum() == pytest.approx(len(set(run.rows.event.tolist())))


@pytest.mark.parametrize("width", [0, -1, float("nan"), 1e-9])
def test_a_width_that_makes_no_stretches_is_refused(width, ax):
    with pytest.raises(InvalidValueError, match="width"):
        plot_throughput_over_time(ax, run_of(1, 2), width=width)


def test_the_backlog_is_counted_change_by_change(ax):
    # One worker: the second and third wait for the first.
    run = Run(trace_of(("stock", 0, 0, 0, 400, "handled"), ("stock", 100, 100, 400, 600, "handled"), ("stock", 200, 200, 600, 1000, "dead")))

    table = plot_backlog_over_time(ax, run)

    line = found(ax, "run")
    assert [int(line.get_ydata()[np.searchsorted(line.get_xdata(), at)]) for at in (0, 0.1, 0.2, 0.4, 0.6, 1.0)] == [1, 2, 3, 2, 1, 0]
    assert max(line.get_ydata()) == 3
    assert table.says == "run: the backlog is largest at 0.2 s, 3 deliveries."
    assert list(table.rows) == [(0.0, 1), (0.1, 2), (0.2, 3), (0.3, 3), (0.4, 2), (0.5, 2), (0.6, 1), (0.7, 1), (0.8, 1), (0.9, 1), (1.0, 0)]


def test_the_backlog_of_an_overload_is_the_surplus(ax):
    stock = Component("stock", takes=Constant(0.004))
    stock.on(CartItemAdded)(lambda event, context: None)
    run = measure(App(stock, clock="virtual"), Each(Steady(rate=300, duration=5), lambda number, random: CartItemAdded(cart_id="c")))

    table = plot_backlog_over_time(ax, {"300/s": run}, points=(1.0, 4.999))

    assert list(table.rows) == [(1.0, 51), (4.999, 251)]
    assert found(ax, "300/s").get_ydata().tolist() == [51, 251]


def test_what_a_paused_component_has_not_handled_at_the_end_is_still_in_the_backlog(ax):
    app = listeners()
    app.pause("mail")
    run = measure(app, Each(Steady(rate=1, duration=4), lambda number, random: CartItemAdded(cart_id="c")))

    assert run.backlog_at([0.5, 3.5]).tolist() == [1, 4]
    assert plot_backlog_over_time(ax, run, points=5).rows[-1] == (4.0, 4)


def test_the_backlog_of_what_came_before_the_run_is_not_drawn(ax):
    load, crowd = (Each(Steady(rate=rate, duration=1), lambda number, random: CartItemAdded(cart_id="c")) for rate in (2, 1000))

    table = plot_backlog_over_time(ax, measure(listeners(), load, first=crowd, clock="virtual"))

    assert "the backlog is largest at 0 s" in table.says
    assert min(found(ax, "run").get_xdata()) == 0


def test_a_retried_event_stays_in_the_backlog_and_a_second_handling_does_not_count():
    trace = Trace()
    trace.published(("e", "", "e", "x", "app", 0, 0, 1))
    for attempt, (outcome, done) in enumerate([("retried", 1), ("handled", 2), ("handled", 3)], 1):
        trace.delivered(("e", "stock", 0, attempt, outcome, 0, 0, done * S))

    assert Run(trace).backlog_at([0, 1.5, 2, 3]).tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("points", [0, 1, (), (1.0,), (1.0, float("nan"))])
def test_points_that_make_no_line_are_refused(points, ax):
    with pytest.raises(InvalidValueError, match="points"):
        plot_backlog_over_time(ax, run_of(1, 2), points=points)


def test_a_guessed_backlog_is_a_cross_at_its_time(ax):
    plot_backlog_over_time(ax, run_of(1, 2), guess=40, guess_at=0.5)

    cross = found(ax, "your guess")
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (0.5, 40)
    assert ax.get_ylim()[1] > 40


@pytest.mark.parametrize("guess", [-1, float("nan"), float("inf")])
def test_a_guessed_backlog_that_is_no_number_is_refused(guess, ax):
    with pytest.raises(InvalidValueError, match="guess"):
        plot_backlog_over_time(ax, run_of(1, 2), guess=guess)


# Wait against utilisation


def test_mean_waits_stand_over_their_band_and_over_the_theory(ax):
    table = plot_wait_by_utilisation(ax, SWEEP, theory=mm1(service_rate=250))

    points = found(ax, "one worker: mean of 2 trials")
    assert points.get_xdata().tolist() == [0.5, 0.9]
    assert points.get_ydata() == pytest.approx([4, 36])
    band = ax.collections[0].get_datalim(ax.transData)
    assert (band.y0, band.y1) == pytest.approx((3, 42))
    theory = found(ax, "theory: M/M/1")
    assert theory.get_ydata()[[0, -1]] == pytest.approx([4, 36])
    assert theory.get_zorder() < points.get_zorder()
    # The standard error of two values is half their difference.
    assert list(table.rows) == [(0.5, 4.0, 1.0, 4.0), (0.9, 36.0, 6.0, 36.0)]
    assert table.says == "one worker: from 50 % to 90 % utilisation the mean wait goes from 4 to 36 ms, 9 times as long."


def test_between_two_levels_the_band_bends_with_the_theory(ax):
    plot_wait_by_utilisation(ax, SWEEP, theory=mm1(service_rate=250))

    # At 0.5 the theory lies in the middle of 3 to 5 ms, at 0.9 in that of 30 to 42 ms; so it does at 0.8, where it says 16 ms.
    path = ax.collections[0].get_paths()[0]
    assert path.contains_point((0.8, 16))
    assert not path.contains_point((0.8, 21))


def test_without_a_theory_the_band_goes_straight_from_level_to_level(ax):
    plot_wait_by_utilisation(ax, SWEEP)

    assert ax.collections[0].get_paths()[0].contains_point((0.8, 28))


def test_the_guess_is_a_cross_that_is_seen_also_where_it_is_far_too_high(ax):
    plot_wait_by_utilisation(ax, SWEEP, guess=500, guess_at=0.9)

    cross = found(ax, "your guess")
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (0.9, 500)
    assert ax.get_ylim()[1] > 500


def test_no_guess_leaves_no_cross(ax):
    plot_wait_by_utilisation(ax, SWEEP, guess=None)

    assert "your guess" not in legend_of(ax)


def test_several_sweeps_each_have_their_theory(ax):
    models = {"one fast": mm1(service_rate=250), "two slow": mmc(service_rate=125, workers=2)}

    table = plot_wait_by_utilisation(ax, {"one fast": SWEEP, "two slow": SWEEP}, theory=models)

    assert table.column("sweep") == ["one fast", "one fast", "two slow", "two slow"]
    assert table.column("theory [ms]") == [4.0, 36.0, *(float(f"{1e3 * models['two slow'].wait(rate):.3g}") for rate in (125, 225))]
    assert {"theory: one fast", "theory: two slow"} <= set(legend_of(ax))


def test_a_single_trial_has_no_band_and_no_standard_error(ax):
    table = plot_wait_by_utilisation(ax, Sweep("stock", (0.5,), (125.0,), np.array([[0.004]])))

    assert not ax.collections
    assert list(table.rows) == [(0.5, 4.0, None, None)]


def test_beyond_a_utilisation_of_1_there_is_no_theory(ax):
    table = plot_wait_by_utilisation(ax, Sweep("stock", (0.9, 1.2), (225.0, 300.0), np.array([[0.036], [5.0]])), theory=mm1(service_rate=250))

    assert table.column("theory [ms]") == [36.0, None]
    assert max(found(ax, "theory: M/M/1").get_xdata()) < 1


def test_a_measured_sweep_is_drawn_as_it_was_measured(ax):
    sweep = sweep_utilisation([0.3, 0.6], takes=Exponential(0.004), duration=5, trials=3)

    plot_wait_by_utilisation(ax, sweep)

    assert ax.lines[0].get_ydata() == pytest.approx([1e3 * sweep.wait(0.3), 1e3 * sweep.wait(0.6)])


def test_a_sweep_without_levels_or_of_another_kind_is_refused(ax):
    with pytest.raises(InvalidValueError, match="sweeps by name"):
        plot_wait_by_utilisation(ax, {})
    with pytest.raises(InvalidValueError, match="component"):
        plot_wait_by_utilisation(ax, {"rates": [1, 2]})
    with pytest.raises(InvalidValueError, match="without a level"):
        plot_wait_by_utilisation(ax, Sweep("empty", (), (), np.empty((0, 0))))
    with pytest.raises(InvalidValueError, match="guess_at"):
        plot_wait_by_utilisation(ax, SWEEP, guess=1, guess_at=0)


# Timeline


def test_five_clicks_while_mail_is_paused_are_five_lines_that_end_at_one_instant(ax):
    table = plot_timeline(ax, paused_mail(), components=["mail"])

    assert list(table.rows) == [("mail", "cart.item.added", float(n), 5.0, 5.0 - n) for n in range(5)]
    lines = np.array(found(ax, "waiting").get_xdata()).reshape(-1, 3)
    assert lines[:, :2].tolist() == [[n, 5] for n in range(5)]
    heights = np.array(found(ax, "waiting").get_ydata()).reshape(-1, 3)[:, 0]
    assert (np.diff(heights) > 0).all()  # one below the other
    assert list(found(ax, "published").get_xdata()) == [0, 1, 2, 3, 4]
    assert list(found(ax, "handled").get_xdata()) == [5] * 5
    assert ax.get_title(loc="left") == "mail was done with 5 events at 5 s, 1 to 5 s after each was published"
    assert table.says == "mail got 5 events and was done with all at 5 s, the longest took 5 s."


def test_a_lane_tells_waiting_from_service(ax):
    plot_timeline(ax, paused_mail(mail_takes=Constant(0.3)), components=["mail"])

    work = np.array(found(ax, "service").get_xdata()).reshape(-1, 3)[:, :2]
    assert work == pytest.approx(np.array([[5 + 0.3 * n, 5.3 + 0.3 * n] for n in range(5)]))
    assert found(ax, "service").get_linewidth() > 2 * found(ax, "waiting").get_linewidth()


def test_lanes_stand_in_the_order_that_was_asked_for_and_may_be_empty(ax):
    app = listeners()
    app.pause("mail")
    app.publish(CartItemAdded(cart_id="c"))
    app.run_until_idle()

    table = plot_timeline(ax, app, components=["mail", "badge"])

    assert [label.get_text() for label in ax.get_yticklabels()] == ["mail", "badge"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first on top
    assert table.says.startswith("mail got no event; badge got 1 event")


def test_of_many_deliveries_the_table_has_a_line_a_component(ax):
    run = measure(listeners(), Each(Steady(rate=10, duration=2), lambda number, random: CartItemAdded(cart_id="c")))

    table = plot_timeline(ax, run)

    assert list(table.rows) == [("badge", 20, 0.0, 1.9, 0.0), ("mail", 20, 0.0, 1.9, 0.0)]


def test_a_timeline_may_show_a_part_of_a_run(ax):
    table = plot_timeline(ax, paused_mail(), components=["badge"], start=1, end=3)

    assert table.column("published [s]") == [1.0, 2.0]


def test_attempts_of_one_event_are_one_line_and_a_cross_ends_what_was_given_up(ax):
    trace = Trace()
    trace.published(("e", "", "e", "order.placed", "app", 0, 0, 1))
    trace.delivered(("e", "stock", 0, 1, "retried", 0, 1 * S, 2 * S))
    trace.delivered(("e", "stock", 0, 2, "dead", 3 * S, 3 * S, 4 * S))

    table = plot_timeline(ax, trace)

    assert list(table.rows) == [("stock", "order.placed", 0.0, 4.0, 4.0)]
    assert np.array(found(ax, "service").get_xdata()).reshape(-1, 3)[:, :2].tolist() == [[1, 2], [3, 4]]
    assert (list(found(ax, "not handled").get_xdata()), found(ax, "not handled").get_marker()) == ([4], "x")
    assert "not handled" in legend_of(ax)
    assert table.says == "stock got 1 event, the longest took 4 s, not handled: 1 dead."


def test_lines_that_do_not_overlap_share_a_row(ax):
    plot_timeline(ax, Run(trace_of(("stock", 0, 0, 0, 10, "handled"), ("stock", 20, 20, 20, 30, "handled"))))

    assert len(set(found(ax, "waiting").get_ydata()[::3])) == 1


def test_a_timeline_says_what_is_missing(ax):
    with pytest.raises(NothingMeasuredError, match="a timeline"):
        plot_timeline(ax, Trace())
    with pytest.raises(UnknownComponentError, match=r"'male'.*badge, mail"):
        plot_timeline(ax, paused_mail(), components=["male"])
    with pytest.raises(InvalidValueError, match="one or more of badge, mail"):
        plot_timeline(ax, paused_mail(), components=[])
    with pytest.raises(NothingMeasuredError, match="from 50 s to 60 s"):
        plot_timeline(ax, paused_mail(), start=50, end=60)
    with pytest.raises(InvalidValueError, match=r"start and end is \(2, 1\)"):
        plot_timeline(ax, paused_mail(), start=2, end=1)
    with pytest.raises(InvalidValueError, match="an App, a Run or a Trace"):
        plot_timeline(ax, [1, 2])


# Event map


def boxes_of(ax):
    """Return the text of each box with its edges (left, right, top, bottom), and whether its frame is dashed."""
    boxes = [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    texts = {text.get_position(): text.get_text() for text in ax.texts}
    at = {(round(box.get_x() + box.get_width() / 2, 6), round(box.get_y() + box.get_height() / 2, 6)): box for box in boxes}
    return {text: at[round(x, 6), round(y, 6)] for (x, y), text in texts.items() if (round(x, 6), round(y, 6)) in at}


def arrows_of(ax):
    return {patch.get_gid(): patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)}


def test_the_map_of_a_run_says_who_published_what_to_whom_and_what_nobody_got(ax):
    table = plot_event_map(ax, paused_mail())

    assert list(table.rows) == [("cart.item.added", "app", 5, "badge, mail"), ("order.placed", "mail", 5, "nobody")]
    assert set(arrows_of(ax)) == {
        "app->cart.item.added",
        "mail->order.placed",
        "cart.item.added->badge",
        "cart.item.added->mail",
        "order.placed->nobody",
    }
    frames = {text: box.get_linestyle() for text, box in boxes_of(ax).items()}
    assert frames.keys() == {"app  5", "mail  5", "cart.item.added  5", "order.placed  5", "badge  5", "nobody  5"}
    assert {text for text, style in frames.items() if style not in {"-", "solid"}} == {"order.placed  5", "nobody  5"}
    assert ax.get_title(loc="left") == "10 events of 2 types, handled by 2 components; 1 type goes to nobody"
    assert table.says == "10 events from app and mail; cart.item.added goes to 2 components: badge and mail; nobody: order.placed (5)."


def test_the_map_of_an_app_that_was_not_used_is_read_from_its_code(ax):
    table = plot_event_map(ax, listeners())

    assert list(table.rows) == [("cart.item.added", "badge, mail")]
    assert set(arrows_of(ax)) == {"cart.item.added->badge", "cart.item.added->mail"}
    assert table.says == "cart.item.added goes to 2 components: badge and mail; who publishes it is seen in a run only."


def test_the_map_of_an_app_tells_commands_from_events(ax):
    shop = build_shop(components=["cart", "badge"], clock="virtual")
    shop.send(AddItem(cart_id="c-1", product_id="1001"))
    shop.run_until_idle()

    table = plot_event_map(ax, shop)

    assert list(table.rows) == [("command add.item", "shop", 1, "cart"), ("cart.item.added", "cart", 1, "badge")]
    assert {"command add.item  1", "cart.item.added  1"} <= boxes_of(ax).keys()
    assert "Event or command" in {text.get_text() for text in ax.texts}
    assert ax.get_title(loc="left").startswith("1 event and 1 command of 2 types")
    assert table.says.startswith("1 event and 1 command from shop and cart;")


def test_what_waits_for_a_paused_component_is_no_event_to_nobody():
    app = listeners()
    app.pause("mail")
    app.publish(CartItemAdded(cart_id="c"))
    app.run_until_idle()

    graph = graph_of(app)

    assert graph.elsewhere == {("cart.item.added", WAITING): 1}
    assert graph.to_nobody() == {}
    assert graph.components == ["badge", "mail"]


def test_an_event_that_was_tried_twice_came_once_and_before_anybody_listened_it_went_to_nobody():
    trace = Trace()
    trace.published(("a", "", "a", "x", "app", 0, 0, 0))
    trace.published(("b", "", "b", "x", "app", 0, 0, 1))
    trace.delivered(("b", "stock", 0, 1, "retried", 0, 0, 1))
    trace.delivered(("b", "stock", 0, 2, "handled", 0, 2, 3))

    graph = graph_of(trace)

    assert graph.delivered == {("x", "stock"): 1}
    assert graph.elsewhere == {("x", NOBODY): 1}


@pytest.fixture(scope="module")
def shop_run():
    return measure(build_shop(payment_failure=0.1), Shoppers(Poisson(rate=20, duration=20)), clock="virtual", seed=7)


@pytest.mark.parametrize("known_from", ["run", "code"])
def test_the_map_of_the_whole_shop_has_no_two_boxes_on_each_other_and_every_text_inside_its_own(known_from, shop_run):
    figure = Figure(figsize=(10, 6))
    FigureCanvasAgg(figure)
    ax = figure.subplots()

    plot_event_map(ax, shop_run if known_from == "run" else build_shop())
    figure.canvas.draw()

    texts = {text.get_text(): text.get_window_extent() for text in ax.texts}
    boxes = {text: box.get_window_extent() for text, box in boxes_of(ax).items()}
    assert len(boxes) >= 28
    assert [text for text, box in boxes.items() if not (box.x0 <= texts[text].x0 and texts[text].x1 <= box.x1)] == []
    assert [text for text, box in boxes.items() if not (box.y0 - 1 <= texts[text].y0 and texts[text].y1 <= box.y1 + 1)] == []
    pairs = [(one, other) for one in boxes for other in boxes if one < other]
    assert [pair for pair in pairs if boxes[pair[0]].overlaps(boxes[pair[1]])] == []
    headings = [texts[name] for name in ("Published by", "Event", "Event or command", "Handled by") if name in texts]
    assert [text for text, box in boxes.items() if any(box.overlaps(heading) for heading in headings)] == []


def test_the_map_of_the_shop_counts_what_the_run_counts(shop_run, ax):
    graph = graph_of(shop_run)

    assert graph.published.total() == shop_run.events
    assert sum(graph.to_nobody().values()) == shop_run.unrouted > 0
    assert {name: graph.got_by(name) for name in graph.components} == {name: shop_run.component(name).count("handled") for name in shop_run.components}


def test_a_figure_that_is_too_small_for_the_map_says_how_large_it_has_to_be(ax, shop_run):
    small = Figure(figsize=(4, 2)).subplots()

    with pytest.raises(InvalidValueError, match=r"figsize=\(\d") as error:
        plot_event_map(small, shop_run)
    size = tuple(float(number) for number in re.findall(r"[\d.]+", str(error.value).partition("figsize=")[2])[:2])
    plot_event_map(Figure(figsize=size).subplots(), shop_run)


def test_an_event_map_says_what_is_missing(ax):
    with pytest.raises(NothingMeasuredError, match="an event map"):
        plot_event_map(ax, Trace())
    with pytest.raises(InvalidValueError, match="handles something"):
        plot_event_map(ax, App(Component("idle"), clock="virtual"))
    with pytest.raises(InvalidValueError, match="an App, a Run or a Trace"):
        plot_event_map(ax, "shop")


# A hundred thousand deliveries


@pytest.fixture(scope="module")
def long_run():
    """A queue at 90 %: 100,000 deliveries one after the other."""
    trace, free = Trace(), 0
    gaps, services = np.random.default_rng(1).exponential((S / 225, S / 250), (100_000, 2)).astype(np.int64).T
    for number, (due, service) in enumerate(zip(np.cumsum(gaps).tolist(), services.tolist(), strict=True)):
        begin = max(due, free)
        free = begin + service
        trace.published((f"e{number}", "", f"e{number}", "order.placed", "shop", due, due, 1))
        trace.delivered((f"e{number}", "stock", 0, 1, "handled", due, begin, free))
    return Run(trace)


@pytest.mark.parametrize(
    "plot",
    [plot_latency_cdf, plot_latency_over_time, plot_throughput_over_time, plot_backlog_over_time, plot_event_map],
    ids=lambda plot: plot.__name__,
)
def test_a_picture_of_a_hundred_thousand_deliveries_holds_far_fewer_points(plot, long_run):
    axes = Figure(figsize=(8, 4.2)).subplots()

    plot(axes, long_run)

    lines = sum(len(line.get_xdata()) for line in axes.lines)
    collected = sum(sum(len(path.vertices) for path in collection.get_paths()) for collection in axes.collections)
    assert 0 < lines + collected + len(axes.patches) + len(axes.texts) < 40_000


def test_a_timeline_of_a_hundred_thousand_deliveries_is_a_handful_of_lines(long_run):
    axes = Figure(figsize=(8, 4.2)).subplots()

    plot_timeline(axes, long_run)

    assert len(axes.lines) + len(axes.collections) < 20


def test_of_a_long_run_the_longest_latency_and_the_largest_backlog_are_in_the_picture(long_run):
    figure = Figure(figsize=(8, 6))
    above, below = figure.subplots(2)

    plot_latency_over_time(above, long_run)
    plot_backlog_over_time(below, long_run)

    assert above.lines[0].get_ydata().max() == pytest.approx(1e3 * long_run.latency.max())
    assert len(above.lines[0].get_xdata()) < 6_000
    assert below.lines[0].get_ydata().max() == long_run.backlog_at(long_run.due_at).max()


def test_the_shares_of_a_long_run_are_its_own_at_every_step_that_is_drawn(ax, long_run):
    plot_latency_cdf(ax, long_run)

    steps = ax.lines[0]
    xs, shares = steps.get_xdata()[1:-1], steps.get_ydata()[1:-1]
    assert len(xs) < 10_000
    assert np.abs(np.searchsorted(np.sort(long_run.latency) * 1e3, xs, side="right") / 1_000 - shares).max() < 1e-9
    assert np.diff(shares).max() < 0.05


# Numbers and names in sentences


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (0.00412345, "0.00412"), (1.0, "1"), (35.96, "36"), (1234.5, "1,230"), (0.1 + 0.2, "0.3"), (20, "20")])
def test_numbers_in_a_sentence_have_three_significant_digits(value, text):
    assert times(value) == text


def test_spans_lists_counts_and_steps_read_well():
    assert [took(0.000391), took(5.0), took(0)] == ["0.391 ms", "5 s", "0 s"]
    assert [listed([]), listed(["a"]), listed("ab"), listed("abcd"), listed("abcde")] == ["", "a", "a and b", "a, b, c and d", "a, b, c and 2 more"]
    assert [counted(1, "event"), counted(1200, "delivery", "deliveries")] == ["1 event", "1,200 deliveries"]
    assert [nice(0.3), nice(1), nice(1.1), nice(30), nice(0)] == [0.5, 1, 2, 50, 1]
    assert [rounded(1234.5), rounded(float("inf"))] == [1230.0, None]
