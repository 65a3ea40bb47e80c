"""The widget of chapter 05 as a student uses it: who asks, how often, how long the stall is, and what is said then."""

from __future__ import annotations

from functools import cache

from playwright.sync_api import expect

from edakit.measuring import LOAD_MODELS, load_test
from edakit.widgets.load_model import picture
from tests.browser.every_chapter import EveryChapter
from tests.one_stall import press, shop


@cache
def expected(model=LOAD_MODELS[0], rate=100, stall=1.0):
    return picture(load_test(shop, press, "cart", model=model, rate=rate, stall=stall), model, stall)[1]


def says(widget, table):
    expect(widget.get_by_role("status")).to_have_text(table.says)
    expect(widget.get_by_role("img")).to_have_attribute("alt", table.says)
    shown = [f"{value:,}" if isinstance(value, int) else str(value) for value in table.rows[0]]
    assert widget.locator("td").all_inner_texts() == shown


class TestChapter05(EveryChapter):
    def test_the_picture_follows_who_asks_how_often_and_how_long_the_stall_is(self, chapter):
        widget = chapter.widgets()["edakit-load-model"]
        rate, stall = chapter.sliders(widget)
        says(widget, expected())

        chapter.changes(widget, lambda: chapter.move(rate))
        says(widget, expected(rate=110))
        chapter.changes(widget, lambda: rate.press("ArrowLeft"))
        says(widget, expected())

        chapter.changes(widget, lambda: chapter.move(stall))
        says(widget, expected(stall=1.1))
        chapter.changes(widget, lambda: stall.press("ArrowLeft"))

        for model in (LOAD_MODELS[2], LOAD_MODELS[1]):
            chapter.changes(widget, lambda model=model: widget.get_by_label(model, exact=True).check())
            says(widget, expected(model))
        assert chapter.errors == []

    def test_no_bar_of_progress_is_left_as_if_something_had_failed(self, chapter):
        expect(chapter.cell("pause = ")).to_contain_text("p99 of the shoppers")
        expect(chapter.page.locator(".jp-OutputArea-output [class*='progress-bar']")).to_have_count(0)

    def test_the_shoppers_p99_is_half_a_second(self, chapter):
        widget = chapter.widgets()["edakit-load-model"]

        widget.get_by_label(LOAD_MODELS[2], exact=True).check()

        expect(widget.get_by_role("status")).to_contain_text("103 of 6,000 answers took more than 100 ms, p99 is 474 ms")
        chapter.photograph("chapter-05-widget", "LoadModel(")
        chapter.photograph("chapter-05-averages", "windows = ")
        chapter.photograph("chapter-05-dots", "fig, (dots")
