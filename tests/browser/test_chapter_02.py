"""The dial of chapter 02 as a student moves it: the sentence under the sliders has the expected number after each step."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.every_chapter import EveryChapter


class TestChapter02(EveryChapter):
    def test_each_step_shows_the_lag_that_belongs_to_it(self, chapter):
        widget = chapter.widgets()["edakit-loop-lag"]
        status, picture = widget.get_by_role("status"), widget.get_by_role("img")
        holds, tasks = chapter.sliders(widget)
        expect(status).to_have_text("1 task computes 600 ms, 600 ms at a time. The latest timer fires 590 ms late.")

        holds.press("ArrowLeft")
        expect(status).to_have_text("1 task computes 600 ms, 590 ms at a time. The latest timer fires 580 ms late.")
        tasks.press("ArrowRight")
        expect(status).to_have_text("2 tasks compute 600 ms each, 590 ms at a time. The latest timer fires 1,170 ms late.")

        expect(picture).to_have_attribute("alt", "2 tasks compute 600 ms each, 590 ms at a time. The latest timer fires 1,170 ms late.")
        assert picture.evaluate("image => image.complete && image.naturalWidth > 600")
        holds.press("Home")
        expect(status).to_have_text("2 tasks compute 600 ms each, 10 ms at a time. The latest timer fires 10 ms late.")
