"""Chapter 06 as a student runs it: a guess stands beside the measurement, and the numbers of its text are held by its asserts."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from edakit.classroom.copies import REVEAL, student_copy, tags
from edakit.classroom.execute import CellFailedError, execute
from edakit.classroom.files import read_notebook
from edakit.measuring import Poisson, interval, service_law, simulate_queue

PATH = Path(__file__).parents[1] / "notebooks" / "06_queues_under_load.ipynb"


def up_to(notebook, begin):
    """Return the chapter from its begin to the code cell that begins with *begin*, that cell included."""
    index = next(index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code" and begin in cell.source.splitlines()[:2])
    part = copy.deepcopy(notebook)
    part.cells = part.cells[: index + 1]
    return part


def printed(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


MEASURED = 'measured("wait_at_90", round(1e3 * sweep.wait(0.9)), "ms")'


@pytest.fixture
def guesses(tmp_path):
    """Return a function that keeps guesses, as the fields of the chapter do, and says where."""

    def keep(**guessed):
        path = tmp_path / "predictions.json"
        path.write_text(json.dumps(guessed), encoding="utf-8")
        return {"EDAKIT_PREDICTIONS": str(path), "EDAKIT_PROGRESS": "0"}

    return keep


def test_a_students_guess_stands_beside_what_was_measured(guesses):
    part = up_to(student_copy(read_notebook(PATH)), MEASURED)

    done = execute(part, PATH, variables=guesses(wait_at_90=40.0))

    assert printed(done.cells[-1]).startswith("Your guess 40 ms, measured 3")


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("SERVICE_RATE = 250", "SERVICE_RATE = 260"),
        ("takes=Exponential(SERVICE_TIME), trials=10", "takes=Erlang(4, SERVICE_TIME), trials=10"),
        (
            "simulate_queue(Poisson(rate=100, duration=120), Exponential(SERVICE_TIME), seed=SEED)",
            "simulate_queue(Poisson(rate=100, duration=120), Constant(SERVICE_TIME), seed=SEED)",
        ),
    ],
)
def test_a_number_of_the_text_that_no_longer_holds_is_noticed(right, wrong, guesses):
    part = up_to(read_notebook(PATH), MEASURED)
    part.cells[1].source += "\nfrom edakit import Erlang"
    changed = [cell for cell in part.cells if right in cell.source]
    for cell in changed:
        cell.source = cell.source.replace(right, wrong)

    assert len(changed) == 1
    with pytest.raises(CellFailedError, match="AssertionError"):
        execute(part, PATH, variables=guesses())


def test_every_formula_that_the_claims_promise_is_in_the_chapter():
    text = "\n".join(cell.source for cell in read_notebook(PATH).cells if cell.cell_type == "markdown")

    assert all(f"**{name}**" in text for name in ("M/M/1", "M/M/c", "M/G/1", "Little's law", "Lindley's recursion"))
    assert text.count("$$") >= 2 * 4


def test_a_copy_folds_every_text_that_tells_what_was_measured():
    copied = student_copy(read_notebook(PATH))

    folded = [cell for cell in copied.cells if cell.cell_type == "markdown" and REVEAL in tags(cell)]
    assert len(folded) == sum("**Measured.**" in cell.source for cell in copied.cells)
    assert all(cell.source.startswith("<details>") for cell in folded)


@pytest.mark.parametrize(("variability", "ahead"), [(1, "one fast worker"), (4, "two slow workers")])
def test_which_design_is_ahead_depends_on_the_variability_as_the_chapter_says(variability, ahead):
    def latencies(takes, workers):
        law = service_law(takes, variability)
        return [simulate_queue(Poisson(450, 120), law, workers=workers, seed=seed).after(12).latency.mean() for seed in range(7, 17)]

    gain = interval([slow - fast for fast, slow in zip(latencies(0.002, 1), latencies(0.004, 2), strict=True)])

    assert (gain.low > 0, gain.high < 0) == (ahead == "one fast worker", ahead == "two slow workers")
