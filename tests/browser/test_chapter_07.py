"""The widget of chapter 07 as a student uses it: another broker, each slider moved by one step, and what the sentence and the table say then."""

from __future__ import annotations

from playwright.sync_api import expect

from edakit.widgets.who_gets_what import who_gets_what
from tests.browser.every_chapter import EveryChapter


class TestChapter07(EveryChapter):
    def test_broker_partitions_and_consumers_show_what_the_pure_function_says_of_them(self, chapter):
        widget = chapter.widgets()["edakit-who-gets-what"]
        partitions, consumers = chapter.sliders(widget)
        says_who_gets_what(widget, ("Kafka", 3, 4))

        for handle, arguments in ((partitions, ("Kafka", 4, 4)), (consumers, ("Kafka", 4, 5))):
            chapter.changes(widget, lambda handle=handle: chapter.move(handle))
            says_who_gets_what(widget, arguments)

        chapter.changes(widget, lambda: widget.get_by_role("combobox").select_option("RabbitMQ"))
        says_who_gets_what(widget, ("RabbitMQ", 4, 5))
        chapter.photograph("chapter-07-queue", "WhoGetsWhat()")

        chapter.changes(widget, lambda: widget.get_by_role("combobox").select_option("Kafka"))
        says_who_gets_what(widget, ("Kafka", 4, 5))
        assert chapter.errors == []


def says_who_gets_what(widget, arguments):
    sharing = who_gets_what(*arguments)
    expect(widget.get_by_role("status")).to_have_text(sharing.says)
    # Picture and table come together, after the sentence.
    expect(widget.get_by_role("img")).to_have_attribute("alt", sharing.says)
    assert widget.locator("td").all_inner_texts() == [str(value) for row in sharing.table.rows for value in row]
