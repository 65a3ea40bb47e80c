"""`edakit grade`: grade what a class handed in, a table for each notebook and a line for each in the end."""

# ruff: noqa: T201
# A command line prints.

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edakit.classroom.copies import chapters
from edakit.classroom.execute import SECONDS
from edakit.classroom.files import read_notebook
from edakit.classroom.grade import Grade, NoExercisesError, grade, sources, which_chapter
from edakit.errors import EdakitError, InvalidValueError
from edakit.lab import find_course
from edakit.table import Table

__all__ = ["add_arguments", "run"]

FULL = 100.0  # [%]
COLUMNS = ("file", "exercise", "points", "of", "verdict")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edakit grade`."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="notebooks that students handed in, or folders with them, under any name")
    parser.add_argument("--csv", type=Path, metavar="TABLE", help="write a row for each exercise of each notebook into this file, for a spreadsheet")
    parser.add_argument("--source", type=Path, help="folder of the solved chapters (notebooks/ in the course's folder)")
    parser.add_argument("--min", type=float, default=FULL, dest="least", metavar="PERCENT", help="exit with status 1 below this share of the points (100)")
    parser.add_argument("--timeout", type=float, default=SECONDS, metavar="SECONDS", help=f"give up on a notebook after this time ({SECONDS:g})")
    parser.epilog = (
        "A cell is interrupted after a minute, or when it prints without end; the others are graded. What was handed in runs with your rights, in its own "
        "folder: grade what strangers wrote in a container or as a user of its own. Checks are the course's own, but who wants to deceive them can."
    )


def run(arguments: argparse.Namespace) -> int:
    """Grade the files, print a table for each and a line for all; 1 below the wanted share of the points."""
    if not 0 <= arguments.least <= FULL:
        raise InvalidValueError("--min", arguments.least, "a share from 0 to 100 [%]")
    known = _known(arguments.source)
    # A notebook may change or remove whatever its user can: all are read before the first one runs, and the table is written anew after each.
    handed_in = {path: _read(path) for path in _notebooks(arguments.files)}
    found: dict[Path, list[Grade] | None] = {}
    rows: list[tuple[object, ...]] = [COLUMNS]
    _save(rows, arguments.csv)
    for path, notebook in handed_in.items():
        found[path] = _report(path, notebook, known, arguments.timeout, rows)
        _save(rows, arguments.csv)
    if len(found) > 1:
        print(_overview(found))
    return 0 if all(grades is not None and _points(grades) >= _full(grades) * arguments.least / FULL for grades in found.values()) else 1


def _known(source: Path | None) -> Mapping[Path, set[str]]:
    folder = source or find_course() / "notebooks"
    if not chapters(folder):
        # Without them each notebook would be graded with its own checks, which its student may have changed.
        raise InvalidValueError("--source", str(folder), "a folder with the solved chapters")
    return {path: sources(read_notebook(path)) for path in chapters(folder)}


def _notebooks(files: Iterable[Path]) -> Iterator[Path]:
    """Yield *files*, and of a folder the notebooks in and below it; a folder without one is yielded too, and cannot be read."""
    for path in files:
        below = sorted(each for each in path.rglob("*.ipynb") if not each.is_dir() and not _is_hidden(each.relative_to(path)))
        yield from below or [path]


def _is_hidden(path: Path) -> bool:
    """Return whether *path* is Jupyter's own, such as `.ipynb_checkpoints`, or what macOS writes beside a file in an archive."""
    return any(part.startswith(".") for part in path.parts)


def _read(path: Path) -> Any:
    """Return the notebook at *path*, or the error that says why there is none."""
    try:
        return read_notebook(path)
    except EdakitError as error:
        return error


def _report(path: Path, notebook: Any, known: Mapping[Path, set[str]], seconds: float, rows: list[tuple[object, ...]]) -> list[Grade] | None:
    """Grade one notebook, print what it got and add it to *rows*; None if it cannot be graded. Whatever is wrong with it, the next one has its turn."""
    try:
        grades = _graded(path, notebook, known, seconds)
    except Exception as error:  # noqa: BLE001 (what was handed in may be wrong in any way)
        why = f"not graded. {error if isinstance(error, EdakitError) else f'{type(error).__name__}: {error}'}"
        print(f"{path}: {why}", file=sys.stderr, flush=True)
        rows.append((path, "", "", "", why))
        return None
    points = [(each.exercise, each.points, each.full, each.says) for each in grades]
    print(Table(("exercise", "points", "of", "verdict"), points, title=str(path), says=_says(grades)), flush=True)
    rows.extend((path, *row) for row in points)
    return grades


def _graded(path: Path, notebook: Any, known: Mapping[Path, set[str]], seconds: float) -> list[Grade]:
    if isinstance(notebook, EdakitError):
        raise notebook
    solved = which_chapter(notebook, known)
    if solved is None:
        raise NoExercisesError(path.name)
    return grade(path, solved, notebook=notebook, seconds=seconds)


def _save(rows: Iterable[Iterable[object]], table: Path | None) -> None:
    if table is not None:
        # With its mark a spreadsheet knows that it is UTF-8.
        with table.open("w", encoding="utf-8-sig", errors="backslashreplace", newline="") as file:
            csv.writer(file).writerows(rows)


def _overview(found: Mapping[Path, list[Grade] | None]) -> Table:
    rows = [(str(path), *(("not graded", "", "") if grades is None else (_correct(grades), _points(grades), _full(grades)))) for path, grades in found.items()]
    missed = sum(grades is None for grades in found.values())
    says = f"{missed} could not be graded, and each says why above." if missed else "All were graded."
    return Table(("file", "correct", "points", "of"), rows, title=f"\n{len(found)} notebooks", says=says)


def _says(grades: list[Grade]) -> str:
    return f"{_correct(grades)} of {len(grades)} correct, {_points(grades)} of {_full(grades)} points."


def _correct(grades: list[Grade]) -> int:
    return sum(each.points == each.full for each in grades)


def _points(grades: list[Grade]) -> int:
    return sum(each.points for each in grades)


def _full(grades: list[Grade]) -> int:
    return sum(each.full for each in grades)
