"""The dial as a student uses it: each slider moved by one step, and what the sentence and the table say then."""

from __future__ import annotations

from functools import cache

from playwright.sync_api import expect

from edakit.measuring import read_queue
from tests.browser.every_chapter import EveryChapter

STEPS = {
    "Arrivals [1/s]": (250, 0.004, 1, 1),
    "Service time [ms]": (225, 0.0045, 1, 1),
    "Workers": (225, 0.004, 2, 1),
    "Variability [1]": (225, 0.004, 1, 2),
}


read = cache(read_queue)


class TestChapter06(EveryChapter):
    def test_one_step_of_each_slider_shows_what_the_pure_function_says_of_it(self, chapter):
        dial = chapter.widgets()["edakit-queue-dial"]
        for number, (label, reading) in enumerate(STEPS.items()):
            handle = chapter.sliders(dial)[number]
            slider = dial.locator(".widget-slider", has_text=label)
            expect(slider.locator(".noUi-handle")).to_have_count(1)

            chapter.changes(dial, lambda handle=handle: chapter.move(handle))

            says_what_was_read(dial, reading)
            handle.press("ArrowLeft")
            says_what_was_read(dial, (225, 0.004, 1, 1))
        assert chapter.errors == []

    def test_two_steps_up_the_backlog_grows_and_the_sentence_says_how_fast(self, chapter):
        dial = chapter.widgets()["edakit-queue-dial"]
        handle = chapter.sliders(dial)[0]
        for _ in range(2):
            chapter.changes(dial, lambda: chapter.move(handle))

        expect(dial.get_by_role("status")).to_contain_text("The backlog grows by 25 events every second.")
        expect(dial.get_by_role("cell", name="110.0", exact=True)).to_be_visible()
        chapter.photograph("chapter-06-dial", "QueueDial()")


def says_what_was_read(dial, arguments):
    reading = read(*arguments)
    expect(dial.get_by_role("status")).to_have_text(reading.says)
    # Picture and table come together, after the sentence.
    expect(dial.get_by_role("img")).to_have_attribute("alt", reading.says)
    assert dial.locator("td").all_inner_texts() == ["-" if value is None else str(value) for value in reading.table.rows[0]]
