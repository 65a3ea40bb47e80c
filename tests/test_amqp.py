"""`amqp://`: addresses and acks without a broker, then publishing, subscribing and failing on a real RabbitMQ."""

from __future__ import annotations

import threading
import time
import uuid
from contextlib import closing
from dataclasses import replace
from unittest.mock import MagicMock
from urllib.parse import urlsplit

import amqp
import pytest
from amqp.protocol import queue_declare_ok_t
from kombu.exceptions import MessageStateError

from edakit import App
from edakit.brokers import start
from edakit.errors import BrokerError, BrokerURLError, CapabilityError, ClosedError, EventValueError, UncertainError
from edakit.faults_proxy import Proxy
from edakit.transports import rabbitmq_publisher
from edakit.transports.address import Login, parse_url, redact, within
from edakit.transports.link import open_link
from edakit.transports.rabbitmq_connection import Opener, give_back
from edakit.transports.rabbitmq_messages import Acks
from edakit.transports.rabbitmq_subscription import RabbitSubscription
from edakit.transports.rabbitmq_wire import Connection, Event
from tests.real_brokers import require_installed
from tests.shop_language import AddItem, CartItemAdded, cart_component, recorder
from tests.test_app import failing
from tests.tls import CERTIFICATES, tls_server


@pytest.mark.parametrize(
    ("url", "namespace"),
    [
        ("amqp://a:b@host/shop", "kill-1a2b3c4d"),
        ("amqp://a:b@host/shop?namespace=anna", "anna-kill-1a2b3c4d"),
        ("kafka://host:9092?session=6&namespace=anna&partitions=3", "anna-kill-1a2b3c4d"),
        (f"amqp://a:b@host/shop?namespace={'x' * 32}", f"{'x' * 18}-kill-1a2b3c4d"),
    ],
)
def test_an_experiment_has_a_namespace_of_its_own_also_on_an_address_that_has_one(url, namespace):
    address, inner = parse_url(url), parse_url(within(url, "kill-1a2b3c4d"))

    assert inner == replace(address, namespace=namespace)


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
    "url",
    [
        *(
            "amqp://u:secret@h:x",
            "amqp://u:sec/ret@h",
            "amqp://u:secret@/v",
            "amqp://u:secret@h/a/b",
            "u:secret@h",
            "amqps://u:secret@h?ca=no",
            "amqp://:secret@h",
        ),
        *("amqp://u:it's secret@h:x", 'amqp://u:"secret"@h:x', "amqp://u/v/w:secret@h", "amqp://u's:secret@h:x", "amqp://u:1#secret@h", "amqp://u:1?secret@h"),
        *("amqp://h?password=secret", "kafka://h?sasl.password=secret&topic=x", "sqlite://u:secret@h/shop.db"),
    ],
)
def test_a_wrong_address_is_refused_without_its_password(url):
    with pytest.raises(BrokerURLError) as caught:
        parse_url(url)

    assert "ret" not in str(caught.value).partition("; in a password")[0]


@pytest.mark.parametrize("scheme", ["amqp", "amqps", "kafka", "kafkas"])
def test_a_port_0_is_refused_and_not_taken_for_the_usual_one(scheme):
    with pytest.raises(BrokerURLError, match="its port is no number from 1 to 65535"):
        parse_url(f"{scheme}://h:0")


def test_a_name_that_no_host_can_have_is_told():
    with pytest.raises(BrokerError, match=r"it does not answer .*, or correct host and port in the URL"):
        open_link(parse_url("amqp://a..b"), time.time_ns)


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


def take(subscription, count=1, seconds=60.0):
    """Return the next messages of a subscription."""
    found, deadline = [], time.monotonic() + seconds
    while len(found) < count and time.monotonic() < deadline:
        message = subscription.get()
        if message is None:
            time.sleep(0.002)
        else:
            found.append(message)
    return found


def until(condition, seconds=60.0):
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
        app.wait_until_idle(60)
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


@pytest.mark.parametrize("left", [2, 50])
def test_what_was_acked_out_of_order_right_before_the_end_does_not_come_back(link, left):
    """RabbitMQ 3.10 forgets single acks that a quorum queue has not come to when their channel closes: 35 to 359 of these, in one of four rounds."""
    for number in range(12):
        queue = f"q{number}"
        link.declare(queue)
        link.bind(queue, queue)
        list(link.publish_many((queue, b"{}", headers()) for _ in range(400)))
        subscription = link.subscribe(queue, 400)
        for place, message in enumerate(take(subscription, 400)):
            if place % left:
                message.ack()
        subscription.close()
        time.sleep(0.1)

        assert link.backlog(queue) == 400 / left


