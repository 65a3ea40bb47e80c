"""Commit to a number or a choice before the figure; see both afterwards."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html import escape
from types import EllipsisType
from typing import Any, Final

import ipywidgets

from edakit.classroom.guesses import Guess, GuessesFileError, guesses_file, keep_guess, read_guesses
from edakit.errors import InvalidValueError

__all__ = ["Prediction", "measured", "predict", "prediction"]

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
LARGEST: Final = 1e12  # whoever types more has held a key down


def predict(name: str, guess: Guess | EllipsisType = ..., /, *, unit: str = "", choices: Sequence[str] | None = None) -> Prediction:
    """Ask for a guess, and keep it in `work/predictions.json`; a kernel that restarts finds it again.

    Without *guess* a field with buttons appears. `predict("wait_at_90", 40)` in code does the same as typing 40; None is *skip*.

    Args:
        name: What the guess is kept under: a-z, 0-9 and _.
        guess: The number, in *unit*, or one of *choices*.
        unit: Unit of the number.
        choices: What can be chosen instead of a number, 2 to 8 short texts.

    Raises:
        InvalidValueError: the name, the choices or the guess make no sense.
        GuessesFileError: the file of the guesses was damaged; it was kept aside.
    """
    if not _NAME.fullmatch(name):
        raise InvalidValueError("name", name, "a name of a-z, 0-9 and _ that begins with a letter")
    if choices is not None and (not 2 <= len(set(choices)) == len(choices) <= 8 or unit):  # noqa: PLR2004 (buttons that fit side by side)
        raise InvalidValueError("choices", choices, "2 to 8 different texts, and no unit")
    field = Prediction(name, unit, tuple(choices or ()))
    if guess is not ...:
        field.keep(guess)
    return field


def prediction(name: str) -> Guess:
    """Return the guess that was kept under *name*: a number, a choice, or None where it was skipped or not made yet.

    Raises:
        GuessesFileError: the file of the guesses was damaged; it was kept aside.
    """
    return read_guesses(guesses_file()).get(name)


def measured(name: str, value: float | str, unit: str = "") -> None:
    """Print the guess beside what was measured, *value* [*unit*]: `Your guess 40 ms, measured 36 ms`."""
    guess = prediction(name)
    result = f"measured {_text(value, unit)}"
    print(f"No guess; {result}" if guess is None else f"Your guess {_text(guess, unit)}, {result}")  # noqa: T201 (it is the cell's output)


class Prediction:
    """The field of one prediction; what it keeps can be read with `prediction(name)`.

    Attributes:
        name: What the guess is kept under.
        choices: What can be chosen; empty for a number.
        box: The widget.
    """

    def __init__(self, name: str, unit: str, choices: tuple[str, ...]) -> None:
        self.name, self.unit, self.choices = name, unit, choices
        self._file = guesses_file()
        known = read_guesses(self._file)
        self._status = ipywidgets.HTML()
        skip = ipywidgets.Button(description="Skip", tooltip="No guess: the figure comes without one", layout={"width": "auto"})
        skip.on_click(lambda _: self._try(None))
        row = ipywidgets.HBox([*(self._buttons() if choices else self._field(known.get(name))), skip], layout={"flex_flow": "row wrap"})
        self.box = ipywidgets.VBox([row, self._status])
        self.box.add_class("edakit-predict").add_class(f"edakit-predict-{name.replace('_', '-')}")
        self._say(self._kept(known[name]) if name in known else "No guess yet.")

    def keep(self, guess: Guess) -> None:
        """Keep *guess*; None skips.

        Raises:
            InvalidValueError: it is no number of zero or more, or none of the choices.
        """
        guess = self._checked(guess)
        keep_guess(self._file, self.name, guess)
        self._say(self._kept(guess))

    def _checked(self, guess: object) -> Guess:
        if guess is None:
            return None
        if self.choices:
            if guess not in self.choices:
                raise InvalidValueError(self.name, guess, f"one of {list(self.choices)}")
            return str(guess)
        if isinstance(guess, bool) or not isinstance(guess, int | float) or not 0 <= guess <= LARGEST:
            raise InvalidValueError(self.name, guess, f"a number{self.unit and f' in {self.unit}'}, zero or more, such as 40")
        return float(guess)

    def _buttons(self) -> list[Any]:
        buttons = [ipywidgets.Button(description=choice, layout={"width": "auto"}) for choice in self.choices]
        for button, choice in zip(buttons, self.choices, strict=True):
            button.on_click(lambda _, choice=choice: self._try(choice))
        return buttons

    def _field(self, known: Guess) -> list[Any]:
        label = f"Your guess [{self.unit}]" if self.unit else "Your guess"
        shown = _text(known).replace(",", "") if isinstance(known, float | int) else ""
        field = ipywidgets.Text(
            value=shown, description=label, placeholder="a number", continuous_update=False, style={"description_width": "initial"}, layout={"width": "20em"}
        )
        # The value arrives when Enter is pressed or the field is left: also for the button, which then finds it kept.
        field.observe(lambda change: self._try(change["new"]), "value")
        keep = ipywidgets.Button(description="Keep my guess", layout={"width": "auto"})
        keep.on_click(lambda _: self._try(field.value))
        return [field, keep]

    def _try(self, typed: str | None) -> None:
        """Keep what was typed or pressed; whatever is wrong with it is said in the field, since a button has no cell to raise in."""
        try:
            self.keep(typed if typed is None or self.choices else _number(typed, self.unit))
        except (InvalidValueError, GuessesFileError, OSError) as error:
            self._say(f"Not kept: {error}.")

    def _kept(self, guess: Guess) -> str:
        if guess is None:
            return "Skipped: the figure comes without a guess."
        return f"Your guess {_text(guess, self.unit)} is kept."

    def _say(self, sentence: str) -> None:
        self.says = sentence
        self._status.value = f'<span role="status" aria-live="polite">{escape(sentence)}</span>'

    def __repr__(self) -> str:
        unit = f" [{self.unit}]" if self.unit else ""
        return f"Prediction {self.name}{unit}: {self.says}"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = self.box._repr_mimebundle_(**options)
        return {**bundle, "text/plain": repr(self)}


def _number(typed: str, unit: str) -> float | str:
    """Read what was typed, with or without its unit; return it as it is where it is no number."""
    text = typed.strip().removesuffix(unit).strip()
    try:
        return float(text)
    except ValueError:
        return typed


def _text(value: float | str, unit: str = "") -> str:
    if isinstance(value, str):
        return f"“{value}”"
    if not math.isfinite(value):  # the wait of an overloaded queue, say
        return f"{value:g} {unit}".rstrip()
    number = f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.4g}"  # noqa: PLR2004 (as many digits as can be compared)
    return f"{number} {unit}".rstrip()
