"""The pictures of chapter 07: who gets what, which promises are kept, and a log that is read again."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from edakit.errors import InvalidValueError
from edakit.measuring import share_out
from edakit.plots import plot_promises, plot_replay, plot_sharing
from edakit.plots.style import FONT
from edakit.table import Table


@pytest.fixture
def ax():
    return Figure(figsize=(8, 4.2)).subplots()


@pytest.fixture
def axes():
    return Figure(figsize=(11, 4.6)).subplots(1, 2)


def words(ax):
    return [text.get_text() for text in ax.texts]


def sizes(ax):
    texts = [*ax.texts, ax.xaxis.label, ax.yaxis.label, *ax.get_xticklabels(), *ax.get_yticklabels()]
    return [text.get_fontsize() for text in texts if text.get_text()]


# plot_sharing


def test_each_consumer_has_a_bar_as_long_as_what_it_handled_and_the_idle_one_says_so(axes):
    sharing = share_out(partitions=3, consumers=4)

    table = plot_sharing(*axes, sharing)

    assert [bar.get_width() for bar in axes[1].patches] == sharing.handled == table.column("events")
    assert words(axes[1])[3] == "no work"
    assert "consumer 4: no work" in words(axes[0])


def test_carts_lead_to_partitions_and_a_queue_has_none(axes):
    plot_sharing(*axes, share_out(partitions=2, consumers=2))
    assert {"partition 0", "partition 1", "c-1", "c-12"} <= set(words(axes[0]))

    other = Figure(figsize=(11, 4.6)).subplots(1, 2)
    plot_sharing(*other, share_out(partitions=0, consumers=2))
    assert "one queue" in words(other[0])
    assert "partition 0" not in words(other[0])


@pytest.mark.parametrize(("partitions", "consumers", "lines"), [(3, 3, 12 + 12), (0, 3, 12 + 12 * 3), (1, 1, 12 + 12)])
def test_there_is_a_line_for_each_cart_and_for_each_consumer_that_gets_it(axes, partitions, consumers, lines):
    plot_sharing(*axes, share_out(partitions=partitions, consumers=consumers))

    assert len(axes[0].lines) == lines


def test_the_titles_say_who_is_idle_and_what_was_out_of_order(axes):
    sharing = share_out(partitions=0, consumers=3)

    plot_sharing(*axes, sharing)

    assert axes[1].get_title(loc="left") == f"Out of order within a cart: {sharing.overtaken_in_carts} of {sharing.cart.size} events"
    assert "12 of 12 carts go to several" in axes[0].get_title(loc="left").replace("\n", " ")


@pytest.mark.parametrize(("partitions", "consumers"), [(1, 1), (8, 8), (0, 8)])
def test_all_type_of_who_gets_what_is_large_enough(axes, partitions, consumers):
    plot_sharing(*axes, share_out(partitions=partitions, consumers=consumers))

    assert min([text.get_fontsize() for text in axes[0].texts] + sizes(axes[1])) >= FONT  # the first has no axis


# plot_promises

ANSWERS = Table(("question", "kombu a", "edakit b"), [("It comes back.", "no", "yes"), ("It is kept.", "-", "refused"), ("It is fast.", "KeyError", "yes")])


def test_promises_are_counted_for_each_transport(ax):
    table = plot_promises(ax, ANSWERS)

    assert table.rows == [("kombu a", 0, 0, 2, 1), ("edakit b", 2, 1, 0, 0)]
    assert table.says == "kombu a breaks 2 of 3 promises; edakit b breaks 0 of 3 promises."


def test_each_answer_stands_in_its_place_in_words_and_a_broken_one_is_bold(ax):
    plot_promises(ax, ANSWERS)

    placed = {text.get_position(): (text.get_text(), text.get_fontweight()) for text in ax.texts}
    assert placed == {
        (0, 0): ("no", "bold"),
        (1, 0): ("yes", "normal"),
        (0, 1): ("-", "normal"),
        (1, 1): ("refused", "normal"),
        (0, 2): ("KeyError", "bold"),
        (1, 2): ("yes", "normal"),
    }
    assert min(sizes(ax)) >= FONT


@pytest.mark.parametrize("empty", [Table(("question",), [("It?",)]), Table(("question", "a"), [])])
def test_a_matrix_without_promises_or_transports_is_refused(ax, empty):
    with pytest.raises(InvalidValueError):
        plot_promises(ax, empty)


# plot_replay


def test_a_replay_that_begins_later_is_drawn_where_it_begins_and_is_off(ax):
    table = plot_replay(ax, {"all": [2, 3, 1], "late": [1, -1]}, live=1, unit="pieces")

    assert table.rows == [("all", 1, 3, 1, 0), ("late", 2, 2, -1, -2)]
    assert [list(each.get_xdata()) for each in ax.lines[:2]] == [[1, 2, 3, 4], [2, 3, 4]]
    assert ax.get_title(loc="left") == "Comes to the live state: all"
    assert table.says == "all: 3 events give 1 pieces, 1 are right; late: 2 events give -1 pieces, 1 are right."


def test_a_guess_is_a_cross_at_the_end(ax):
    plot_replay(ax, {"all": [2, 3]}, live=3, unit="pieces", guess=7)

    assert [(float(each.get_xdata()[0]), float(each.get_ydata()[0])) for each in ax.lines if each.get_marker() == "X"] == [(2, 7)]


def test_where_no_replay_is_right_the_title_says_so(ax):
    plot_replay(ax, {"late": [1]}, live=2, unit="pieces")

    assert ax.get_title(loc="left") == "Comes to the live state: none"
    assert min(sizes(ax)) >= FONT


@pytest.mark.parametrize("empty", [{}, {"all": []}])
def test_nothing_to_replay_is_refused(ax, empty):
    with pytest.raises(InvalidValueError):
        plot_replay(ax, empty, live=0, unit="pieces")
