"""The page of the checks is made from what was measured, and a run replaces only its own rows."""

from __future__ import annotations

from tests.chaos import table
from tests.chaos.record import TOLD, tell


def told(check, **found):
    found = tell(check, **found)
    TOLD.remove(found)  # an example is no result
    return found


def test_a_run_replaces_its_own_rows_and_leaves_the_others(tmp_path):
    table.keep([told("R10 amqp", lost=1), told("R2 kafka", lost=2), told("R2 kafka, commits late", lost=3), told("S1 virtual", executed=0)], tmp_path)
    table.keep([told("R2 kafka", lost=0)], tmp_path)

    rows = table.read(tmp_path)
    assert [(row["check"], row["broker"], row["case"], row["lost"]) for row in rows] == [
        ("R2", "kafka", "", "0"),
        ("R2", "kafka", "commits late", "3"),
        ("R10", "amqp", "", "1"),
        ("S1", "virtual", "", ""),
    ]
    assert rows[-1]["more"] == "executed 0"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chaos.csv", "chaos.md"]


def test_what_kombu_alone_does_stands_beside_what_we_do(tmp_path):
    table.keep([told("R5 amqp", lost=0), told("R5 amqp, eight threads", lost=0), told("R5 amqp, stock kombu", silent=100, shifted=100)], tmp_path)

    ours, threads = (tmp_path / "chaos.md").read_text(encoding="utf-8").splitlines()[-2:]
    assert "silent 100; shifted 100" in ours
    assert "silent" not in threads


def test_the_saved_page_shows_the_saved_rows():
    assert (table.FOLDER / "chaos.md").read_text(encoding="utf-8") == table.page(table.read())
