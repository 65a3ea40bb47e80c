"""Chapter 00 as a student uses it: cells are run again and again in one kernel."""

from __future__ import annotations

from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell

from edakit.classroom.copies import tags
from edakit.classroom.execute import execute
from edakit.classroom.files import read_notebook

CHAPTER = Path(__file__).parents[1] / "notebooks" / "00_your_first_event.ipynb"
THREADS = "import threading\nprint(*sorted(thread.name for thread in threading.enumerate()), sep='\\n')"
WINDOW = {"badge-0", "best_sellers-0", "cart-0", "mail-0", "shop-window"}
PASSES = 3


def shown(cell):
    """Return the texts of *cell*, whatever the kernel's counters say; nothing where they depend on the machine."""
    if "nbval-ignore-output" in tags(cell):
        return []
    return [output.get("text") or output.data.get("text/plain") for output in cell.outputs]


@pytest.fixture(scope="module")
def passes():
    """What the cells show, and which threads there are after it, for each of three passes in one kernel."""
    notebook = read_notebook(CHAPTER)
    once = [cell for cell in notebook.cells if cell.cell_type == "code"]
    notebook.cells = [cell for _ in range(PASSES) for cell in (*(new_code_cell(one.source, metadata=one.metadata) for one in once), new_code_cell(THREADS))]
    done = execute(notebook, CHAPTER).cells
    size = len(once) + 1
    ends = [done[number * size : (number + 1) * size] for number in range(PASSES)]
    return [([shown(cell) for cell in cells[:-1]], cells[-1].outputs[0].text.split("\n")) for cells in ends]


def test_all_cells_show_the_same_when_they_are_run_again(passes):
    first, *others = [texts for texts, _ in passes]

    assert others == [first] * (PASSES - 1)
    assert any(first)


def test_running_all_cells_again_leaves_no_thread_behind(passes):
    threads = [names for _, names in passes]

    assert set(threads[0]) >= WINDOW
    assert [sorted(name for name in names if name in WINDOW) for names in threads] == [sorted(WINDOW)] * PASSES
    assert len(threads[-1]) == len(threads[0])
