"""The widget of chapter 05 without a browser."""

from __future__ import annotations

import threading

import pytest
from ipywidgets import HTML

from edakit.measuring import LOAD_MODELS, load_test
from edakit.widgets.load_model import LoadModel, picture
from tests.one_stall import press, shop


@pytest.fixture
def widget():
    return LoadModel(shop, press, "cart", rate=20)


def shown(widget):
    """Return picture, table and status line as one text."""
    return "".join(child.value for child in widget.children if isinstance(child, HTML))


def says(model=LOAD_MODELS[0], rate=20, stall=1.0):
    return picture(load_test(shop, press, "cart", model=model, rate=rate, stall=stall), model, stall)[1].says


def test_it_begins_with_the_tester_of_the_chapter():
    widget = LoadModel(shop, press, "cart")

    assert (widget.model.value, widget.rate.value, widget.stall.value) == (LOAD_MODELS[0], 100, 1.0)
    assert repr(widget) == "LoadModel: waits for each answer: 1 of 5,901 answers took more than 100 ms, p99 is 2.04 ms."


@pytest.mark.parametrize(("control", "value"), [("model", LOAD_MODELS[1]), ("model", LOAD_MODELS[2]), ("rate", 30), ("stall", 2.5), ("stall", 0.0)])
def test_each_control_is_an_argument_of_the_pure_function(widget, control, value):
    before = shown(widget)

    getattr(widget, control).value = value

    assert widget.table.says == says(**{control: value})
    assert f'<p role="status" aria-live="polite">{says(**{control: value})}</p>' in shown(widget)
    assert shown(widget) != before


@pytest.mark.parametrize("slider", ["rate", "stall"])
def test_one_step_changes_the_picture_and_the_sentence(widget, slider):
    control, before, said = getattr(widget, slider), shown(widget), widget.table.rows
    widget.model.value = LOAD_MODELS[2]

    control.value += control.step

    assert shown(widget) != before
    assert widget.table.rows != said


def test_its_sliders_have_bounds_units_and_wait_for_the_hand_to_rest(widget):
    assert (widget.rate.min, widget.rate.max, widget.stall.min, widget.stall.max) == (20, 200, 0.0, 3.0)
    assert [slider.description for slider in (widget.rate, widget.stall)] == ["Requests [1/s]", "Stall [s]"]
    assert not widget.rate.continuous_update
    assert not widget.stall.continuous_update


def test_its_picture_has_words_and_its_class_is_known_to_the_browser_tests(widget):
    assert f'<img alt="{widget.table.says}"' in shown(widget)
    assert "edakit-load-model" in widget._dom_classes


def test_two_hands_at_a_time_leave_the_picture_of_the_last_values(widget):
    hands = [threading.Thread(target=setattr, args=(control, "value", value)) for control, value in ((widget.rate, 40), (widget.stall, 2.0))]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()

    assert widget.table.says == says(rate=40, stall=2.0)
    assert widget.table.says in shown(widget)
