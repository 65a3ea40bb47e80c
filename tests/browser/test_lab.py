"""The harness itself, and what every chapter is made of: predictions, folded texts, exercises, sliders."""

from __future__ import annotations

import json
import shutil

import pytest
from playwright.sync_api import expect

import edakit
from edakit.classroom.copies import student_copy
from edakit.classroom.files import notebook_text
from edakit.classroom.rerun import KERNEL
from tests.notebooks import answer, check, code, notebook, text

DIAL = """import io
import ipywidgets
from matplotlib.figure import Figure

def draw(load):
    figure, png = Figure(figsize=(2, 1)), io.BytesIO()
    figure.add_subplot().plot([0, load])
    figure.savefig(png)
    return png.getvalue()

load = ipywidgets.IntSlider(3, 1, 5, description="load [1/s]", continuous_update=False)
picture = ipywidgets.Image(value=draw(3))
load.observe(lambda change: setattr(picture, "value", draw(change["new"])), "value")"""
CHECK = """from edakit.classroom import NotYetError, answered, exercise

@exercise("00.1", "Two", hints=("Count.", "One.", "One more."))
def check_two(two):
    if answered(two(), "two()") != 2:
        raise NotYetError("3", "2", "This happens.", "it")"""
CELLS = (
    text("# The kit"),
    code("from edakit.classroom import measured, predict, prediction"),
    code("predict('wait_at_90', unit='ms')"),
    code("predict('who_waits', choices=['the click', 'the timer'])"),
    text("**Measured.** The wait is *36* ms.", "reveal"),
    code("assert 36 == 36", "reveal"),
    code(CHECK),
    answer("1", "def two():\n    ### BEGIN SOLUTION\n    return 2\n    ### END SOLUTION"),
    check("1", "check_two(two)", points=1),
    code(DIAL),
    code("ipywidgets.VBox([load, picture]).add_class('edakit-dial')"),
    code("measured('wait_at_90', 18 * 2, 'ms')"),
)


def test_the_kernels_import_the_edakit_that_is_tested(lab):
    path = lab.root / "work" / "where.ipynb"
    path.parent.mkdir(exist_ok=True)
    path.write_text(notebook_text(notebook(code("import edakit; print(edakit.__file__)"), kernelspec=KERNEL)), encoding="utf-8")
    with lab.open("work/where.ipynb") as opened:
        opened.run_all()

        assert opened.cells()[0]["outputs"][0]["text"].strip() == edakit.__file__


@pytest.fixture(scope="module")
def kit(lab):
    """A small copy as students get it, open and run."""
    path = lab.root / "work" / "kit.ipynb"
    path.parent.mkdir(exist_ok=True)
    path.write_text(notebook_text(student_copy(notebook(*CELLS, kernelspec=KERNEL))), encoding="utf-8")
    (path.parent / "predictions.json").unlink(missing_ok=True)
    with lab.open("work/kit.ipynb") as opened:
        opened.run_all()
        yield opened


def guesses(lab):
    return json.loads((lab.root / "work" / "predictions.json").read_text(encoding="utf-8"))


def test_all_cells_run_and_nothing_is_wrong(kit):
    kit.photograph("kit")

    assert kit.failures() == []
    assert kit.errors == []


def test_a_guess_is_typed_kept_and_found_again_by_another_kernel(lab, kit):
    cell = kit.cell("predict('wait_at_90'")
    field = cell.get_by_label("Your guess [ms]")
    field.fill("40")
    field.press("Tab")
    expect(cell.get_by_role("status")).to_have_text("Your guess 40 ms is kept.")
    expect(cell.get_by_role("button", name="Keep my guess")).to_be_focused()
    kit.page.keyboard.press("Tab")
    expect(cell.get_by_role("button", name="Skip")).to_be_focused()

    assert guesses(lab)["wait_at_90"] == 40
    # Another notebook of the folder, since two windows of one notebook share its kernel.
    shutil.copy(lab.root / "work" / "kit.ipynb", lab.root / "work" / "again.ipynb")
    with lab.open("work/again.ipynb") as again:
        again.run_all()
        expect(again.cell("predict('wait_at_90'").get_by_label("Your guess [ms]")).to_have_value("40")
        expect(again.cell("measured").locator(".jp-OutputArea-output")).to_have_text("Your guess 40 ms, measured 36 ms")


def test_a_choice_is_pressed_with_the_keyboard(lab, kit):
    cell = kit.cell("predict('who_waits'")
    cell.get_by_role("button", name="the timer").focus()
    kit.page.keyboard.press("Enter")

    expect(cell.get_by_role("status")).to_contain_text("the timer")
    assert guesses(lab)["who_waits"] == "the timer"


def test_what_was_measured_is_folded_away_and_its_markdown_is_read(kit):
    cell = kit.cell("<details>").locator(".jp-RenderedMarkdown")
    expect(cell.get_by_text("The wait is")).to_be_hidden()

    cell.get_by_text("Open after the figure").click()

    expect(cell.get_by_text("The wait is")).to_be_visible()
    assert cell.locator("em").inner_text() == "36"
    hidden = kit.cell("# Open after the figure")
    expect(hidden).to_contain_text("# Open after the figure")
    expect(hidden).not_to_contain_text("36")


def test_the_stub_gets_a_verdict_with_hints_to_open(kit):
    output = kit.cell("check_two(two)").locator(".jp-OutputArea-output")

    expect(output).to_contain_text("nothing here yet: 00.1 Two, 0 of 1 points")
    expect(output.get_by_text("One more.")).to_be_hidden()
    output.get_by_text("Hint 3 of 3").click()
    expect(output.get_by_text("One more.")).to_be_visible()


def test_a_slider_that_is_moved_changes_the_picture(kit):
    [(name, widget)] = kit.widgets().items()
    [handle] = kit.sliders(widget)

    kit.changes(widget, lambda: kit.move(handle))

    assert name == "edakit-dial"
    expect(widget.locator(".widget-readout")).to_have_text("4")


def test_a_cell_that_fails_and_those_after_it_are_noticed(lab):
    path = lab.root / "failing.ipynb"
    path.write_text(notebook_text(notebook(code("1"), code("1 // 0", "raises-exception"), code("missing"), code("3"), kernelspec=KERNEL)), encoding="utf-8")

    with lab.open("failing.ipynb") as opened:
        opened.run_all()

        assert opened.failures() == ["NameError: name 'missing' is not defined, in 'missing'", "did not run: '3'"]


def test_an_error_in_the_console_is_noticed(lab):
    with lab.open("work/kit.ipynb") as opened:
        opened.page.evaluate("() => console.error('a widget is broken')")

        assert opened.errors == ["a widget is broken"]