def test_what_was_not_acked_comes_back_in_order_also_when_more_waits_behind_it(link):
    link.declare("q")
    link.bind("q", "number")
    list(link.publish_many(("number", str(number).encode(), headers()) for number in range(1000)))
    subscription = link.subscribe("q", 200)
    for number, message in enumerate(take(subscription, 200)):
        if number % 2:
            message.ack()
    subscription.close()

    again = [int(message.body) for message in take(link.subscribe("q", 1000), 900)]
    assert again == [number for number in range(1000) if number >= 200 or not number % 2]


def test_threads_leave_with_the_link(url):
    before = set(threading.enumerate())
    link = open_link(parse_url(url), time.time_ns)
    link.declare("q")
    link.subscribe("q", 1)
    link.close()

    assert until(lambda: set(threading.enumerate()) <= before)


def test_our_own_message_is_written_as_py_amqp_writes_it():
    texts = {"cloudEvents_id": "1", "cloudEvents_subject": "Grüße"}
    properties = {"content_type": "application/json", "content_encoding": "utf-8", "application_headers": texts, "delivery_mode": 2}

    assert Event(b"{}", texts)._serialize_properties() == amqp.Message(b"{}", **properties)._serialize_properties()
    mixed = texts | {"count": 3}
    properties["application_headers"] = mixed
    assert Event(b"{}", mixed)._serialize_properties() == amqp.Message(b"{}", **properties)._serialize_properties()


def test_no_larger_frames_are_agreed_than_are_read_whatever_the_broker_would_send():
    for offered, agreed in ((1_048_576, 131_072), (0, 131_072), (8_192, 8_192)):
        connection = Connection("h")
        connection.send_method = MagicMock()
        connection._on_tune(2047, offered, 60)

        assert connection.send_method.call_args.args[2] == (2047, agreed, 0)


def test_foreign_properties_and_bytes_survive_a_move(link):
    link.declare("q")
    link.declare("target")
    channel = link.connect().channel()
    foreign = {
        "message_id": "m-1",
        "priority": 3,
        "content_type": "image/png",
        "expiration": "60000",
        "application_headers": {"n": 1, "deep": {"a": [1, "b", None]}},
    }
    channel.basic_publish(amqp.Message(bytes(range(256)), **foreign), exchange="", routing_key="q")
    channel.basic_publish(amqp.Message(b""), exchange="", routing_key="q")

    assert link.move("q", "target", lambda found: {**found, "moved": "yes"}) == 2
    assert (link.backlog("q"), link.backlog("target")) == (0, 2)
    first, second = link.browse("target")
    assert [message.body for message in link.browse("target")] == [bytes(range(256)), b""], "browsing leaves them, in order"
    assert first.headers == {"n": 1, "deep": {"a": [1, "b", None]}, "moved": "yes"}
    assert (first.properties["message_id"], first.properties["priority"], first.content_type) == ("m-1", 3, "image/png")
    assert "expiration" not in first.properties, "a dead letter does not expire"
    assert (second.body, second.content_type) == (b"", None)


def test_what_a_slow_queue_still_holds_for_a_get_is_waited_for():
    """As RabbitMQ 3.10 answered under load: until a quorum queue has seen the channel end, it counts each basic_get as a consumer."""
    answers = iter([(5, 4), (5, 4), (5, 4), (8, 1)])  # ready messages, consumers; three are taken, one consumer is another's
    channel, asking = MagicMock(), MagicMock()
    channel.connection.channel.return_value.__enter__.return_value = asking
    asking.queue_declare.side_effect = lambda queue, passive: queue_declare_ok_t(queue, *next(answers))

    give_back(channel, "q", 3)

    channel.close.assert_called_once()
    assert next(answers, None) is None, "it was asked until they were there"


def test_headers_that_fit_into_no_frame_are_refused_before_they_cost_the_connection(link):
    with pytest.raises(EventValueError, match=r"its headers have 200,\d{3} bytes"):
        link.publish("a", b"{}", {"cloudEvents_subject": "x" * 200_000})


