"""Grade a notebook: run it with the course's own checks, and count points. `edakit grade` is in `gradebook.py`."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat.v4 import new_code_cell

from edakit.classroom.copies import student_copy
from edakit.classroom.execute import SECONDS, execute, is_graded
from edakit.classroom.exercises import MIME
from edakit.classroom.files import read_notebook
from edakit.errors import EdakitError

__all__ = ["Grade", "NoExercisesError", "grade", "graded_cell", "restore", "sources", "which_chapter"]

MOST_WORDS = 600  # of a verdict: an error may quote anything [characters]

_CHECKS = re.compile(r"^from edakit\.classroom\.checks\S* import .*$", re.MULTILINE)


class NoExercisesError(EdakitError):
    """A notebook has nothing to grade."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)

    def __str__(self) -> str:
        return f"{self.name} has no cell in common with a chapter of the course, so nothing in it can be graded; look whether it is the file that was meant"


@dataclass(frozen=True)
class Grade:
    """What became of one graded cell.

    Attributes:
        exercise: The exercise's number.
        points: The points that the answer got.
        full: The points that it could get.
        says: The check's words, on one line.
    """

    exercise: str
    points: int
    full: int
    says: str


def grade(path: Path, solved: Path | None = None, *, notebook: Any = None, seconds: float = SECONDS) -> list[Grade]:
    """Run the notebook at *path*, with the checks as the solved chapter has them, and return what each exercise got, by number.

    It runs with the rights of this process. What it leaves in its kernel can deceive a check: this counts points, and does not guard an exam.

    Args:
        path: What a student handed in; it is not changed.
        solved: The chapter that it was copied from; None grades with the checks that it has.
        notebook: What was in the file, where it has been read already.
        seconds: When to give up on the whole notebook [s].

    Raises:
        NotebookFileError: a file is no notebook.
        NoExercisesError: nothing is graded in it.
        NotebookStuckError: it did not come to its end.
    """
    notebook = read_notebook(path) if notebook is None else notebook
    if solved is not None:
        restore(notebook, read_notebook(solved))
    if not any(map(is_graded, notebook.cells)):
        raise NoExercisesError(path.name)
    done = execute(notebook, path.resolve(), keep_going=True, seconds=seconds)
    grades, before = [], ""
    for cell in done.cells:
        if is_graded(cell):
            grades.append(graded_cell(cell, before))
            before = ""
        else:
            before = _error(cell) or before
    return sorted(grades, key=lambda each: each.exercise)


def sources(notebook: Any) -> set[str]:
    """Return what stands in the cells of *notebook*."""
    return {cell.source.strip() for cell in notebook.cells} - {""}


def which_chapter(notebook: Any, known: Mapping[Path, set[str]]) -> Path | None:
    """Return the chapter that *notebook* was copied from, whatever its file is called now: the one with the most cells in common.

    Args:
        notebook: What a student handed in.
        known: The `sources` of each chapter.
    """
    shared = {path: len(cells & sources(notebook)) for path, cells in known.items()}
    found = max(shared, key=lambda path: shared[path], default=None)
    return found if found and shared[found] else None


def _about(cell: Any) -> Any:
    about = cell.metadata.get("nbgrader")
    return about if isinstance(about, dict) else {}


def restore(notebook: Any, solved: Any) -> None:
    """Put the graded cells of *solved* into *notebook*, in place: those that were changed, copied, lost, or moved before their answer.

    Each imports the course's checks again, whatever has got their names meanwhile. What a student wrote into one runs before it: it may be the answer.
    """
    imports = "".join(f"{line}\n" for cell in solved.cells if cell.cell_type == "code" for line in _CHECKS.findall(cell.source))
    missing, answer_of, answer, given = {}, {}, "", sources(solved) | sources(student_copy(solved))
    for cell in copy.deepcopy(solved).cells:
        if is_graded(cell):
            cell.source = imports + cell.source
            missing[cell.metadata.nbgrader.grade_id] = cell
            answer_of[cell.metadata.nbgrader.grade_id] = answer
        answer = _about(cell).get("grade_id", answer)
    kept, seen = [], set()
    for cell in notebook.cells:
        name = _about(cell).get("grade_id")
        if not is_graded(cell):
            kept.append(cell)
            seen.add(name)
            continue
        if cell.source.strip() not in given:
            kept.append(new_code_cell(cell.source))  # type: ignore[no-untyped-call]
        if name in missing and answer_of[name] in seen:
            kept.append(missing.pop(name))
    notebook.cells = [*kept, *missing.values()]


def graded_cell(cell: Any, before: str = "") -> Grade:
    """Return what the outputs of the check *cell* say; no points where its check gave no verdict.

    Args:
        cell: A cell that was run.
        before: The error of the cells before it, which may be why.
    """
    about = cell.metadata.nbgrader
    number, full = str(about.get("grade_id", "?")).removeprefix("check_").replace("_", "."), int(about.get("points", 0))
    # What the cell ends with is the check's; what an answer has displayed meanwhile is not.
    results = [output.data for output in cell.outputs if output.output_type == "execute_result" and isinstance(output.data.get(MIME), dict)]
    if results:
        return Grade(number, full if results[-1][MIME].get("points") == full else 0, full, _words(str(results[-1].get("text/plain", ""))))
    why = "; before it: ".join(filter(None, (_error(cell) or "the check gave no verdict", before)))
    return Grade(number, 0, full, _line(f"not yet: {why}"))


def _error(cell: Any) -> str:
    found = next((output for output in cell.get("outputs", ()) if output.output_type == "error"), None)
    if found is None:
        return ""
    return "stopped: it ran or printed without end" if found.ename == "KeyboardInterrupt" else f"{found.ename}: {found.evalue}".rstrip(": ")


def _words(text: str) -> str:
    head, _, rest = text.partition("\n")
    return _line(f"{head.partition(':')[0]}{rest and ': '}{rest}")


def _line(text: str) -> str:
    """Return *text* on one line, without what would move a terminal's cursor."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= MOST_WORDS else f"{line[:MOST_WORDS]} …"
