"""The dial of chapter 02 without a browser."""

from __future__ import annotations

import re
import threading

import numpy as np
import pytest
from ipywidgets import HTML

from edakit.measuring import sliced_lag
from edakit.widgets.loop_lag import LoopLagDial, picture


@pytest.fixture
def dial():
    return LoopLagDial()


def shown(dial):
    """Return the dial's picture and its status line, as one text."""
    return "".join(child.value for child in dial.children if isinstance(child, HTML))


def test_it_begins_with_one_task_that_never_gives_the_thread_back(dial):
    assert (dial.holds.value, dial.tasks.value) == (600, 1)
    assert dial.says == "1 task computes 600 ms, 600 ms at a time. The latest timer fires 590 ms late."


@pytest.mark.parametrize(("slider", "value", "run"), [("holds", 60, (0.06, 1)), ("tasks", 4, (0.6, 4))])
def test_each_slider_is_an_argument_of_the_pure_function(dial, slider, value, run):
    getattr(dial, slider).value = value

    assert np.array_equal(dial.lag.lag, sliced_lag(*run).lag)
    assert dial.lag.work == sliced_lag(*run).work
    assert dial.says in shown(dial)


def test_the_sentence_has_the_worst_lag_of_both_sliders(dial):
    dial.holds.value, dial.tasks.value = 60, 4

    assert dial.says == "4 tasks compute 600 ms each, 60 ms at a time. The latest timer fires 230 ms late."


@pytest.mark.parametrize("slider", ["holds", "tasks"])
@pytest.mark.parametrize("direction", [1, -1])
def test_one_step_changes_the_picture(slider, direction):
    dial = LoopLagDial(holds=60, tasks=3)
    control, before = getattr(dial, slider), shown(dial)

    control.value += direction * control.step

    assert re.sub("alt=.*? src", "", shown(dial)) != re.sub("alt=.*? src", "", before)


@pytest.mark.parametrize("holds", [10, 600])
@pytest.mark.parametrize("tasks", [1, 6])
def test_at_all_ends_of_its_sliders_there_is_a_picture(holds, tasks):
    assert "data:image/png;base64," in shown(LoopLagDial(holds, tasks))


def test_every_slider_has_bounds_a_unit_and_does_not_draw_while_it_is_dragged(dial):
    assert not dial.holds.continuous_update
    assert not dial.tasks.continuous_update
    assert [(slider.description, slider.min, slider.max) for slider in (dial.holds, dial.tasks)] == [
        ("Holds the thread at a time [ms]", 10, 600),
        ("Tasks at the same time", 1, 6),
    ]


def test_the_picture_has_its_sentence_as_alternative_text_and_a_polite_status_line(dial):
    assert f'<img alt="{dial.says}"' in shown(dial)
    assert f'<p role="status" aria-live="polite">{dial.says}</p>' in shown(dial)


def test_its_class_and_what_is_saved_of_it(dial):
    assert "edakit-loop-lag" in dial._dom_classes
    assert repr(dial) == f"LoopLagDial: {dial.says}"


def test_two_sliders_that_are_moved_at_a_time_end_with_the_values_of_both(dial):
    moves = [threading.Thread(target=setattr, args=(dial.holds, "value", 60)), threading.Thread(target=setattr, args=(dial.tasks, "value", 2))]
    for move in moves:
        move.start()
    for move in moves:
        move.join()

    assert dial.says.startswith("2 tasks compute 600 ms each, 60 ms at a time.")


def test_the_same_run_gives_the_same_picture():
    assert picture(sliced_lag(0.06)) == picture(sliced_lag(0.06))
    assert picture(sliced_lag(0.06)).startswith(b"\x89PNG")
