"""The student's copies: chapters without outputs and solutions, with every measured number folded away until its figure has been seen.

A copy is made once. Nothing here ever overwrites what a student wrote; `edakit reset` keeps the old file beside the new one.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from edakit.classroom.files import notebook_text, read_notebook
from edakit.errors import EdakitError, InvalidValueError

__all__ = ["CHAPTERS", "REVEAL", "STUB", "TEACHER", "ChapterFormatError", "chapters", "make_copies", "reset", "student_copy"]

CHAPTERS: Final = "[0-9][0-9]_*.ipynb"
REVEAL: Final = "reveal"
TEACHER: Final = "teacher"
SUMMARY: Final = "Open after the figure"
STUB: Final = ("# YOUR CODE HERE", "...")
KEPT: Final = "before-reset"

_BEGIN = re.compile(r"\s*###\s*BEGIN (SOLUTION|HIDDEN TESTS)\s*")
_END = re.compile(r"\s*###\s*END (SOLUTION|HIDDEN TESTS)\s*")


class ChapterFormatError(EdakitError):
    """A chapter's marks do not fit together."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(problem)

    def __str__(self) -> str:
        return f"{self.problem}; write ### BEGIN SOLUTION … ### END SOLUTION (or HIDDEN TESTS), each on a line of its own, not one inside the other"


def chapters(folder: Path) -> list[Path]:
    """Return the chapters in *folder*, by number."""
    return sorted(folder.glob(CHAPTERS))


def make_copies(source: Path, target: Path, *, overwrite: bool = False) -> list[Path]:
    """Write a student's copy of each chapter in *source* that *target* does not have yet; return those that were written.

    Args:
        source: Folder of the solved chapters.
        target: Folder of the copies; made if need be.
        overwrite: Whether to write those that exist again. Only for folders that nobody works in.
    """
    target.mkdir(parents=True, exist_ok=True)
    wanted = [path for path in chapters(source) if overwrite or not (target / path.name).exists()]
    return [_write(path, target / path.name, overwrite=overwrite) for path in wanted]


def _write(source: Path, target: Path, *, overwrite: bool) -> Path:
    text = notebook_text(student_copy(read_notebook(source)))
    # "x" fails where a file has come up meanwhile.
    with target.open("w" if overwrite else "x", encoding="utf-8", newline="\n") as file:
        file.write(text)
    return target


def reset(chapter: str, source: Path, target: Path, ask: Callable[[str], str] = input) -> Path | None:
    """Put back the copy of one chapter, after asking; the old file is kept in the folder `before-reset`.

    Args:
        chapter: Its number or the begin of its name: "05".
        source: Folder of the solved chapters.
        target: Folder of the copies.
        ask: Puts a question to the user and returns what was answered.

    Returns:
        Where the old file is now; None where the answer was no, or where there was no file yet.

    Raises:
        InvalidValueError: no chapter, or more than one, begins like this.
    """
    known = chapters(source)
    found = [path for path in known if chapter and path.name.startswith(chapter.zfill(2))]
    if len(found) != 1:
        raise InvalidValueError("CHAPTER", chapter, f"one of {', '.join(path.name[:2] for path in known) or 'none: there are no chapters here'}")
    [path] = found
    old = target / path.name
    if not old.exists():
        make_copies(source, target)
        return None
    kept = _free_name(target / KEPT, path)
    if ask(f"Put back {path.name} as it was at first? Yours is kept as {KEPT}/{kept.name} [y/N] ").strip().lower() not in {"y", "yes"}:
        return None
    kept.parent.mkdir(exist_ok=True)
    old.rename(kept)
    _write(path, old, overwrite=False)
    return kept


def _free_name(folder: Path, path: Path) -> Path:
    number = 1
    while (kept := folder / f"{path.stem}-{number}{path.suffix}").exists():
        number += 1
    return kept


def student_copy(solved: Any) -> Any:
    """Return the student's copy of the notebook *solved*.

    Raises:
        ChapterFormatError: a mark of a solution or of hidden tests has no counterpart.
    """
    notebook = copy.deepcopy(solved)
    notebook.cells = [_student_cell(cell) for cell in notebook.cells if TEACHER not in tags(cell)]
    notebook.metadata.pop("widgets", None)
    return notebook


def tags(cell: Any) -> list[str]:
    """Return the tags of *cell*."""
    found: list[str] = cell.metadata.get("tags", [])
    return found


def _student_cell(cell: Any) -> Any:
    if cell.cell_type == "code":
        cell.outputs, cell.execution_count = [], None
        cell.source = "\n".join(_without_marked(cell.source.splitlines()))
        cell.metadata.pop("execution", None)
        if REVEAL in tags(cell):
            # Lab shows the first line of a hidden input.
            cell.source = f"# {SUMMARY}\n{cell.source}"
            cell.metadata["jupyter"] = {"source_hidden": True}
    elif REVEAL in tags(cell):
        # The empty lines have the text between them read as Markdown.
        cell.source = f"<details>\n<summary>{SUMMARY}</summary>\n\n{cell.source.strip()}\n\n</details>"
    return cell


def _without_marked(lines: list[str]) -> Iterator[str]:
    """Yield *lines* with a stub in place of each solution, and without hidden tests."""
    inside = ""
    for line in lines:
        begin, end = _BEGIN.fullmatch(line), _END.fullmatch(line)
        if begin and not inside:
            inside = begin[1]
            if inside == "SOLUTION":
                indent = line[: len(line) - len(line.lstrip())]
                # Outside of a function nothing has to stand there, and a cell that ends with `...` would show "Ellipsis".
                yield from (indent + stub for stub in (STUB if indent else STUB[:1]))
        elif end and end[1] == inside:
            inside = ""
        elif begin or end:
            raise ChapterFormatError(f"the line {line.strip()!r} stands alone")
        elif not inside:
            yield line
    if inside:
        raise ChapterFormatError(f"BEGIN {inside} has no end")
