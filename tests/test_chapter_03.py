"""Chapter 03: its verdicts on real processes can come out either way, and its numbers are held by its asserts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edakit.classroom.copies import REVEAL, student_copy, tags
from edakit.classroom.execute import CellFailedError, execute
from edakit.classroom.files import read_notebook
from edakit.measuring import Attempt
from edakit.measuring.attempts import load_runs

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "03_the_message_queue.ipynb"
RECORD = ROOT / "data" / "kill_rabbitmq.json"
NUMBERS = "assert [round(run.duration) for run in runs.values()]"


@pytest.fixture(scope="module")
def runs():
    """Runs as they are: those of the record, late and early."""
    return load_runs(RECORD)


def cell(begin):
    [found] = [each.source for each in read_notebook(NOTEBOOK).cells if each.cell_type == "code" and each.source.startswith(begin)]
    return found


def verdict(capsys, begin, **names):
    """Return what the cell that begins with *begin* prints of its sentences: True or False."""
    exec(cell(begin), {"measured": lambda *_: None, **names})  # noqa: S102 (the chapter's own cell)
    return [line.rpartition(": ")[2] for line in capsys.readouterr().out.splitlines()]


def in_a_file(capsys, late, early):
    return verdict(capsys, "late, early = ", killed={"ack late": late, "ack early": early})


def on_rabbitmq(capsys, late, early, *, lease=0.5):
    # What came back in a file began so long after the death.
    [death] = late.deaths
    back = Attempt(0, 1, redelivered=True, began=death.at + lease, packed=None, ended=None)
    return verdict(capsys, 'print("late: every', rabbit={"ack late": late, "ack early": early}, late=replace(late, attempts=(back,)))


def test_the_verdicts_hold_for_runs_as_they_are(capsys, runs):
    assert in_a_file(capsys, *runs.values()) == ["True", "True", "True", "False", "True"]
    assert on_rabbitmq(capsys, *runs.values()) == ["True"] * 4


def test_the_verdicts_are_false_when_the_runs_are_exchanged(capsys, runs):
    late, early = runs.values()

    assert in_a_file(capsys, early, late)[:4] == ["False", "False", "False", "True"]
    assert on_rabbitmq(capsys, early, late)[:3] == ["False"] * 3


def test_what_never_came_back_is_noticed(capsys, runs):
    late, early = runs.values()
    kept = replace(late, attempts=tuple(attempt for attempt in late.attempts if not attempt.redelivered))

    assert in_a_file(capsys, kept, early)[:2] == ["False", "False"]
    assert in_a_file(capsys, kept, replace(early, attempts=kept.attempts))[-1] == "False"


@pytest.mark.parametrize(("times", "said"), [(2.9, "False"), (3.1, "True")])
def test_the_margin_between_the_two_brokers_is_three(capsys, runs, times, said):
    late, early = runs.values()

    assert on_rabbitmq(capsys, late, early, lease=times * late.back_after)[-1] == said


@pytest.fixture
def chapter():
    """Return a function that runs the copy up to the asserts, changed in one place, without the real processes."""

    def run(path, *changed):
        copy = student_copy(read_notebook(NOTEBOOK))
        end = next(number for number, each in enumerate(copy.cells) if NUMBERS in each.source)
        copy.cells = copy.cells[: end + 1]
        for right, wrong in changed:
            found = [each for each in copy.cells if right in each.source]
            assert len(found) == 1
            found[0].source = found[0].source.replace(right, wrong)
        return execute(copy, NOTEBOOK, variables={"EDAKIT_PREDICTIONS": str(path), "EDAKIT_PROGRESS": "0"})

    return run


def test_a_students_guesses_stand_beside_what_was_measured(chapter, tmp_path):
    (tmp_path / "guesses.json").write_text(json.dumps({"all_packed": 700.0, "died_at_handled": "it is lost"}), encoding="utf-8")

    done = chapter(tmp_path / "guesses.json")

    said = "".join(output.get("text", "") for each in done.cells for output in each.get("outputs", []))
    assert "Your guess 700 ms, measured 2,400 ms" in said
    assert "Your guess “it is lost”, measured “it is packed a second time”" in said


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("PACKING = 0.050", "PACKING = 0.060"),
        ("TAKES = [0.120, 0.030]", "TAKES = [0.120, 0.040]"),
        ("packer(pack, ack=ack)", "packer(pack)"),
    ],
)
def test_a_number_of_the_text_that_no_longer_holds_is_noticed(chapter, tmp_path, right, wrong):
    with pytest.raises(CellFailedError, match="AssertionError"):
        chapter(tmp_path / "none.json", (right, wrong))


def test_each_term_of_the_chapter_is_bold_once():
    text = "\n".join(each.source for each in read_notebook(NOTEBOOK).cells if each.cell_type == "markdown")

    terms = ("ack", "redelivery", "competing consumers", "crash points", "at least once", "at most once", "prefetch", "lease")
    assert {term: text.count(f"**{term}**") for term in terms} == dict.fromkeys(terms, 1)


def test_a_copy_folds_every_text_that_tells_what_was_measured():
    copy = student_copy(read_notebook(NOTEBOOK))

    folded = [each for each in copy.cells if each.cell_type == "markdown" and REVEAL in tags(each)]
    assert len(folded) == sum("**Measured.**" in each.source for each in copy.cells)
    assert all(each.source.startswith("<details>") for each in folded)
