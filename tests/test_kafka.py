"""`kafka://`: records on the wire, marks, publishing, consumer groups, and what can go wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import kombu
import pytest
from confluent_kafka import KafkaError
from kombu.exceptions import MessageStateError

from edakit import App, Bus, CapabilityError, Component
from edakit.brokers import start
from edakit.errors import BrokerError, BrokerURLError, UncertainError
from edakit.events import ID, KEY, TYPE
from edakit.transports.address import parse_url
from edakit.transports.kafka_errors import explained
from edakit.transports.kafka_kombu import Transport
from edakit.transports.kafka_producer import Publisher
from edakit.transports.kafka_progress import Progress
from edakit.transports.kafka_wire import content, key_of, type_of, wire_headers
from tests.conformance.helpers import added, numbers, opened, queue, taker, until
from tests.real_brokers import require_installed
from tests.shop_language import AddItem, CartItemAdded, OrderPlaced, cart_component, recorder
from tests.tls import CERTIFICATES, tls_server

ROOT = Path(__file__).parents[1]


@pytest.fixture
def url(kafka):
    """An address with nothing on it."""
    return f"{kafka}?namespace=t{uuid4().hex[:20]}"


# The address.


def test_an_address_has_a_place_a_namespace_and_options(tmp_path):
    (ca := tmp_path / "ca.pem").touch()
    address = parse_url(f"kafkas://ann:s%40cret@example.org:9094?namespace=shop&partitions=6&session=10&ca={ca}")

    assert (address.scheme, address.name, address.namespace) == ("kafkas", "example.org:9094", "shop")
    assert address.options == {"partitions": "6", "session": "10", "ca": str(ca)}
    assert (address.login.user, address.login.password) == ("ann", "s@cret")
    assert "s@cret" not in repr(address)
    assert parse_url("kafka://[::1]").name == "[::1]:9092"
    assert parse_url("kafkas://h").name == "h:9093"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("kafka://", "write kafka://host:port"),
        ("kafka://h:99999", "write kafka://host:port"),
        ("kafka://h/topic", "write kafka://host:port"),
        ("kafka://a,b", "more than one host"),
        ("kafka://h?partitions=0", "a whole number from 1"),
        ("kafka://h?session=x", "seconds, from 0.5"),
        ("kafkas://u:secret@h?mechanism=LOGIN", "one of PLAIN"),
        ("kafka://u:secret@h?ca=/x", "'ca' is unknown"),
        ("kafka://ann@h", "both or none"),
        ("kafka://h?topic=x", "'topic' is unknown"),
    ],
)
def test_an_address_that_makes_no_sense_is_refused_and_shows_no_password(url, says):
    with pytest.raises(BrokerURLError, match=says) as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)


def test_virtual_time_is_refused():
    with pytest.raises(CapabilityError, match="virtual time"):
        App(broker="kafka://127.0.0.1", clock="virtual")


def test_without_the_library_one_sentence_says_what_to_install():
    code = """
import sys
sys.modules["confluent_kafka"] = None
from edakit import Bus, EdakitError
try:
    Bus("kafka://127.0.0.1:9")
except EdakitError as error:
    print(error)