def test_what_has_no_queue_to_go_to_is_not_moved(link):
    link.declare("q")
    link.bind("q", "a")
    link.publish("a", b"1", headers())

    with pytest.raises(BrokerError, match="there is no queue"):
        link.move("q", "nowhere", dict)
    assert until(lambda: link.backlog("q") == 1)


def test_a_dead_letter_for_which_there_is_no_queue_is_told_to_who_waits_and_its_event_stays(url):
    mail = failing(max_attempts=1)
    with closing(App(mail, broker=url)) as app:
        app.publish(CartItemAdded(cart_id="1"))
        app.bus.link.control.call(lambda channel: channel.queue_delete(f"{app.bus.link._prefix}mail.dead"))
        with pytest.raises(BrokerError, match=r"there is no queue .*mail\.dead"):
            app.run_until_idle()
        assert app.backlog("mail") == 1
        app.bus.declare(mail)
        app.run_until_idle(on_error="retry")
        assert [dead.error for dead in app.dead_letters("mail")] == ["ValueError: no such template"]


def test_a_bound_cannot_be_changed_and_that_is_said(link):
    link.declare("q", bound=3)
    link.declare("q", bound=3)
    with pytest.raises(CapabilityError, match="change a queue that exists"):
        link.declare("q", bound=4)
    assert link.backlog("q") == 0, "the connection goes on"


def test_messages_that_wait_for_their_time_do_not_use_up_the_prefetch(url):
    now = [0]
    link = open_link(parse_url(url), lambda: now[0])
    link.declare("q")
    link.bind("q", "a")
    list(link.publish_many(("a", str(number).encode(), headers(number)) for number in range(20)))
    subscription = link.subscribe("q", 4)
    for number in range(20):
        (message,) = take(subscription)
        assert message.body == str(number).encode(), "none had to wait for those that are held"
        message.retry(1) if number < 12 else message.ack()
    now[0] = 1
    again = take(subscription, 4)
    assert subscription.get() is None, "when they are due, no more are handed out than prefetch allows"
    for number in range(12):
        again[number].ack()
        again += take(subscription) if len(again) < 12 else []
    assert sorted(int(message.body) for message in again) == list(range(12))
    assert {message.attempt for message in again} == {2}
    assert until(lambda: link.outstanding(["q"]) == {"q": 0})
    link.close()


def test_without_a_new_consumer_those_that_wait_would_hold_up_all_others(link, monkeypatch):
    monkeypatch.setattr(RabbitSubscription, "_renew", lambda self: None)
    link.declare("q")
    link.bind("q", "a")
    list(link.publish_many(("a", b"1", headers(number)) for number in range(20)))
    subscription = link.subscribe("q", 4)
    for message in take(subscription, 4):
        message.retry(time.time_ns() + 60_000_000_000)

    assert take(subscription, 1, seconds=0.5) == []


def test_a_consumer_makes_room_only_when_nothing_is_on_its_way_to_it(link):
    """What is on its way to a consumer that is cancelled goes back, and would count as an attempt that nobody made."""
    link.declare("q")
    link.bind("q", "a")
    list(link.publish_many(("a", b"1", headers(number)) for number in range(2)))
    subscription = link.subscribe("q", 4)
    for message in take(subscription, 2):
        message.retry(time.time_ns() + 60_000_000_000)
    for _ in range(3):
        assert link.outstanding(["q"]) == {"q": 2}, "each question is answered once round the loop"
    assert len(subscription._channel.callbacks) == 1

    list(link.publish_many(("a", b"1", headers(number)) for number in range(2)))
    assert until(lambda: len(subscription._channel.callbacks) == 2), "two wait for their time, two for a worker: it has all that it may have"


def test_outstanding_is_never_nought_while_something_is_on_its_way(url):
    first, second = recorder("first")[0], recorder("second")[0]

    app = App(cart_component(), first, second, broker=url).start()
    wrong = []
    for number in range(50):
        app.send(AddItem(cart_id=str(number)))
        app.wait_until_idle(60)
        done = sum(row.outcome == "handled" for row in app.trace.deliveries)
        if done != 3 * (number + 1):
            wrong.append((number, done))
    app.close()

    assert wrong == []


