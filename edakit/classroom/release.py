"""`edakit release`: write the students' copies of all chapters, to hand out."""

# ruff: noqa: T201
# A command line prints.

from __future__ import annotations

import argparse
from pathlib import Path

from edakit.classroom.copies import make_copies
from edakit.errors import InvalidValueError
from edakit.lab import find_course

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edakit release`."""
    parser.add_argument("target", nargs="?", type=Path, help="folder for the copies (dist/ in the course's folder); what it has already is written again")


def run(arguments: argparse.Namespace) -> int:
    """Write the copies, and say which.

    Raises:
        InvalidValueError: the folder is one that somebody works in.
    """
    course = find_course()
    target = arguments.target or course / "dist"
    if target.resolve() in {(course / "work").resolve(), (course / "notebooks").resolve()}:
        raise InvalidValueError("target", target.name, "a folder that nobody works in: files there are written again")
    made = make_copies(course / "notebooks", target, overwrite=True)
    print(f"{len(made)} copies are in {arguments.target or 'dist/'}: {', '.join(path.name for path in made)}")
    return 0
