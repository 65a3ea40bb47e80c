from __future__ import annotations

import pytest

from edakit.classroom import article, claims
from edakit.errors import InvalidValueError
from edakit.lab import CourseNotFoundError

ROWS = """section,phrase,claim,chapter,verdict,run
2.2,消息队列,A queue is needed,06,holds when several processes take part,06: the loop of 15 lines
2.3,解耦,Decoupled is faster,01,open,
"""


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course with two claims; the current folder is that of the students' copies."""
    (tmp_path / "data").mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "data" / "claims.csv").write_text(ROWS, encoding="utf-8")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def test_a_chapter_shows_its_rows_and_no_others(course):
    table = claims("06")

    assert table.columns == ("section", "the article says", "verdict", "shown by")
    assert list(table.rows) == [("2.2", "A queue is needed", "holds when several processes take part", "the loop of 15 lines")]


def test_without_a_course_around_it_the_rows_are_those_beside_the_library(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert len(claims("06").rows) > 3


def test_a_chapter_without_rows_is_refused(course):
    with pytest.raises(InvalidValueError, match="chapter is '6'; give the number of a chapter"):
        claims("6")


def test_where_there_is_no_table_it_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(article, "__file__", str(tmp_path / "a" / "b" / "article.py"))

    with pytest.raises(CourseNotFoundError):
        claims("06")
