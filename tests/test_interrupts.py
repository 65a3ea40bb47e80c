"""Ctrl-C while events are handled in this thread: whenever it comes, the next run goes on, and nothing is lost."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import edakit
from edakit import App, Component, Constant, interrupts
from edakit.interrupts import Interrupts
from tests.shop_language import CartItemAdded, recorder

PACKAGE = str(Path(edakit.__file__).parent)
AS_A_HANDLER = interrupts.__file__
"""Whose lines belong to what is ended at once: there the event comes again, and may have been handled."""


class AtLine:
    """Presses Ctrl-C when the *number*-th line of edakit is executed."""

    def __init__(self, number):
        self.left = number

    def __call__(self, frame, event, argument):
        name = frame.f_code.co_filename
        if not name.startswith(PACKAGE) or name == AS_A_HANDLER:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(signal.SIGINT)
        return self


def interrupted_at_line(app, number):
    """Run *app* with Ctrl-C at that line; return whether it came to that line."""
    before, at = sys.gettrace(), AtLine(number)
    sys.settrace(at)
    try:
        with suppress(KeyboardInterrupt):
            app.run_until_idle()
    finally:
        sys.settrace(before)
    return at.left <= 0


@pytest.mark.parametrize("options", [{}, {"takes": Constant(0.001), "concurrency": 2}, {"order": "per key"}, {"ack": "before"}], ids=str)
def test_whenever_it_comes_in_virtual_time_the_next_run_handles_the_rest_once(options):
    for number in range(1, 10_000):
        seen, component = [], Component("mail", **options)
        component.on(CartItemAdded)(lambda event, context, seen=seen: seen.append(event.cart_id))
        app = App(component, clock="virtual")
        app.publish_many(CartItemAdded(cart_id=each) for each in "abc")
        came = interrupted_at_line(app, number)
        app.run_until_idle()

        assert sorted(seen) == ["a", "b", "c"], f"at line {number}"
        assert app.bus.outstanding("mail") == 0, f"at line {number}"
        if not came:
            break
    assert number > 100, "each line was tried"


@pytest.mark.parametrize("point", ["received", "started", "handled", "acked"])
def test_what_comes_between_two_steps_waits_for_the_end_of_the_step_in_real_time_too(point):
    component, seen = recorder("mail")
    app = App(component)
    presses = [signal.SIGINT]
    app.hooks.on(point, lambda *_: signal.raise_signal(presses.pop()) if presses else None)
    app.publish_many(CartItemAdded(cart_id=each) for each in "abc")
    with pytest.raises(KeyboardInterrupt):
        app.run_until_idle()
    assert len(seen) == 1
    app.run_until_idle()

    assert [event.cart_id for event in seen] == ["a", "b", "c"]


def test_a_handler_is_ended_at_once_and_its_event_comes_again():
    seen, component, presses = [], Component("mail"), [signal.SIGINT]

    @component.on(CartItemAdded)
    def handle(event, context):
        if presses:
            signal.raise_signal(presses.pop())
            pytest.fail("it went on")
        seen.append(event.cart_id)

    app = App(component)
    app.publish(CartItemAdded(cart_id="a"))
    with pytest.raises(KeyboardInterrupt):
        app.run_until_idle()
    app.run_until_idle()

    assert seen == ["a"]


def test_afterwards_ctrl_c_is_what_it_was_before():
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append("outside"))
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGINT)
            assert heard == []
            interrupts.raise_if_asked()
            interrupts.interruptible(signal.raise_signal, signal.SIGINT)
            assert heard == ["outside"] * 2
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)

    assert heard == ["outside"] * 4
