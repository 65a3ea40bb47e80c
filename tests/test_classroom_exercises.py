from __future__ import annotations

import asyncio
import contextlib
import pickle
import sys
import threading
import time

import pytest

from edakit import Component, Event
from edakit.classroom.bounded import NoEndError, run_bounded
from edakit.classroom.exercises import MIME, EventStormError, NothingHereError, NotYetError, answered, exercise, virtual
from edakit.errors import InvalidValueError

HINTS = ("Look.", "Look <there>.", "It is 2.")


@exercise("00.1", "Two", points=2, hints=HINTS, seconds=60)
def check_two(two):
    """Look whether *two* returns 2."""
    found = answered(two(), "two()")
    if found != 2:
        raise NotYetError(f"{found}", "2", "This happens when one counts from 0.", "your fingers")
    return "It returned 2."


check_two_in_haste = exercise("00.1", "Two", points=2, hints=HINTS, seconds=0.3)(check_two.__wrapped__)


class Tick(Event):
    """Time goes by."""


def endless():
    while True:
        with contextlib.suppress(Exception):  # as a student's own `except` would
            time.monotonic()


def test_a_right_answer_gets_all_points_in_words():
    verdict = check_two(lambda: 2)

    assert verdict.passed
    assert verdict.points == 2
    assert repr(verdict) == "passed: 00.1 Two, 2 of 2 points\nIt returned 2."


def test_a_wrong_answer_reads_seen_expected_because_look():
    verdict = check_two(lambda: 3)

    assert not verdict.passed
    assert verdict.points == 0
    assert repr(verdict) == ("not yet: 00.1 Two, 0 of 2 points\nSeen: 3. Expected: 2. This happens when one counts from 0. Look at your fingers.")


@pytest.mark.parametrize("stub", [..., lambda: None, lambda: ..., lambda: (1, ...), {"a": ...}, [("x", ...)]])
def test_a_stub_is_told_from_a_wrong_answer(stub):
    verdict = check_two(stub)

    assert repr(verdict).startswith("nothing here yet: 00.1 Two, 0 of 2 points\n")
    assert "YOUR CODE HERE" in repr(verdict)


def test_an_answer_that_raises_is_shown_with_its_line():
    def two():
        return 1 // 0

    verdict = check_two(two)

    assert "ZeroDivisionError" in repr(verdict)
    assert "of your cell, `return 1 // 0`" in repr(verdict)
    assert isinstance(verdict.error, ZeroDivisionError)


def test_an_answer_that_raises_far_below_is_shown_where_the_student_called():
    def two():
        return int("two")  # Python's own line would help nobody

    assert '`return int("two")' in repr(check_two(two))


def test_an_answer_that_cannot_be_called_is_no_crash():
    assert "TypeError: 'int' object is not callable" in repr(check_two(2))


def test_an_answer_that_ends_the_process_is_no_crash():
    assert "SystemExit" in repr(check_two(lambda: sys.exit(3)))


def test_an_answer_that_never_ends_is_stopped_and_shown_where_it_was():
    threads = set(threading.enumerate())

    verdict = check_two_in_haste(endless)

    assert "still running after 0.3 s, in line " in repr(verdict)
    assert set(threading.enumerate()) <= threads


def test_run_all_goes_on_even_if_what_does_not_end_cannot_be_stopped():
    let_go = threading.Event()

    verdict = check_two_in_haste(lambda: let_go.wait(60))

    assert "still running after 0.3 s" in repr(verdict)
    let_go.set()


def test_stop_in_the_notebook_stops_the_answer_too(monkeypatch):
    seen = []

    def interrupted(self, timeout=None):
        monkeypatch.undo()
        seen.append(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_bounded(endless, 60)

    assert not seen[0].is_alive()


def test_an_answer_may_use_asyncio_although_a_notebook_does():
    async def notebook():
        async def two():
            return 2

        return check_two(lambda: asyncio.run(two()))

    assert asyncio.run(notebook()).passed


def test_the_notebook_gets_text_html_and_points():
    shown = check_two(lambda: 3)._repr_mimebundle_()

    assert shown["text/plain"].startswith("not yet")
    assert shown["text/html"].count("<details>") == 3
    assert "Look &lt;there&gt;." in shown["text/html"]
    assert shown[MIME] == {"exercise": "00.1", "points": 0, "of": 2}


def test_hints_come_on_request_and_not_after_passing():
    assert [check_two.hint(number) for number in (1, 2, 3)] == list(HINTS)
    assert "<details>" not in check_two(lambda: 2)._repr_html_()
    with pytest.raises(InvalidValueError, match="1 to 3"):
        check_two.hint(4)


def test_a_check_says_what_it_is():
    assert repr(check_two) == "the check of exercise 00.1, Two"
    assert check_two.__doc__ == "Look whether *two* returns 2."


def test_two_equal_verdicts_are_equal():
    assert check_two(lambda: 3) == check_two(lambda: 3)


@pytest.mark.parametrize("wrong", [{"hints": ("one",)}, {"hints": HINTS, "points": 0}])
def test_an_exercise_has_points_and_three_hints(wrong):
    with pytest.raises(InvalidValueError):
        exercise("00.1", "Two", **wrong)


def test_a_storm_of_events_comes_to_an_end(monkeypatch):
    monkeypatch.setattr("edakit.classroom.exercises.MOST_EVENTS", 50)
    clock = Component("clock")
    clock.on(Tick)(lambda event, context: context.publish(Tick()))
    app = virtual(clock)
    app.publish(Tick())

    with pytest.raises(EventStormError, match="50 events were handled and no end was in sight"):
        app.run_until_idle()


def test_the_errors_survive_pickling():
    for error in (NotYetError("3", "2", "So.", "it"), NothingHereError("two()"), EventStormError(5), NoEndError(2.0, None)):
        copy = pickle.loads(pickle.dumps(error))
        assert str(copy) == str(error)
        assert type(copy) is type(error)
