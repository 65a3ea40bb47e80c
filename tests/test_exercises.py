"""The exercises where students meet them: in the copies of the chapters."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edakit.classroom.copies import CHAPTERS, make_copies
from edakit.classroom.execute import execute
from edakit.classroom.files import read_notebook
from edakit.classroom.grade import graded_cell, is_graded
from tests.notebook_rules import points_of

ROOT = Path(__file__).parents[1]
NAMES = [path.name for path in sorted((ROOT / "notebooks").glob(CHAPTERS))]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The course with a student's copies."""
    folder = tmp_path_factory.mktemp("course")
    shutil.copytree(ROOT / "data", folder / "data")
    make_copies(ROOT / "notebooks", folder / "work")
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_blank_copy_runs_to_its_end_and_each_exercise_says_what_is_missing(course, name):
    path = course / "work" / name

    done = execute(read_notebook(path), path)  # a cell that fails would raise

    grades = [graded_cell(cell) for cell in done.cells if is_graded(cell)]
    assert [grade.exercise for grade in grades] == [f"{name[:2]}.{number}" for number in (1, 2, 3)]
    assert [grade.full for grade in grades] == [points_of(grade.exercise.replace(".", "_")) for grade in grades]
    assert [grade.points for grade in grades] == [0, 0, 0]
    assert all(grade.says.startswith("nothing here yet: ") for grade in grades)
