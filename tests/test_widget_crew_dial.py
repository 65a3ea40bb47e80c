"""The dial of chapter 03 without a browser."""

from __future__ import annotations

import re
import threading

import pytest
from ipywidgets import HTML

from edakit.measuring import ACKS, two_deaths
from edakit.widgets.crew_dial import PREFETCH, CrewDial, picture


@pytest.fixture
def dial():
    return CrewDial()


def shown(dial):
    """Return the dial's picture and its status line, as one text."""
    return "".join(child.value for child in dial.children if isinstance(child, HTML))


def test_it_begins_with_two_workers_that_ack_after_the_work(dial):
    assert (dial.workers.value, dial.prefetch.value, dial.ack.value) == (2, 5, "after the work")
    assert (
        dial.says == "2 workers, prefetch 5, ack after the work: of 60 orders 0 lost, 1 packed twice, 6 delivered again. The last one was done after 1,750 ms."
    )


@pytest.mark.parametrize(
    ("slider", "value", "run"),
    [("workers", 3, (3, 5, "after the work")), ("prefetch", 20, (2, 20, "after the work")), ("ack", "on receipt", (2, 5, "on receipt"))],
)
def test_each_slider_is_an_argument_of_the_pure_function(dial, slider, value, run):
    getattr(dial, slider).value = value

    assert dial.run == two_deaths(*run)
    assert dial.says in shown(dial)


def test_the_sentence_counts_what_the_acks_cost(dial):
    dial.ack.value = "before the work"
    assert "1 lost, 0 packed twice, 7 delivered again" in dial.says

    dial.ack.value = "on receipt"
    assert "11 lost (10 of them not begun), 0 packed twice, 0 delivered again" in dial.says


@pytest.mark.parametrize(("slider", "values"), [("workers", range(1, 5)), ("prefetch", PREFETCH), ("ack", ACKS)], ids=["workers", "prefetch", "ack"])
def test_each_step_changes_the_picture(slider, values):
    dial = CrewDial(**{slider: values[0]})
    seen = {re.sub("alt=.*? src", "", shown(dial))}
    for value in values[1:]:
        getattr(dial, slider).value = value
        seen.add(re.sub("alt=.*? src", "", shown(dial)))

    assert len(seen) == len(values)


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("prefetch", [PREFETCH[0], PREFETCH[-1]])
@pytest.mark.parametrize("ack", ACKS)
def test_at_all_ends_of_its_sliders_there_is_a_picture(workers, prefetch, ack):
    assert "data:image/png;base64," in shown(CrewDial(workers, prefetch, ack))


def test_every_slider_has_bounds_a_unit_and_does_not_draw_while_it_is_dragged(dial):
    sliders = (dial.workers, dial.prefetch, dial.ack)

    assert not any(slider.continuous_update for slider in sliders)
    assert [slider.description for slider in sliders] == ["Workers", "Prefetch [messages]", "Ack"]
    assert (dial.workers.min, dial.workers.max) == (1, 4)


def test_the_picture_has_its_sentence_as_alternative_text_and_a_polite_status_line(dial):
    assert f'<img alt="{dial.says}"' in shown(dial)
    assert f'<p role="status" aria-live="polite">{dial.says}</p>' in shown(dial)


def test_its_class_and_what_is_saved_of_it(dial):
    assert "edakit-crew-dial" in dial._dom_classes
    assert repr(dial) == f"CrewDial: {dial.says}"


def test_two_sliders_that_are_moved_at_a_time_end_with_the_values_of_both(dial):
    moves = [threading.Thread(target=setattr, args=(dial.workers, "value", 3)), threading.Thread(target=setattr, args=(dial.prefetch, "value", 2))]
    for move in moves:
        move.start()
    for move in moves:
        move.join()

    assert dial.run == two_deaths(3, 2)


def test_the_same_run_gives_the_same_picture():
    assert picture(two_deaths()) == picture(two_deaths())
    assert picture(two_deaths()).startswith(b"\x89PNG")
