"""What is asked of each chapter, solved and as a copy: all cells run, every widget answers, nothing is given away."""

from __future__ import annotations

from playwright.sync_api import expect

from edakit.classroom.exercises import MIME
from tests.browser.lab import VIEWPORT
from tests.notebook_rules import points_of


class EveryChapter:
    """The tests of each chapter; what only one has to show stands in the class that inherits them."""

    def test_all_cells_run(self, chapter):
        assert chapter.failures() == []

    def test_each_exercise_has_full_marks_where_it_is_solved_and_says_in_a_copy_what_is_missing(self, chapter):
        shown = [output["data"] for cell in chapter.cells() for output in cell["outputs"] if MIME in output.get("data", {})]
        numbers = [data[MIME]["exercise"] for data in shown]
        full = [points_of(number.replace(".", "_")) for number in numbers]

        assert [number.partition(".")[2] for number in numbers] == ["1", "2", "3"]
        assert [data[MIME]["of"] for data in shown] == full
        if chapter.path.startswith("work/"):
            assert [data[MIME]["points"] for data in shown] == [0, 0, 0]
            assert all(data["text/plain"].startswith("nothing here yet: ") for data in shown)
        else:
            assert [data[MIME]["points"] for data in shown] == full

    def test_each_slider_that_is_moved_by_one_step_changes_the_picture(self, chapter):
        for name, widget in chapter.widgets().items():
            handles = chapter.sliders(widget)
            assert handles or widget.get_by_role("button").count(), f"{name} has nothing to press"
            for handle in handles:
                back = []
                chapter.changes(widget, lambda handle=handle, back=back: back.append(chapter.move(handle)))
                chapter.changes(widget, lambda handle=handle, back=back: handle.press(*back))

    def test_no_widget_is_wider_than_its_cell_in_a_window_of_900_pixels(self, chapter):
        chapter.page.set_viewport_size({"width": 900, "height": VIEWPORT["height"]})
        for name, widget in chapter.widgets().items():
            edge = widget.evaluate("element => element.closest('.jp-OutputArea-output').getBoundingClientRect().right")
            over = [each for each in widget.locator("img, canvas, svg").all() if each.evaluate("element => element.getBoundingClientRect().right") > edge + 1]
            assert over == [], name
        chapter.page.set_viewport_size(VIEWPORT)

    def test_each_guess_is_kept(self, chapter):
        """A number is typed into each field, or the first choice is pressed; the line under it says that it was kept."""
        for field in chapter.page.locator(".jp-OutputArea-output .edakit-predict").all():
            typed = field.get_by_role("textbox")
            if typed.count():
                typed.fill("40")
                typed.press("Enter")
            else:
                field.get_by_role("button").first.click()
            expect(field.get_by_role("status")).to_contain_text("is kept")


def nothing_is_given_away(chapter):
    """No output is there before a cell was run, and each text that tells a measurement is closed."""
    assert [cell["source"] for cell in chapter.cells() if cell["outputs"]] == []
    for folded in chapter.page.locator(".jp-RenderedMarkdown details").all():
        assert folded.get_attribute("open") is None
