"""Exercises: a check looks at what an answer does, and says what it has seen. It reports and never raises, so that Run All goes on."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import update_wrapper
from html import escape
from numbers import Integral, Real
from types import EllipsisType
from typing import Any, Final

from edakit.app import App
from edakit.classroom.bounded import NoEndError, place_of, run_bounded
from edakit.component import Component
from edakit.errors import EdakitError, InvalidValueError

__all__ = ["MIME", "Check", "EventStormError", "Exercise", "NotYetError", "NothingHereError", "Verdict"]
__all__ += ["answered", "exercise", "real", "sentences", "virtual", "whole"]

MIME: Final = "application/vnd.edakit.verdict+json"
"""What `edakit grade` reads in a cell's output."""

SECONDS = 20.0  # far more than a check needs, far less than a class waits [s]
MOST_EVENTS = 200_000  # no exercise handles more
HINTS = 3
FULL_STOPS: Final = "\u3002\uff01\uff1f"
"""Those of Chinese, which have no space after them."""


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Args:
        number: Chapter and number: "06.2".
        title: A few words.
        points: What full marks are.
        hints: Three of them, each saying more than the one before.
    """

    number: str
    title: str
    points: int
    hints: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.hints) != HINTS:
            raise InvalidValueError("hints", self.hints, f"{HINTS} hints, each saying more than the one before")
        if self.points < 1:
            raise InvalidValueError("points", self.points, "a whole number of 1 or more")


class NotYetError(EdakitError):
    """An answer does not do what was asked for. A check raises it; the student reads its sentences.

    Args:
        seen: What the answer did.
        expected: What was asked for.
        because: The misconception that usually leads here, as whole sentences.
        look: Where to look: a section of the chapter, a name, a line.
    """

    def __init__(self, seen: str, expected: str, because: str, look: str) -> None:
        self.seen, self.expected, self.because, self.look = seen, expected, because, look
        super().__init__(seen, expected, because, look)

    def __str__(self) -> str:
        return f"Seen: {self.seen}. Expected: {self.expected}. {self.because} Look at {self.look}."


class NothingHereError(EdakitError):
    """The answer is still the stub."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(what)

    def __str__(self) -> str:
        return f"{self.what}; write it in the cell above, where it says YOUR CODE HERE, and run both cells again"


class EventStormError(EdakitError):
    """The handlers of an answer publish without end."""

    def __init__(self, most: int) -> None:
        self.most = most
        super().__init__(most)

    def __str__(self) -> str:
        return f"{self.most:,} events were handled and no end was in sight; a handler must not publish, directly or through others, what it handles itself"


@dataclass(frozen=True)
class Verdict:
    """What a check says; in words, and with the hints folded away in a notebook.

    Attributes:
        exercise: Which one.
        kind: "passed", "not yet" or "nothing here yet".
        message: What was seen, what was expected, and where to look.
        error: What the answer raised, if it raised.
    """

    exercise: Exercise
    kind: str
    message: str
    error: BaseException | None = field(default=None, compare=False)

    @property
    def passed(self) -> bool:
        """Whether the answer is right."""
        return self.kind == "passed"

    @property
    def points(self) -> int:
        """The points that the answer gets: all or none."""
        return self.exercise.points if self.passed else 0

    def __repr__(self) -> str:
        about = self.exercise
        return f"{self.kind}: {about.number} {about.title}, {self.points} of {about.points} points\n{self.message}".rstrip()

    def _repr_html_(self) -> str:
        head, _, rest = repr(self).partition("\n")
        hints = "" if self.passed else "".join(_folded(number, hint) for number, hint in enumerate(self.exercise.hints, 1))
        return f"<p><strong>{escape(head)}</strong></p>{f'<p>{escape(rest)}</p>' if rest else ''}{hints}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        score = {"exercise": self.exercise.number, "points": self.points, "of": self.exercise.points}
        return {"text/plain": repr(self), "text/html": self._repr_html_(), MIME: score}


def _folded(number: int, hint: str) -> str:
    return f"<details><summary>Hint {number} of {HINTS}</summary><p>{escape(hint)}</p></details>"


