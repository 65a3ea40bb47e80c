"""`edakit reset`: put back the student's copy of one chapter, after asking; the old file is kept."""

# ruff: noqa: T201
# A command line prints.

from __future__ import annotations

import argparse

from edakit.classroom import copies
from edakit.lab import find_course

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edakit reset`."""
    parser.add_argument("chapter", nargs="?", default="", help="the chapter's number, such as 05")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """Put the chapter back, and say where the old file is; 1 where the answer was no."""
    course = find_course()
    work = course / "work"
    before = set(copies.chapters(work))
    kept = copies.reset(arguments.chapter, course / "notebooks", work, ask=(lambda _: "yes") if arguments.yes else _ask)
    if kept:
        print(f"Done; yours is work/{kept.parent.name}/{kept.name} now. Your guesses are kept as well.")
    elif made := set(copies.chapters(work)) - before:
        print(f"There was no copy yet; made {', '.join(sorted(path.name for path in made))} in work/.")
    else:
        print("Nothing was changed.")
        return 1
    return 0


def _ask(question: str) -> str:
    try:
        return input(question)
    except EOFError:  # nobody is there to answer
        return ""
