"""Each chapter as it is opened, solved and as a copy: all cells run, every widget answers, nothing is given away."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from edakit.classroom.copies import CHAPTERS

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
OPENED = [f"{folder}/{path.name}" for path in sorted(NOTEBOOKS.glob(CHAPTERS)) for folder in ("notebooks", "work")]


@pytest.mark.parametrize("path", OPENED)
def test_a_chapter_runs_and_every_widget_answers(lab, path):
    with lab.open(path) as chapter:
        if path.startswith("work/"):
            nothing_is_given_away(chapter)
        chapter.run_all()
        chapter.photograph(path.replace("/", "-").removesuffix(".ipynb"))
        assert chapter.failures() == []

        for name, widget in chapter.widgets().items():
            answers_to_each_slider(chapter, name, widget)
        answer_each_prediction(chapter)

        assert chapter.failures() == []
        assert chapter.errors == []


def nothing_is_given_away(chapter):
    """No output is there before a cell was run, and each text that tells a measurement is closed."""
    assert [cell["source"] for cell in chapter.cells() if cell["outputs"]] == []
    for folded in chapter.page.locator(".jp-RenderedMarkdown details").all():
        assert folded.get_attribute("open") is None


def answers_to_each_slider(chapter, name, widget):
    """Each slider that is moved by one step changes the picture."""
    handles = chapter.sliders(widget)
    assert handles or widget.get_by_role("button").count(), f"{name} has nothing to press"
    for handle in handles:
        chapter.changes(widget, lambda handle=handle: chapter.move(handle))


def answer_each_prediction(chapter):
    """A number is typed into each field, or the first choice is pressed; the line under it says that it was kept."""
    for field in chapter.page.locator(".jp-OutputArea-output .edakit-predict").all():
        typed = field.get_by_role("textbox")
        if typed.count():
            typed.fill("40")
            typed.press("Enter")
        else:
            field.get_by_role("button").first.click()
        expect(field.get_by_role("status")).to_contain_text("is kept")