def test_whoever_publishes_while_the_link_is_closed_is_told(url):
    link, told = open_link(parse_url(url), time.time_ns), []
    link.declare("q")
    link.bind("q", "a")

    def publish():
        try:
            while True:
                link.publish("a", b"1", headers())
        except ClosedError as error:
            told.append(error)

    threads = [threading.Thread(target=publish) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    link.close()
    for thread in threads:
        thread.join(60)

    assert len(told) == 4
    assert link.publisher._connection is None


def test_a_lost_connection_brings_its_messages_back_and_their_acks_are_refused(url):
    parts = urlsplit(url)
    with Proxy(parts.hostname, parts.port) as proxy:
        link = open_link(parse_url(url.replace(f":{parts.port}", f":{proxy.port}")), time.time_ns)
        link.declare("q")
        link.bind("q", "a")
        list(link.publish_many(("a", str(number).encode(), headers(number)) for number in range(5)))
        subscription = link.subscribe("q", 10)
        held = take(subscription, 3)
        proxy.cut()
        assert until(lambda: subscription.stock.epoch == 2)
        again = take(subscription, 5)
        for message in held:
            with pytest.raises(MessageStateError):
                message.ack()
            with pytest.raises(MessageStateError):
                message.retry(0)
        assert [message.body for message in again] == [b"0", b"1", b"2", b"3", b"4"]
        assert {message.attempt for message in again[:3]} == {2}, "the others may not have been on their way"
        for message in again:
            message.ack()
        assert until(lambda: link.outstanding(["q"]) == {"q": 0})
        link.close()


def test_a_publish_that_is_never_confirmed_is_uncertain_and_says_so(url, monkeypatch):
    parts = urlsplit(url)
    with Proxy(parts.hostname, parts.port) as proxy:
        link = open_link(parse_url(url.replace(f":{parts.port}", f":{proxy.port}")), time.time_ns)
        link.declare("q")
        link.bind("q", "a")
        link.publish("a", b"1", headers())
        proxy.fall_silent()
        with monkeypatch.context() as impatient:
            impatient.setattr(rabbitmq_publisher, "TRYING", 1.0)
            impatient.setattr(rabbitmq_publisher, "PATIENCE", 0.5)
            with pytest.raises(UncertainError, match="before it confirmed"):
                link.publish("a", b"2", headers())
        proxy.heal()
        assert link.publish("a", b"3", headers()) is None
        link.close()


@pytest.mark.parametrize("certificate", CERTIFICATES)
def test_only_the_right_certificate_hears_a_word(certificates, certificate):
    with tls_server(certificates, certificate) as (port, heard):
        opener = Opener(parse_url(f"amqps://ada:secret@localhost:{port}/?ca={certificates / 'ca.pem'}"))
        with pytest.raises(BrokerError) as caught:
            opener.open()
        until(lambda: heard, 60 if certificate == "right" else 0.2)

    assert ("certificate" in str(caught.value)) == (certificate != "right")
    assert heard == ([b"AMQP\x00\x00\x09\x01"] if certificate == "right" else []), "what follows a handshake: the protocol's name, no password yet"


def test_a_shop_runs_over_tls(certificates):
    require_installed("rabbitmq")
    files = {name: str(certificates / file) for name, file in (("cacertfile", "ca.pem"), ("certfile", "right.pem"), ("keyfile", "right.key"))}
    settings = {"listeners.ssl.1": "127.0.0.1:{tls}"} | {f"ssl_options.{name}": file for name, file in files.items()}
    mail, mailed = recorder("mail")
    with start("rabbitmq", settings=settings, ports=["tls"]) as node:
        place = f"{node.state.password}@localhost:{node.state.ports['tls']}"
        app = App(cart_component(), mail, broker=f"amqps://edakit:{place}/?ca={files['cacertfile']}", max_body=6_000_000)
        app.publish_many(CartItemAdded(cart_id=str(number)) for number in range(2000))
        app.publish(CartItemAdded(cart_id="large", product_id="x" * 5_000_000))
        app.send(AddItem(cart_id="small"))
        app.run_until_idle()
        app.close()
        with pytest.raises(BrokerError, match="certificate was not accepted"):
            Opener(parse_url(f"amqps://edakit:{place.replace('localhost', '127.0.0.1')}/?ca={files['cacertfile']}")).open()

    assert len(mailed) == 2002
    assert {len(event.product_id) for event in mailed} == {4, 5_000_000}
