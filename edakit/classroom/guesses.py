"""The student's guesses: one small JSON file beside the chapters, written as a whole or not at all."""

from __future__ import annotations

import json
import math
import os
import tempfile
import threading
from pathlib import Path

from edakit.errors import EdakitError

__all__ = ["Guess", "GuessesFileError", "guesses_file", "keep_guess", "read_guesses"]

Guess = float | str | None
"""A number, a choice, or None for a prediction that was skipped."""

NAME = "predictions.json"
# A field's button runs in another thread than the cells do.
_lock = threading.Lock()


class GuessesFileError(EdakitError):
    """The file of the guesses cannot be read; it was moved aside, nothing is lost."""

    def __init__(self, name: str, problem: str, kept: str) -> None:
        self.name, self.problem, self.kept = name, problem, kept
        super().__init__(name, problem, kept)

    def __str__(self) -> str:
        return (
            f"{self.name} holds no guesses that can be read ({self.problem}); it was kept as {self.kept}. "
            f"Run the cell again to go on without it, or mend it and give it back the name {self.name}"
        )


def guesses_file(folder: Path | None = None) -> Path:
    """Return where the guesses are kept: $EDAKIT_PREDICTIONS, or predictions.json in the folder `work`.

    Args:
        folder: Where the notebook runs, by default the current folder. Its own `work`, or the one beside it, is taken; else the folder itself.
    """
    if told := os.environ.get("EDAKIT_PREDICTIONS"):
        return Path(told)
    here = (folder or Path.cwd()).resolve()
    if here.name == "notebooks":
        return here.parent / "work" / NAME
    candidates = [here] if here.name == "work" else [here / "work", here.parent / "work"]
    return next((place for place in candidates if place.is_dir()), here) / NAME


def read_guesses(path: Path) -> dict[str, Guess]:
    """Return all guesses by name; none where there is no file yet.

    Raises:
        GuessesFileError: the file holds something else; it was moved aside first.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise GuessesFileError(path.name, str(error), _set_aside(path)) from None
    if not isinstance(found, dict) or not all(_is_guess(value) for value in found.values()):
        raise GuessesFileError(path.name, "it is no object of names with numbers, texts or null", _set_aside(path))
    return found


def keep_guess(path: Path, name: str, guess: Guess) -> None:
    """Write *guess* under *name*, beside the others.

    Raises:
        GuessesFileError: as for `read_guesses`.
    """
    with _lock:
        text = json.dumps({**read_guesses(path), name: guess}, indent=1, sort_keys=True, ensure_ascii=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, text + "\n")


def _write(path: Path, text: str) -> None:
    # A kernel may die at any moment: the new file takes the place of the old one only when it is whole.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _set_aside(path: Path) -> str:
    number = 1
    while (kept := path.with_name(f"{path.stem}.broken-{number}{path.suffix}")).exists():
        number += 1
    path.rename(kept)
    return kept.name


def _is_guess(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return value is None or isinstance(value, str) or (isinstance(value, int | float) and math.isfinite(value))


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number that can be drawn")
