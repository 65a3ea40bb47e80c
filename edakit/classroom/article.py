"""What the article claims, and what the chapters found."""

from __future__ import annotations

import csv
from pathlib import Path

from edakit.errors import InvalidValueError
from edakit.lab import CourseNotFoundError
from edakit.table import Table

__all__ = ["claims", "find_data"]

FILE = "claims.csv"


def claims(chapter: str) -> Table:
    """Return the rows of data/claims.csv that belong to *chapter*: the article's section, its claim, the verdict, and the run that shows it.

    Args:
        chapter: Its number: "06".

    Raises:
        CourseNotFoundError: the folder `data` is neither here, nor above, nor where edakit was installed from.
        InvalidValueError: no row belongs to this chapter.
    """
    with find_data(FILE).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["chapter"] == chapter]
    if not rows:
        raise InvalidValueError("chapter", chapter, "the number of a chapter in data/claims.csv, such as '06'")
    columns = ("section", "the article says", "verdict", "shown by")
    return Table(columns, [(row["section"], row["claim"], row["verdict"], row["run"].partition(": ")[2]) for row in rows])


def find_data(name: str) -> Path:
    """Return the path of the file *name* of the course's folder `data`.

    Raises:
        CourseNotFoundError: it is neither here, nor above, nor where edakit was installed from.
    """
    here = Path.cwd()
    for folder in (here, *here.parents[:2], Path(__file__).parents[2]):
        if (folder / "data" / name).is_file():
            return folder / "data" / name
    raise CourseNotFoundError(str(here))
