"""The article is checked by experiment: data/claims.csv has a row for each of its claims, definitions and steps."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SECTIONS = ["1.1", "1.2", "1.3", "2.1", "2.2", "2.3", "3.1", "3.2", "3.3", "4.1", "4.2", "4.3", "5", "6.1", "6.2", "6.3"]
LISTINGS = ["4.3 listing 1", "4.3 listing 2", "5 listing 1", "5 listing 2"]
SHIPPED = {"00", "02", "03", "05", "06", "07"}


@pytest.fixture(scope="module")
def claims():
    with (ROOT / "data" / "claims.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def test_the_columns_are_those_that_chapters_print(claims):
    assert list(claims[0]) == ["section", "phrase", "claim", "chapter", "verdict", "run"]
    assert all(None not in row and None not in row.values() for row in claims)


def test_every_section_and_every_listing_is_there_and_nothing_else(claims):
    assert {row["section"] for row in claims} == {*SECTIONS, *LISTINGS}


def test_rows_come_in_the_order_of_the_article(claims):
    places = [SECTIONS.index(row["section"].split(" ")[0]) for row in claims]

    assert places == sorted(places)


def test_a_claim_is_said_in_a_few_words_and_once(claims):
    assert all(2 <= len(row["claim"].split()) <= 20 and 2 <= len(row["phrase"]) <= 40 for row in claims)
    assert len({(row["section"], row["claim"]) for row in claims}) == len(claims)


def test_every_row_belongs_to_a_chapter_of_the_course(claims):
    assert {row["chapter"] for row in claims} <= {f"{number:02}" for number in range(14)}
    assert {row["chapter"] for row in claims} >= SHIPPED


def test_chapters_that_exist_give_a_verdict_and_the_run_that_shows_it(claims):
    for row in claims:
        if row["chapter"] in SHIPPED:
            assert row["verdict"].startswith(("holds", "does not hold")), row
            assert row["run"].startswith(f"{row['chapter']}: "), row
        else:
            assert (row["verdict"], row["run"]) == ("open", ""), row


def test_both_kinds_of_verdict_were_given(claims):
    verdicts = [row["verdict"] for row in claims]

    assert any(verdict == "holds" for verdict in verdicts)
    assert any(verdict.startswith("holds when ") for verdict in verdicts)
    assert any(verdict.startswith("does not hold: ") for verdict in verdicts)
