"""The table of what each broker can do, the page that is made from it, and the brokers that are refused."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from kombu.transport import TRANSPORT_ALIASES

from edakit import App, CapabilityError, cli
from edakit.brokers.page import QUESTIONS, page
from edakit.brokers.promises import PROMISES
from edakit.capabilities import BROKERS, Capabilities, able
from edakit.errors import BrokerURLError
from edakit.transports import kafka_fetcher, kafka_link, kafka_progress, kafka_topics
from edakit.transports.address import parse_url
from edakit.transports.refused import REFUSED

PAGE = Path(__file__).parents[1] / "docs" / "brokers.md"
WITHOUT_WORDS = {"counts_queues", "shares_events"}
"""Capabilities of which a yes says all."""


def test_the_page_on_brokers_is_what_the_table_gives_now(capsys):
    assert cli.main(["brokers", "table"]) == 0

    assert capsys.readouterr().out == page()
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m edakit brokers table > docs/brokers.md"


def test_the_page_asks_for_each_capability_and_has_a_section_for_each_broker():
    assert QUESTIONS.keys() | {"name"} == {field.name for field in dataclasses.fields(Capabilities)}
    for scheme in BROKERS:
        assert re.search(rf"^## .*`{scheme}://`", page(), flags=re.MULTILINE)


@pytest.mark.parametrize("scheme", BROKERS)
def test_the_words_about_a_broker_explain_what_the_table_grants_and_nothing_else(scheme):
    granted = {capability for capability in QUESTIONS if getattr(BROKERS[scheme], capability)}

    assert PROMISES[scheme].details.keys() == granted - WITHOUT_WORDS


def test_a_change_in_the_table_changes_the_page(monkeypatch):
    monkeypatch.setitem(BROKERS, "amqp", dataclasses.replace(BROKERS["amqp"], must_route=False))

    assert "- **`must_route`: no.** `CapabilityError`; use `memory://`, `sqlite://` or `amqps://`." in page()
    assert page() != PAGE.read_text(encoding="utf-8")


def test_the_numbers_on_the_page_are_those_of_the_code():
    kafka = page().partition("## `kafka://`")[2].partition("\n## ")[0]

    for words in (
        f"{kafka_progress.COMMIT_EVERY * 1000:g} ms later at most",
        f"up to {kafka_fetcher.SPAN:,} handled ones",
        f"after {kafka_link.SESSION:g} s (`?session=`)",
        f"the number of partitions: {kafka_topics.PARTITIONS},",
    ):
        assert words in kafka


@pytest.mark.parametrize("capability", [capability for capability in QUESTIONS if not all(getattr(broker, capability) for broker in BROKERS.values())])
def test_what_a_broker_cannot_do_is_an_error_that_names_those_that_can(capability):
    for broker in BROKERS.values():
        if getattr(broker, capability):
            broker.need(capability, "do it")
        else:
            with pytest.raises(CapabilityError, match=f"use {re.escape(' or '.join(able(capability)))}"):
                broker.need(capability, "do it")


KOMBUS = [alias for alias in TRANSPORT_ALIASES if alias not in BROKERS]


@pytest.mark.parametrize("alias", KOMBUS)
@pytest.mark.parametrize("rest", ["", "queue-key@host/shop", "user:queue-key@one,two:99/x", "h;other://i", "[bad", "?a=queue-key#b"])
def test_each_broker_that_kombu_knows_and_we_do_not_offer_says_why_and_what_to_use(alias, rest):
    with pytest.raises(BrokerURLError) as caught:
        App(broker=f"{alias}://{rest}")

    why, instead = REFUSED[alias.lower()]
    assert str(caught.value) == f"broker '{alias.lower()}://': not offered, because {why}; use {instead}"
    assert set(re.findall(r"(\w+)://", instead)) & BROKERS.keys(), "what to use is something that we offer"
    assert f"`{alias.lower()}://`" in page()
    assert "queue-key" not in f"{caught.value!r}"


def test_nothing_is_refused_that_kombu_does_not_know_and_nothing_that_we_offer():
    assert {alias.lower() for alias in KOMBUS} == REFUSED.keys()
    assert not REFUSED.keys() & BROKERS.keys()


@pytest.mark.parametrize("url", ["sqla+postgresql://u:pw@h/db", "SQLAlchemy+sqlite:///x.db", "redis+socket:///run/redis.sock"])
def test_kombus_addresses_in_two_parts_are_refused_by_their_first(url):
    with pytest.raises(BrokerURLError, match=r"not offered, because a .*; use ") as caught:
        parse_url(url)

    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("url", ["AMQP://host", "SQLite:///shop.db", "Kafka://host"])
def test_large_letters_are_no_way_around_the_table(url):
    assert parse_url(url).scheme == url.partition(":")[0].lower()
    with pytest.raises(CapabilityError, match="run in virtual time"):
        App(broker=url, clock="virtual")
