"""`amqp://`: addresses and acks without a broker, then publishing, subscribing and failing on a real RabbitMQ."""

from __future__ import annotations

import threading
import time
import uuid

import pytest
from kombu.exceptions import MessageStateError

from edakit import App
from edakit.capabilities import Login, parse_url, redact
from edakit.errors import BrokerURLError
from edakit.transports.link import open_link
from edakit.transports.rabbitmq_messages import Acks
from tests.shop_language import AddItem, cart_component, recorder


@pytest.mark.parametrize(
    ("url", "login", "namespace"),
    [
        ("amqp://h", Login("h", 5672, "guest", "guest", "/"), ""),
        ("amqp://u:p%40w@h:77/v%2F?namespace=x", Login("h", 77, "u", "p@w", "v/"), "x"),
        ("amqps://u@h/", Login("h", 5671, "u", "", "/"), ""),
        ("amqp://u:p@q@[::1]/v", Login("::1", 5672, "u", "p@q", "v"), ""),
    ],
)
def test_an_address_is_taken_apart(url, login, namespace):
    address = parse_url(url)

    assert (address.login, address.namespace) == (login, namespace)


@pytest.mark.parametrize(
    "url", ["amqp://u:secret@h:x", "amqp://u:sec/ret@h", "amqp://u:secret@/v", "amqp://u:secret@h/a/b", "u:secret@h", "amqps://u:secret@h?ca=no"]
)
def test_a_wrong_address_is_refused_without_its_password(url):
    with pytest.raises(BrokerURLError) as caught:
        parse_url(url)

    assert "ret" not in str(caught.value).partition("; in a password")[0]


def test_no_repr_shows_a_password():
    address = parse_url("amqp://u:secret@h")

    assert "secret" not in f"{address!r} {App(broker='amqp://u:secret@h')!r}"
    assert redact("tried amqp://u:secret@h:1/v and amqp://h") == "tried amqp://u:***@h:1/v and amqp://h"


def acks_after(came, *done):
    acks = Acks()
    for tag in range(1, came + 1):
        acks.came(tag)
    for tag in done:
        acks.finished(tag)
    return acks


def test_acks_leave_as_one_for_all_that_are_done_from_the_first_on():
    acks = acks_after(5, 2, 1, 3)

    assert acks.take() == [(3, True)]
    assert (len(acks), acks.unfinished, acks.take()) == (2, 2, [])


def test_what_is_done_behind_a_message_that_is_not_is_acked_alone():
    acks = acks_after(6, 1, 5, 3)

    assert acks.take() == [(1, True), (3, False), (5, False)]
    acks.finished(2)
    assert acks.take() == [(2, True)]
    assert len(acks) == 2


@pytest.fixture
def url(rabbitmq):
    """An address on a real RabbitMQ that nobody else uses."""
    return f"{rabbitmq}?namespace=t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def link(url):
    link = open_link(parse_url(url), time.time_ns)
    yield link
    link.close()


def take(subscription, count=1, seconds=5.0):
    """Return the next messages of a subscription."""
    found, deadline = [], time.monotonic() + seconds
    while len(found) < count and time.monotonic() < deadline:
        message = subscription.get()
        if message is None:
            time.sleep(0.002)
        else:
            found.append(message)
    return found


def until(condition, seconds=5.0):
    """Wait until *condition* holds; return whether it does."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def headers(number=0):
    return {"cloudEvents_id": str(number), "cloudEvents_type": "x"}


def test_an_app_handles_everything_in_one_call_and_in_the_background(url):
    mail, mailed = recorder("mail")
    with App(cart_component(), mail, broker=url) as app:
        for number in range(100):
            app.send(AddItem(cart_id=str(number)))
        app.wait_until_idle()
        app.stop()
        for number in range(100, 200):
            app.send(AddItem(cart_id=str(number)))
        app.run_until_idle()

    assert [event.cart_id for event in mailed] == [str(number) for number in range(200)]


def test_a_message_keeps_its_body_and_headers_and_goes_when_it_is_acked(link):
    link.declare("q")
    link.bind("q", "a.*")
    subscription = link.subscribe("q", 10)

    assert link.publish("a.b", b'{"x":1}', headers(7)) is None
    assert link.publish("b.a", b"{}", headers(8)) == 0
    (message,) = take(subscription)
    assert (message.body, message.headers, message.content_type, message.attempt, message.redelivered) == (
        b'{"x":1}',
        headers(7),
        "application/json",
        1,
        False,
    )
    assert link.outstanding(["q"]) == {"q": 1}
    message.ack()
    assert link.outstanding(["q"]) == {"q": 0}
    with pytest.raises(MessageStateError):
        message.ack()
    subscription.close()
    assert link.backlog("q") == 0


def test_what_was_not_acked_comes_back_with_a_higher_attempt(link):
    link.declare("q")
    link.bind("q", "a")
    link.publish("a", b"1", headers())
    first = link.subscribe("q", 10)
    (message,) = take(first)
    first.close()
    with pytest.raises(MessageStateError):
        message.ack()

    (again,) = take(link.subscribe("q", 10))
    assert (again.body, again.attempt, again.redelivered, again.headers) == (b"1", 2, True, headers())


def test_threads_leave_with_the_link(url):
    before = set(threading.enumerate())
    link = open_link(parse_url(url), time.time_ns)
    link.declare("q")
    link.subscribe("q", 1)
    link.close()

    assert until(lambda: set(threading.enumerate()) <= before)