"""
    says = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True).stdout

    assert says == 'kafka://: the library confluent-kafka is not installed; install it with: pip install "edakit[kafka]"\n'


# The producer.


class Silent:
    """A producer to which nothing answers."""

    fatal = None

    def produce(self, topic, body, key, *, on_delivery, headers):
        self.report = on_delivery

    def poll(self, seconds):
        self.report(KafkaError(KafkaError._MSG_TIMED_OUT), None)


def test_a_producer_with_which_a_record_timed_out_is_not_used_again():
    made = []
    cluster = SimpleNamespace(
        producer=lambda settings: made.append(Silent()) or made[-1],
        error=lambda reason, doing, name: explained("kafka://h", "", reason, None, doing, name),
    )
    publisher = Publisher(cluster)
    for _ in range(2):
        with pytest.raises(UncertainError, match="whether it has the event is not known"):
            publisher.confirm(publisher.send("log", b"a", b"1", []))

    assert len(made) == 2


# The shop.


def test_a_shop_runs_until_it_is_idle(url):
    mail, mailed = recorder("mail")
    app = App(cart_component(), mail, broker=url)
    for number in range(20):
        app.send(AddItem(cart_id=str(number)))

    assert app.run_until_idle() == 40
    assert sorted(int(event.cart_id) for event in mailed) == list(range(20))
    assert app.run_until_idle() == 0, "what was acked does not come again"
    app.close()


def test_a_shop_runs_in_the_background_and_leaves_no_thread(url):
    before = set(threading.enumerate())
    mail, mailed = recorder("mail")
    with App(cart_component(), mail, broker=url) as app:
        for number in range(50):
            app.send(AddItem(cart_id=str(number)))
        assert app.wait_for(CartItemAdded, timeout=60)
        app.wait_until_idle(60)
        assert app.backlog("mail") == 0

    assert len(mailed) == 50
    assert set(threading.enumerate()) <= before


def test_events_of_one_key_come_in_order_and_are_spread_over_partitions_by_key(url):
    mail, mailed = recorder("mail")
    app = App(mail, broker=url)
    app.publish_many([CartItemAdded(cart_id=str(number % 10), product_id=str(number)) for number in range(500)])
    app.run_until_idle()
    app.close()

    by_cart = {}
    for event in mailed:
        by_cart.setdefault(event.cart_id, []).append(int(event.product_id))
    assert by_cart == {str(key): list(range(key, 500, 10)) for key in range(10)}


def test_a_bus_tells_no_number_of_queues(url):
    bus = Bus(url)
    assert bus.publish(CartItemAdded(cart_id="a")).queues is None
    bus.close()


# Records.


def as_read(headers, content_type="application/json", encoding="utf-8"):
    """Return *headers* as a consumer gets them."""
    wire = [(name, value.encode() if isinstance(value, str) else value) for name, value in wire_headers(headers, content_type, encoding)]
    return wire, content(b"{}", wire, key_of(headers))


def test_an_event_travels_as_a_cloud_event_of_the_kafka_binding():
    headers = {ID: "1", TYPE: "cart.item.added", KEY: "c-ü", "cloudEvents_specversion": "1.0", "edakit_death_line": "7"}
    wire, (body, found, content_type, encoding, _) = as_read(headers)

    assert ("ce_id", b"1") in wire
    assert ("ce_specversion", b"1.0") in wire
    assert ("content-type", b"application/json") in wire
    assert key_of(headers) == "c-ü".encode()
    assert (body, found, content_type, encoding) == (b"{}", headers, "application/json", "utf-8")


@pytest.mark.parametrize("odd", [7, [], {"a": 1.5}, True])
def test_a_header_that_is_no_text_comes_back_as_it_was(odd):
    assert as_read({ID: odd, TYPE: "t"})[1][1] == {ID: odd, TYPE: "t"}


def test_what_strangers_send_is_taken_as_it_is():
    assert type_of(None) is None
    assert type_of([("ce_type", b"\xff")]) is None
    twice = [("ce_type", b"a"), ("ce_type", b"b")]
    assert type_of(twice) == content(None, twice, None)[1][TYPE] == "b"
    assert content(None, None, b"k") == (b"", {KEY: "k"}, None, "utf-8", {})
    assert content(b"x", [("ce_id", b"\xff"), ("edakit_others", b"{")], None)[1] == {ID: b"\xff", "edakit_others": "{"}
    assert as_read({}, None, "binary")[1][2:4] == (None, "binary")


# Queues on a log.


class Shelf:
    """A subscription whose three messages are at hand."""

    def __init__(self):
        self.left, self.in_flight = 3, 0

    def listen(self, wake):
        wake()

    def get(self):
        self.left, self.in_flight = self.left - 1, self.in_flight + 1
        return SimpleNamespace(ack=self.ack)

    def ack(self):
        self.in_flight -= 1


def test_code_that_speaks_to_kombu_has_no_more_at_a_time_than_its_prefetch_and_no_queue_whose_arguments_nobody_would_heed():
    link, seen = SimpleNamespace(subscribe=lambda queue, prefetch: Shelf()), []
    channel = kombu.Connection(transport=Transport, transport_options={"link": link}).channel()
    channel.basic_qos(0, 2, False)
    channel.basic_consume("mail", False, seen.append, "tag")

    assert [channel.deliver_one() for _ in range(3)] == [True, True, False]
    seen[0].ack()
    assert channel.deliver_one()
    with pytest.raises(CapabilityError, match="declare a queue with x-max-length"):
        channel.queue_declare("mail", arguments={"x-max-length": 3})


def test_a_component_gets_no_event_that_it_is_not_bound_to(url):
    mail, mailed = recorder("mail")
    app = App(mail, broker=url)
    app.publish_many([OrderPlaced(order_id=str(number)) for number in range(50)])
    app.publish(CartItemAdded(cart_id="a"))
    app.run_until_idle()

    assert len(mailed) == 1
    assert [row.outcome for row in app.trace.deliveries] == ["handled"], "the rest was passed over in the consumer"
    assert app.backlog("mail") == 0
    app.close()


def test_consumers_of_a_queue_share_it_by_partition(url):
    keys = [str(number) for number in range(30)]
    with opened(url, url) as (bus, other):
        queue(bus)
        with taker(bus) as one, taker(other) as two:
            until(lambda: one.subscription.progress() and two.subscription.progress())
            bus.publish_many(added(number, key) for number in range(10) for key in keys)
            found = {id(taking): {} for taking in (one, two)}

            def take_from_each():
                for taking in (one, two):
                    message = taking.take(0.01)
                    if message is not None:
                        found[id(taking)].setdefault(message.headers[KEY], []).extend(numbers([message]))
                        message.ack()
                return bus.outstanding("mail") == 0

            until(take_from_each)

    first, second = found.values()
    assert first, "both had something to do"
    assert second
    assert not first.keys() & second.keys(), "all events of one key went to one of them"
    assert first | second == {key: list(range(10)) for key in keys}


def test_a_message_of_a_partition_that_went_to_somebody_else_cannot_be_acked(url):
    with opened(url, url) as (bus, other):
        queue(bus)
        bus.publish_many(added(number, str(number)) for number in range(60))
        with taker(bus, prefetch=100) as one:
            held = one.take_all(60, ack=False)
            with taker(other) as two:
                again = two.take_all(1, ack=False)[0]
                gone = [message for message in held if message.place == again.place]
                for message in gone:
                    with pytest.raises(MessageStateError, match="not this consumer's any more"):
                        message.ack()
                for message in held:
                    if message not in gone:
                        with suppress(MessageStateError):
                            message.ack()
    assert again.redelivered


def test_what_was_handled_before_a_partition_goes_is_committed_before_it_goes(url, monkeypatch):
    monkeypatch.setattr(Progress, "due", lambda self, now, *, idle: False)  # at no other time
    with opened(url, url) as (bus, other):
        queue(bus)
        bus.publish_many(added(number, str(number)) for number in range(60))
        with taker(bus) as one:
            one.take_all(60)
            with taker(other) as two:
                until(two.subscription.progress)
                bus.publish_many(added(number, str(number)) for number in range(100, 160))
                found = []

                def take_from_each():
                    found.extend(message for taking in (one, two) if (message := taking.take(0.05)) is not None)
                    return len(found) >= 60

                until(take_from_each)
                assert one.take(0.05) is two.take(0.05) is None
                assert sorted(numbers(found)) == list(range(100, 160)), "nothing of the first sixty came twice"
                for message in found:
                    message.ack()


def test_a_slow_handler_is_waited_for_before_its_partition_goes(url):
    slow, handled = Component("mail", concurrency=6), []

    @slow.on(CartItemAdded)
    def handle(event, context):
        time.sleep(0.3)
        handled.append(event.product_id)

    with App(slow, broker=url) as app, opened(url) as other:
        app.bus.publish_many(added(number, str(number)) for number in range(60))
        until(lambda: app._running.servers["mail"].subscription.in_flight)
        with taker(other) as two:
            until(two.subscription.progress)
            theirs = []
            while message := two.take(0.7):
                message.ack()
                theirs += numbers([message])
        app.wait_until_idle(60)

    assert sorted([*map(int, handled), *theirs]) == list(range(60)), "each once"


def test_the_number_of_partitions_is_chosen_once(url):
    Bus(f"{url}&partitions=2").close()

    with opened(f"{url}&partitions=2") as bus:
        assert bus.link.cluster.partitions(bus.link.log) == 2
    with pytest.raises(BrokerError, match="has 2 partitions, and the address says partitions=4"):
        Bus(f"{url}&partitions=4")


def test_two_that_declare_a_queue_at_the_same_time_lose_nothing(url):
    with opened(*[url] * 4) as buses:
        for round_ in range(3):
            name, published = f"late{round_}", []

            def declare(bus, name=name, published=published):
                queue(bus, name)
                published.append(bus.publish(added(len(published))))

            threads = [threading.Thread(target=declare, args=(bus,)) for bus in buses]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            queue(buses[0], name)
            with taker(buses[0], name) as taking:
                assert {message.headers[ID] for message in taking.take_all(4)} == {receipt.id for receipt in published}


def test_an_error_that_lasts_reaches_who_waits(url):
    mail, _ = recorder("mail")
    app = App(mail, broker=f"{url}&session=0.5")  # shorter than these tests let their broker allow
    app.publish(added(1))

    with pytest.raises(BrokerError, match="session= in the address"):
        app.run_until_idle()
    app.close()


# TLS.


@pytest.mark.parametrize("certificate", [name for name in CERTIFICATES if name != "right"])
def test_a_wrong_certificate_hears_no_password_and_is_refused(certificates, certificate):
    with tls_server(certificates, certificate) as (port, heard), pytest.raises(BrokerError, match="no secure connection") as caught:
        App(broker=f"kafkas://ada:secret@localhost:{port}?ca={certificates / 'ca.pem'}").publish(CartItemAdded(cart_id="c-1"))

    assert heard == []
    assert "secret" not in str(caught.value)


def test_a_shop_runs_over_tls(certificates):
    require_installed("kafka")
    store = certificates / "store.pem"
    store.write_bytes((certificates / "right.key").read_bytes() + (certificates / "right.pem").read_bytes())
    settings = {
        "listeners": "PLAINTEXT://127.0.0.1:{kafka},SSL://127.0.0.1:{tls},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": "PLAINTEXT://127.0.0.1:{kafka},SSL://localhost:{tls}",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": store.as_posix(),
    }
    mail, mailed = recorder("mail")
    with start("kafka", settings=settings, ports=["tls"]) as node:
        secure = f"kafkas://localhost:{node.state.ports['tls']}?ca={certificates / 'ca.pem'}"
        with App(cart_component(), mail, broker=secure) as app:
            app.publish_many(CartItemAdded(cart_id=str(number)) for number in range(500))
            app.send(AddItem(cart_id="small"))
            until(lambda: len(mailed) == 501)
        with pytest.raises(BrokerError, match="the port speaks TLS only; write kafkas://"):
            Bus(f"kafka://ada:secret@localhost:{node.state.ports['tls']}")
        with pytest.raises(BrokerError, match="the port speaks no TLS; write kafka://"):
            Bus(f"kafkas://ada:secret@localhost:{node.port}")
        with pytest.raises(BrokerError, match="no secure connection"):
            App(broker=secure.replace("localhost", "127.0.0.1")).publish(CartItemAdded(cart_id="c-1"))
