"""`edakit grade`: run a student's notebook with the course's own checks, and count points."""

# ruff: noqa: T201
# A command line prints.

from __future__ import annotations

import argparse
import copy
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edakit.classroom.copies import chapters
from edakit.classroom.execute import SECONDS, NotebookStuckError, execute
from edakit.classroom.exercises import MIME
from edakit.classroom.files import NotebookFileError, read_notebook
from edakit.errors import EdakitError, InvalidValueError
from edakit.lab import CourseNotFoundError, find_course
from edakit.table import Table

__all__ = ["Grade", "NoExercisesError", "add_arguments", "grade", "graded_cell", "is_graded", "restore", "run"]

FULL = 100.0  # [%]


class NoExercisesError(EdakitError):
    """A notebook has nothing to grade."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)

    def __str__(self) -> str:
        return (
            f"{self.name} has no cell that is graded, and no solved chapter belongs to it; keep the chapter's file name, or name the solved one with --source"
        )


@dataclass(frozen=True)
class Grade:
    """What became of one graded cell.

    Attributes:
        exercise: The exercise's number, or the cell's id where no verdict came.
        points: The points that the answer got.
        full: The points that it could get.
        says: The check's words.
    """

    exercise: str
    points: int
    full: int
    says: str


def grade(path: Path, solved: Path | None = None, *, seconds: float = SECONDS) -> list[Grade]:
    """Run the notebook at *path*, with the checks as the solved chapter has them, and return what each exercise got.

    Args:
        path: What a student handed in; it is not changed.
        solved: The chapter that it was copied from; None grades with the checks that it has.
        seconds: When to give up on the whole notebook [s].

    Raises:
        NotebookFileError: a file is no notebook.
        NoExercisesError: nothing is graded in it.
        NotebookStuckError: it did not come to its end.
    """
    notebook = read_notebook(path)
    if solved is not None:
        restore(notebook, read_notebook(solved))
    graded = [cell for cell in notebook.cells if is_graded(cell)]
    if not graded:
        raise NoExercisesError(path.name)
    done = execute(notebook, path.resolve(), keep_going=True, seconds=seconds)
    return [graded_cell(cell) for cell in done.cells if is_graded(cell)]


def is_graded(cell: Any) -> bool:
    """Return whether *cell* is a check that gives points."""
    about = cell.metadata.get("nbgrader", {})
    return bool(cell.cell_type == "code" and about.get("grade") and not about.get("solution"))


def restore(notebook: Any, solved: Any) -> None:
    """Put the graded cells of *solved* into *notebook*, in place: those that were changed, copied or lost."""
    missing = {cell.metadata.nbgrader.grade_id: copy.deepcopy(cell) for cell in solved.cells if is_graded(cell)}
    kept = [cell if not is_graded(cell) else missing.pop(cell.metadata.nbgrader.get("grade_id"), None) for cell in notebook.cells]
    notebook.cells = [cell for cell in kept if cell is not None] + list(missing.values())


def graded_cell(cell: Any) -> Grade:
    """Return what the outputs of the check *cell* say; no points where its check gave no verdict."""
    about = cell.metadata.nbgrader
    for output in cell.outputs:
        verdict = output.get("data", {}).get(MIME)
        if verdict:
            return Grade(verdict["exercise"], verdict["points"], verdict["of"], _words(output.data["text/plain"]))
    error = next((f"{output.ename}: {output.evalue}" for output in cell.outputs if output.output_type == "error"), "the check gave no verdict")
    return Grade(about.get("grade_id", "?"), 0, int(about.get("points", 0)), f"not yet: {error}")


def _words(text: str) -> str:
    head, _, rest = text.partition("\n")
    return f"{head.partition(':')[0]}{rest and ': '}{rest}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edakit grade`."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="notebooks that students handed in")
    parser.add_argument("--source", type=Path, help="folder of the solved chapters (notebooks/ in the course's folder)")
    parser.add_argument("--min", type=float, default=FULL, dest="least", metavar="PERCENT", help="exit with status 1 below this share of the points (100)")
    parser.add_argument("--timeout", type=float, default=SECONDS, metavar="SECONDS", help=f"give up on a notebook after this time ({SECONDS:g})")


def run(arguments: argparse.Namespace) -> int:
    """Grade the files, print a table for each and a line for all; 1 below the wanted share of the points."""
    if not 0 <= arguments.least <= FULL:
        raise InvalidValueError("--min", arguments.least, "a share from 0 to 100 [%]")
    if arguments.source is not None and not chapters(arguments.source):
        # Without them each notebook would be graded with its own checks, which its student may have changed.
        raise InvalidValueError("--source", str(arguments.source), "a folder with the solved chapters")
    enough = [_report(path, _solved(path, arguments.source), arguments.least, arguments.timeout) for path in arguments.files]
    return 0 if all(enough) else 1


def _report(path: Path, solved: Path | None, least: float, seconds: float) -> bool:
    try:
        grades = grade(path, solved, seconds=seconds)
    except (NotebookFileError, NoExercisesError, NotebookStuckError) as error:
        print(f"{path.name}: not graded. {error}", file=sys.stderr)
        return False
    points, full = sum(each.points for each in grades), sum(each.full for each in grades)
    correct = sum(each.points == each.full for each in grades)
    says = f"{correct} of {len(grades)} correct, {points} of {full} points."
    rows = [(each.exercise, each.points, each.full, each.says) for each in grades]
    print(Table(("exercise", "points", "of", "verdict"), rows, title=path.name, says=says), flush=True)
    return points >= full * least / FULL


def _solved(path: Path, source: Path | None) -> Path | None:
    """Return the solved chapter with the number of *path*, if it can be found."""
    try:
        folder = source or find_course() / "notebooks"
    except CourseNotFoundError:
        return None
    return next(iter(known for known in chapters(folder) if known.name[:2] == path.name[:2]), None)
