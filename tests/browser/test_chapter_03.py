"""The dial of chapter 03 as a student moves it: the sentence under the sliders says what the pure function says of each step."""

from __future__ import annotations

from playwright.sync_api import expect

from edakit.measuring import ACKS, two_deaths
from tests.browser.every_chapter import EveryChapter


class TestChapter03(EveryChapter):
    def test_each_step_shows_what_became_of_the_orders(self, chapter):
        widget = chapter.widgets()["edakit-crew-dial"]
        status, picture = widget.get_by_role("status"), widget.get_by_role("img")
        workers, prefetch, ack = chapter.sliders(widget)
        expect(status).to_have_text(says(2, 5, ACKS[0]))

        ack.press("ArrowRight")
        expect(status).to_have_text(says(2, 5, ACKS[1]))
        ack.press("ArrowRight")
        expect(status).to_have_text(says(2, 5, ACKS[2]))
        prefetch.press("ArrowRight")
        expect(status).to_have_text(says(2, 10, ACKS[2]))
        workers.press("ArrowLeft")
        expect(status).to_have_text(says(1, 10, ACKS[2]))

        expect(picture).to_have_attribute("alt", says(1, 10, ACKS[2]))
        assert picture.evaluate("image => image.complete && image.naturalWidth > 600")
        chapter.photograph("chapter-03-dial", "CrewDial()")


def says(workers, prefetch, ack):
    run = two_deaths(workers, prefetch, ack)
    crew = "1 worker" if workers == 1 else f"{workers} workers"
    fate = f"of 60 orders {run.lost} lost{run.of_them_not_begun}, {run.twice} packed twice, {run.came_back} delivered again"
    return f"{crew}, prefetch {prefetch}, ack {ack}: {fate}. The last one was done after {1e3 * run.over_at:,.0f} ms."