class Check:
    """A check as the notebook calls it: with the answers, for a `Verdict`. Made by `exercise`."""

    def __init__(self, about: Exercise, function: Callable[..., str | None], seconds: float) -> None:
        self.exercise, self._function, self._seconds = about, function, seconds
        update_wrapper(self, function)

    def __call__(self, *answers: object) -> Verdict:
        """Look at *answers*, and say what was seen."""
        try:
            said = run_bounded(lambda: self._look(*answers), self._seconds)
        except NothingHereError as error:
            return Verdict(self.exercise, "nothing here yet", f"{error}.")
        except NotYetError as error:
            return Verdict(self.exercise, "not yet", str(error))
        except NoEndError as error:
            return Verdict(self.exercise, "not yet", f"Your answer did not end: {error}.", error)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (an answer may raise anything; the notebook goes on and says it)
            return Verdict(self.exercise, "not yet", _raised(error), error)
        return Verdict(self.exercise, "passed", said or "")

    def _look(self, *answers: object) -> str | None:
        if any(map(_is_blank, answers)):
            raise NothingHereError("there is no answer yet")
        return self._function(*answers)

    def hint(self, number: int = 1) -> str:
        """Return hint *number*, from 1 to 3."""
        if not 1 <= number <= HINTS:
            raise InvalidValueError("number", number, f"1 to {HINTS}")
        return self.exercise.hints[number - 1]

    def __repr__(self) -> str:
        return f"the check of exercise {self.exercise.number}, {self.exercise.title}"


def exercise(number: str, title: str, *, points: int = 1, hints: Sequence[str], seconds: float = SECONDS) -> Callable[[Callable[..., str | None]], Check]:
    """Make a check of the decorated function.

    The function gets the student's answers. It raises `NotYetError` for a wrong one and `NothingHereError` for a stub (see `answered`); otherwise
    the answer is right, and the text that it returns, if any, is what the student reads.

    Args:
        number: Chapter and number: "06.2".
        title: A few words.
        points: What full marks are.
        hints: Three hints, each saying more than the one before.
        seconds: When to stop an answer that does not end [s].
    """
    about = Exercise(number, title, points, tuple(hints))
    return lambda function: Check(about, function, seconds)


def answered(value: object, what: str) -> Any:
    """Return *value*, what the student's code gave.

    Args:
        value: None, `...`, or something that holds `...`, is the stub.
        what: The call that gave it, as the student would write it: "counts(2, 5)".

    Raises:
        NothingHereError: it is the stub.
    """
    if value is None or _is_blank(value):
        raise NothingHereError(f"{what} gives nothing back yet")
    return value


def whole(value: object) -> int | None:
    """Return *value* if it is a whole number, Python's or numpy's; True and False are none."""
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else None


def real(value: object) -> float | None:
    """Return *value* if it is a number, Python's or numpy's."""
    return float(value) if isinstance(value, Real) else None


def sentences(text: object) -> int:
    """Count the sentences of *text*, in a language of spaces or in Chinese; each ends with a full stop, a question mark or an exclamation mark."""
    return len(re.findall(rf"\w[^.!?{FULL_STOPS}]*(?:[.!?](?=\s|$)|[{FULL_STOPS}])", str(text)))


def virtual(*components: Component, seed: int = 0) -> App:
    """Make an app in virtual time on a broker of its own, in which a storm of events comes to an end.

    Raises:
        EventStormError: from its `run_until_idle` and `advance`, after 200,000 deliveries.
    """
    app = App(*components, broker="memory://", clock="virtual", seed=seed)
    started = 0

    def count(_component: str, _delivery: object) -> None:
        nonlocal started
        started += 1
        if started > MOST_EVENTS:
            raise EventStormError(MOST_EVENTS)

    app.hooks.on("started", count)
    return app


def _is_blank(value: object) -> bool:
    if isinstance(value, EllipsisType):
        return True
    if isinstance(value, dict):
        return any(map(_is_blank, value.values()))
    return isinstance(value, list | tuple) and any(map(_is_blank, value))


def _raised(error: BaseException) -> str:
    place = place_of(error)
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    if place is None:
        return (
            f"Seen: what you gave cannot be used ({what}). Expected: an answer as the text above describes it. Look at its arguments, and at what it returns."
        )
    return f"Seen: {what}, in {place}. Expected: no exception. Look at that line first; then run the cell again."
