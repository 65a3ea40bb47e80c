"""The shop window as a student uses it: press, switch off and on, let somebody subscribe late."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.every_chapter import EveryChapter

RECORD = """element => {
  window.seen = [];
  const look = () => window.seen.push([element.querySelector('[role=status]').textContent, element.querySelector('[data-lane=mail] .count').textContent]);
  new MutationObserver(look).observe(element, {subtree: true, childList: true, characterData: true});
}"""


RUN_CELL = """async begin => {
  const cells = window.opened.content;
  cells.activeCellIndex = cells.widgets.findIndex(cell => cell.model.sharedModel.source.startsWith(begin));
  await window.jupyterapp.commands.execute('notebook:run-cell');
}"""


class Window:
    """The shop window of the notebook that is open, as its cell makes it when it is run again."""

    def __init__(self, chapter):
        self.page = chapter.page
        self.page.evaluate(RUN_CELL, "LANES =")
        self.element = self.page.locator(".edakit-shop-window")
        self.status = self.element.get_by_role("status")
        expect(self.element).to_have_count(1)
        expect(self.element).to_contain_text("0 clicks")

    def press(self, times):
        for _ in range(times):
            self.element.get_by_role("button", name="Add to cart").click()

    def switch(self, name):
        return self.element.get_by_role("switch", name=name)

    def lane(self, name):
        return self.element.locator(f"[data-lane={name}]")

    def shows(self, **counts):
        for name, count in counts.items():
            expect(self.lane(name).locator(".count")).to_have_text(str(count))

    def seen(self):
        """Return what the status line and the mail's count have shown since `watch`, one after the other."""
        said, counts = zip(*self.page.evaluate("() => window.seen"), strict=True)
        return list(dict.fromkeys(said)), list(dict.fromkeys(counts))

    def watch(self):
        self.element.evaluate(RECORD)


@pytest.fixture
def window(chapter):
    """Its shop window, new."""
    chapter.page.emulate_media(reduced_motion="no-preference")
    return Window(chapter)


class TestChapter00(EveryChapter):
    def test_a_click_reaches_three_components_and_mail_that_was_off_catches_up(self, window):
        window.shows(badge=0, best_sellers=0, mail=0)
        window.press(1)
        window.shows(badge=1, best_sellers=1, mail=1)
        expect(window.status).to_have_text("Nothing waits. Handled: badge 1, best sellers 1, mail 1.")

        window.switch("mail").click()
        expect(window.switch("mail")).to_have_attribute("aria-checked", "false")
        window.press(5)
        window.shows(badge=6, best_sellers=6, mail=1)
        expect(window.status).to_have_text("mail is off, 5 events wait.")
        expect(window.lane("mail").locator(".event:not(.leaving)")).to_have_count(5)
        expect(window.lane("mail")).to_contain_text("5 wait")

        window.watch()
        window.switch("mail").click()
        window.shows(badge=6, best_sellers=6, mail=6)
        expect(window.status).to_have_text("Nothing waits. Handled: badge 6, best sellers 6, mail 6.")
        expect(window.lane("mail").locator(".event")).to_have_count(0)
        said, counts = window.seen()
        assert "mail is on and catching up." in said
        assert len(counts) > 2, f"it did not count up, it jumped: {counts}"

    def test_a_newcomer_gets_only_what_comes_after_it_and_the_keyboard_is_enough(self, window):
        window.press(3)
        window.shows(badge=3, best_sellers=3, mail=3)

        newcomer = window.element.get_by_role("button", name="newcomer")
        newcomer.focus()
        window.page.keyboard.press("Enter")
        window.shows(newcomer=0)
        expect(newcomer).to_be_disabled()

        window.element.get_by_role("button", name="Add to cart").focus()
        window.page.keyboard.press("Space")
        window.shows(badge=4)  # before it is switched off
        window.page.keyboard.press("Tab")
        expect(window.switch("badge")).to_be_focused()
        window.page.keyboard.press("Space")
        window.press(1)
        window.shows(badge=4, best_sellers=5, mail=5, newcomer=2)
        expect(window.status).to_have_text("badge is off, 1 event waits.")

    def test_nothing_moves_where_motion_is_not_wanted(self, window):
        window.page.emulate_media(reduced_motion="reduce")
        window.switch("mail").click()
        window.press(1)

        expect(window.lane("mail").locator(".event")).to_have_css("animation-name", "none")
        window.switch("mail").click()
        window.shows(mail=1)
        expect(window.lane("mail").locator(".leaving")).to_have_count(0)
