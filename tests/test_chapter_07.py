"""Chapter 07 as a student runs it who has neither RabbitMQ nor Kafka: what is recorded says so, and the verdicts are computed."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from edakit.classroom.copies import REVEAL, student_copy, tags
from edakit.classroom.execute import CellFailedError, execute
from edakit.classroom.files import read_notebook
from tests.notebooks import code

PATH = Path(__file__).parents[1] / "notebooks" / "07_rabbitmq_kafka_and_none.ipynb"
FIGURE = "pairs = side_by_side(runs)"
SAME = "recorded = recorded_runs()"
QUICKER = "memory, sqlite, rabbitmq, kafka = (run.percentile(50) for run in pairs.values())"
ORDER = "single, queue, narrow, log = designs.values()"
PAST = "whole, half = (values[-1] for values in replays.values())"


def place(notebook, begin):
    return next(index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code" and begin in cell.source.splitlines()[:2])


def up_to(notebook, begin):
    """Return the chapter from its begin to the code cell that begins with *begin*, that cell included."""
    part = copy.deepcopy(notebook)
    part.cells = part.cells[: place(part, begin) + 1]
    return part


def printed(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


@pytest.fixture
def alone(tmp_path):
    """Return a function that gives the variables of a machine without servers, and keeps guesses."""

    def variables(**guessed):
        path = tmp_path / "predictions.json"
        path.write_text(json.dumps(guessed), encoding="utf-8")
        return {"EDAKIT_PREDICTIONS": str(path), "EDAKIT_PROGRESS": "0", "EDAKIT_STATE": str(tmp_path), "EDAKIT_RABBITMQ": "", "EDAKIT_KAFKA": ""}

    return variables


def test_where_the_servers_are_missing_the_figure_says_that_all_four_lines_are_recorded(alone):
    part = up_to(student_copy(read_notebook(PATH)), QUICKER)

    done = execute(part, PATH, variables=alone(kafka_quicker="yes, at least five times"))

    figure = done.cells[place(done, FIGURE)]
    text = "".join(output.get("data", {}).get("text/plain", "") for output in figure.outputs)
    assert all(f"{name} (recorded)  " in text for name in ("memory", "sqlite", "RabbitMQ"))
    assert printed(done.cells[place(done, SAME)]).splitlines() == [
        "Lost on the way: 0",
        "The same carts, orders and read models on all four: True",
        "And in one thread, in virtual time: True",
    ]
    assert printed(done.cells[-1]).startswith("Your guess “yes, at least five times”, measured “no”\n")


CHANGES = {
    'shops["sqlite"].state.badge.pieces.add("c-0")': (SAME, ["all four: False", "virtual time: False"]),
    'runs["memory"].waiting_events = -1': (SAME, ["Lost on the way: 1"]),
    "pairs = dict(zip(pairs, reversed(pairs.values()), strict=True))": (QUICKER, ["either server: False"]),
    "pairs = {**dict.fromkeys(pairs, pairs[RABBIT]), KAFKA: pairs[MEMORY]}": (QUICKER, ["measured “yes, at least five times”", "either server: False"]),
}
NAMES = 'MEMORY, _, RABBIT, KAFKA = [f"{name} (recorded)" for name in ADDRESSES]'


def test_a_verdict_turns_where_the_runs_do(alone):
    solved = read_notebook(PATH)
    part = up_to(solved, QUICKER)
    part.cells.append(code(NAMES))
    for change, (verdict, _) in CHANGES.items():
        part.cells += [code(f"{FIGURE}; {change}"), copy.deepcopy(solved.cells[place(solved, verdict)])]

    done = execute(part, PATH, variables=alone())

    turned = done.cells[-2 * len(CHANGES) + 1 :: 2]
    for cell, (_, lines) in zip(turned, CHANGES.values(), strict=True):
        assert all(line in printed(cell) for line in lines), printed(cell)


@pytest.mark.parametrize(
    ("right", "wrong", "end"),
    [
        ("share_out(partitions=3, consumers=4)", "share_out(partitions=3, consumers=5)", ORDER),
        ('3 consumers": share_out(partitions=0, consumers=3)', '3 consumers": share_out(partitions=0, consumers=4)', ORDER),
        ('lambda: {"ack": "before"}', 'lambda: {"ack": "after"}', PAST),
    ],
)
def test_a_number_of_the_text_that_no_longer_holds_is_noticed(alone, right, wrong, end):
    part = up_to(read_notebook(PATH), end)
    if end == ORDER:  # nothing of it needs the selling, which takes its time
        del part.cells[place(part, "shops, runs, urls = {}, {}, addresses(HERE.name)") : place(part, QUICKER) + 1]
    changed = [cell for cell in part.cells if right in cell.source]
    for cell in changed:
        cell.source = cell.source.replace(right, wrong)

    assert len(changed) == 1
    with pytest.raises(CellFailedError, match="AssertionError"):
        execute(part, PATH, variables=alone())


def test_a_copy_folds_every_text_that_tells_what_was_measured():
    copied = student_copy(read_notebook(PATH))

    folded = [cell for cell in copied.cells if cell.cell_type == "markdown" and REVEAL in tags(cell)]
    assert len(folded) == sum("**Measured.**" in cell.source for cell in copied.cells)
    assert all(cell.source.startswith("<details>") for cell in folded)


def test_the_words_of_a_log_are_bold_once_with_their_meaning():
    text = "\n".join(cell.source for cell in read_notebook(PATH).cells if cell.cell_type == "markdown")

    assert {name: text.count(f"**{name}**") for name in ("log", "offset", "partitions", "partition key", "consumer group", "inbox")} == {
        "log": 1,
        "offset": 1,
        "partitions": 1,
        "partition key": 1,
        "consumer group": 1,
        "inbox": 1,
    }
