"""Chapter 00 as a student uses it: cells are run again and again in one kernel."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell

from edakit.classroom.copies import tags
from edakit.classroom.execute import execute
from edakit.classroom.files import read_notebook
from edakit.errors import InvalidValueError
from edakit.plots import plot_timeline
from edakit.shop import AddItem, build_shop

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


def test_the_guess_is_a_cross_on_the_line_that_it_is_about():
    app = build_shop(components=["cart", "badge", "mail"], takes={}, clock="virtual")
    app.pause("mail")
    for _ in range(3):
        app.send(AddItem(cart_id="c-1", product_id="1001"))
        app.advance(seconds=1)
    app.resume("mail")
    app.run_until_idle()
    guessed, skipped = (Figure().subplots() for _ in range(2))

    plot_timeline(guessed, app, components=["badge", "mail"], guess=("mail", 1, 7))
    plot_timeline(skipped, app, components=["badge", "mail"], guess=("mail", 1, None))

    (cross,) = [line for line in guessed.lines if line.get_label() == "your guess"]
    (rings,) = [line for line in guessed.lines if line.get_gid() == "published" and len(set(line.get_ydata())) == 3]
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (1 + 7, rings.get_ydata()[1])
    assert guessed.get_xlim()[1] > 8
    assert "your guess" in [text.get_text() for text in guessed.get_legend().get_texts()]
    assert "your guess" not in [text.get_text() for text in skipped.get_legend().get_texts()]


@pytest.mark.parametrize("guess", [("mail", 3, 1), ("nobody", 0, 1), ("mail", 0, -1), ("mail", 0, float("nan"))])
def test_a_guess_about_nothing_that_is_drawn_is_refused(guess):
    app = build_shop(components=["cart", "mail"], takes={}, clock="virtual")
    app.send(AddItem(cart_id="c-1", product_id="1001"))
    app.run_until_idle()

    with pytest.raises(InvalidValueError, match="guess"):
        plot_timeline(Figure().subplots(), app, components=["mail"], guess=guess)
