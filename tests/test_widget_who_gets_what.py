"""The widget of chapter 07 without a browser."""

from __future__ import annotations

import re
import threading

import pytest
from ipywidgets import HTML

from edakit.capabilities import BROKERS
from edakit.measuring import share_out
from edakit.widgets.who_gets_what import CHOICES, WhoGetsWhat, picture, who_gets_what


@pytest.fixture
def widget():
    return WhoGetsWhat()


def shown(widget):
    """Return the widget's picture and table, and its status line, as one text."""
    return "".join(child.value for child in widget.children if isinstance(child, HTML))


def test_it_begins_with_one_consumer_more_than_partitions(widget):
    assert (widget.broker.value, widget.partitions.value, widget.consumers.value) == ("Kafka", 3, 4)
    assert widget.sharing.idle == 1


@pytest.mark.parametrize(
    ("control", "value", "arguments"),
    [("broker", "RabbitMQ", ("RabbitMQ", 3, 4)), ("partitions", 8, ("Kafka", 8, 4)), ("consumers", 2, ("Kafka", 3, 2))],
)
def test_each_control_is_an_argument_of_the_pure_function(widget, control, value, arguments):
    getattr(widget, control).value = value

    assert widget.sharing.says == who_gets_what(*arguments).says
    assert who_gets_what(*arguments).says in shown(widget)


@pytest.mark.parametrize("control", ["partitions", "consumers"])
def test_one_step_of_a_slider_changes_the_picture_and_the_table(widget, control):
    slider, before = getattr(widget, control), shown(widget)

    slider.value += slider.step

    assert shown(widget) != before


@pytest.mark.parametrize("broker", CHOICES)
def test_a_broker_has_partitions_if_the_table_of_capabilities_says_that_it_does_not_share_events(widget, broker):
    widget.broker.value = broker

    shares = BROKERS[CHOICES[broker]].shares_events
    assert widget.partitions.disabled == shares
    assert widget.sharing.partitions == (0 if shares else 3)


def test_all_four_brokers_of_the_table_can_be_chosen():
    assert set(CHOICES.values()) == {scheme for scheme in BROKERS if not scheme.endswith("s")}


@pytest.mark.parametrize(("broker", "partitions", "consumers"), [("Kafka", 1, 8), ("Kafka", 8, 1), ("memory", 1, 1), ("sqlite", 8, 8)])
def test_at_all_ends_of_its_controls_there_is_a_picture(broker, partitions, consumers):
    assert "data:image/png;base64," in shown(WhoGetsWhat(broker, partitions, consumers))


def test_every_slider_has_bounds_and_does_not_draw_while_it_is_dragged(widget):
    sliders = (widget.partitions, widget.consumers)

    assert all(not slider.continuous_update for slider in sliders)
    assert [slider.description for slider in sliders] == ["Partitions", "Consumers"]
    assert [(slider.min, slider.max) for slider in sliders] == [(1, 8), (1, 8)]


def test_the_picture_has_its_sentence_as_alternative_text_and_a_polite_status_line(widget):
    assert re.search(r'<img alt="4 consumers on a log of 3 partitions[^"]*"', shown(widget))
    assert '<p role="status" aria-live="polite">4 consumers on a log of 3 partitions' in shown(widget)


def test_its_class_and_what_is_saved_of_it(widget):
    assert "edakit-who-gets-what" in widget._dom_classes
    assert repr(widget) == f"WhoGetsWhat: {widget.sharing.says}"


def test_two_controls_that_are_moved_at_a_time_end_with_the_values_of_both(widget):
    moves = [threading.Thread(target=setattr, args=(widget.partitions, "value", 8)), threading.Thread(target=setattr, args=(widget.consumers, "value", 2))]
    for move in moves:
        move.start()
    for move in moves:
        move.join()

    assert widget.sharing.says == share_out(partitions=8, consumers=2).says


def test_the_same_sharing_gives_the_same_picture():
    assert picture(share_out(partitions=3, consumers=3)) == picture(share_out(partitions=3, consumers=3))
