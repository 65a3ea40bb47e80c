"""The dial of chapter 06 without a browser."""

from __future__ import annotations

import re
import threading

import pytest
from ipywidgets import HTML

from edakit.measuring import read_queue
from edakit.widgets.queue_dial import VARIABILITY, QueueDial, picture


@pytest.fixture
def dial():
    return QueueDial()


def shown(dial):
    """Return the dial's picture and table, and its status line, as one text."""
    return "".join(child.value for child in dial.children if isinstance(child, HTML))


def test_it_begins_at_ninety_per_cent(dial):
    assert (dial.rate.value, dial.takes_ms.value, dial.workers.value, dial.variability.value) == (225, 4.0, 1, 1)
    assert dial.reading.utilisation == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("slider", "value", "reading"),
    [
        ("rate", 100, (100, 0.004, 1, 1)),
        ("takes_ms", 2.5, (225, 0.0025, 1, 1)),
        ("workers", 3, (225, 0.004, 3, 1)),
        ("variability", 4, (225, 0.004, 1, 4)),
    ],
)
def test_each_slider_is_an_argument_of_the_pure_function(dial, slider, value, reading):
    getattr(dial, slider).value = value

    assert dial.reading.says == read_queue(*reading).says
    assert read_queue(*reading).says in shown(dial)


def test_a_slider_that_comes_back_to_a_number_by_steps_is_at_that_number(dial):
    dial.takes_ms.value = 3.9999999999999996

    assert dial.reading.says == read_queue(225, 0.004, 1, 1).says


@pytest.mark.parametrize("slider", ["rate", "takes_ms", "workers"])
def test_one_step_of_a_number_changes_the_picture_and_the_table(dial, slider):
    control, before = getattr(dial, slider), shown(dial)

    control.value += control.step

    assert shown(dial) != before


@pytest.mark.parametrize("variability", [value for _, value in VARIABILITY if value != 1])
def test_each_variability_changes_the_picture_and_the_table(dial, variability):
    before = shown(dial)

    dial.variability.value = variability

    assert shown(dial) != before


def test_one_step_up_from_where_it_begins_it_says_that_there_is_no_mean_wait_and_then_that_the_backlog_grows(dial):
    dial.rate.value += dial.rate.step
    assert "no mean wait exists" in dial.reading.says

    dial.rate.value += dial.rate.step
    assert "The backlog grows by 25 events every second." in dial.reading.says


@pytest.mark.parametrize(("rate", "takes_ms", "workers", "variability"), [(25, 1, 8, 0), (25, 10, 1, 4), (600, 1, 1, 0), (600, 10, 1, 4), (600, 10, 8, 0)])
def test_at_all_ends_of_its_sliders_there_is_a_picture(rate, takes_ms, workers, variability):
    assert "data:image/png;base64," in shown(QueueDial(rate, takes_ms, workers, variability))


def test_every_slider_has_bounds_a_unit_and_does_not_draw_while_it_is_dragged(dial):
    sliders = (dial.rate, dial.takes_ms, dial.workers, dial.variability)

    assert all(not slider.continuous_update for slider in sliders)
    assert [slider.description for slider in sliders] == ["Arrivals [1/s]", "Service time [ms]", "Workers", "Variability [1]"]
    assert [(slider.min, slider.max) for slider in sliders[:3]] == [(25, 600), (1, 10), (1, 8)]


def test_the_picture_has_its_sentence_as_alternative_text_and_a_polite_status_line(dial):
    assert re.search(r'<img alt="225 events/s come, [^"]*"', shown(dial))
    assert '<p role="status" aria-live="polite">225 events/s come, ' in shown(dial)


def test_its_class_and_what_is_saved_of_it(dial):
    assert "edakit-queue-dial" in dial._dom_classes
    assert repr(dial) == f"QueueDial: {dial.reading.says}"


def test_two_sliders_that_are_moved_at_a_time_end_with_the_values_of_both(dial):
    moves = [threading.Thread(target=setattr, args=(dial.rate, "value", 100)), threading.Thread(target=setattr, args=(dial.workers, "value", 2))]
    for move in moves:
        move.start()
    for move in moves:
        move.join()

    assert dial.reading.says == read_queue(100, 0.004, workers=2).says


def test_the_same_reading_gives_the_same_picture():
    reading = read_queue(225, 0.004)

    assert picture(reading) == picture(reading)
    assert picture(reading).startswith(b"\x89PNG")
