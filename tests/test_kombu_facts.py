"""What kombu itself does, wherever edakit does otherwise: measured on kombu 5.7.0, asserted against the kombu that is installed.

A test that fails here after an upgrade is news: kombu has changed, and what edakit does, says or teaches about it has to be looked at again.
The traps are those of every virtual transport, which are all of kombu's but the one for RabbitMQ.
"""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import subprocess
import sys
import threading
import time
from base64 import b64decode
from queue import Empty
from uuid import UUID, uuid4

import kombu
import pytest
from kombu.exceptions import ContentDisallowed, DecodeError
from kombu.transport import TRANSPORT_ALIASES, memory, pyamqp, virtual
from kombu.transport.virtual.exchange import TopicExchange

from edakit.transports.refused import REFUSED


class Side:
    """One connection to kombu's memory:// with queues `mail` and `stock` bound to `cart.#`; names differ from test to test, for its state does not."""

    def __init__(self, transport="memory", *, declare=True, of=None, **options):
        self.mark = of.mark if of else uuid4().hex[:8]
        self.connection = kombu.Connection("memory://", transport=transport, transport_options=options)
        self.channel = self.connection.channel()
        self.exchange = kombu.Exchange(f"shop-{self.mark}", "topic")
        for name in ("mail", "stock") if declare else ():
            self.queue(name).declare()

    def name(self, queue):
        return f"{queue}-{self.mark}"

    def queue(self, name, pattern="cart.#", **options):
        return kombu.Queue(self.name(name), self.exchange, pattern, channel=self.channel, **options)

    def publish(self, body="1", key="cart.added", **options):
        kombu.Producer(self.channel, self.exchange, auto_declare=False).publish(body, routing_key=key, **options)

    def get(self, queue):
        return self.channel.basic_get(self.name(queue))

    def count(self, queue):
        return self.channel._size(self.name(queue))

    def consume(self, queue, seen, **options):
        consumer = kombu.Consumer(self.channel, [self.queue(queue)], auto_declare=False, **options)
        consumer.register_callback(lambda body, message: seen.append((body, message)))
        consumer.consume()
        return consumer


@pytest.fixture
def side():
    """A connection with its queues, closed at the end."""
    made = Side()
    yield made
    made.connection.release()


# Trap 1: an idle consumer sleeps, and nobody wakes it.


def test_trap_1_an_idle_consumer_sleeps_for_a_second_whatever_is_published_meanwhile():
    looks, looked = [], threading.Event()

    class Channel(memory.Channel):
        def _get(self, queue, timeout=None):
            looks.append(time.monotonic())
            try:
                return super()._get(queue, timeout)
            except Empty:
                looked.set()
                raise

    class Transport(memory.Transport):
        pass

    Transport.Channel = Channel
    side, seen = Side(transport=Transport), []
    side.consume("mail", seen)
    publisher = threading.Thread(target=lambda: (looked.wait(60), Side(declare=False, of=side).publish()))
    publisher.start()
    side.connection.drain_events(timeout=60)
    publisher.join()
    side.connection.release()

    assert virtual.Transport.polling_interval == memory.Transport.polling_interval == 1.0
    assert len(seen) == 1
    assert len(looks) >= 2, "it was published after the first look"
    assert min(later - earlier for earlier, later in itertools.pairwise(looks)) > 0.99


# Trap 2: what is given back is published again.


def test_trap_2_what_one_subscriber_gives_back_comes_to_every_other_subscriber_again(side):
    side.publish()
    assert (side.count("mail"), side.count("stock")) == (1, 1)

    side.get("mail").requeue()

    assert (side.count("mail"), side.count("stock")) == (1, 2)


class OwnBindings(memory.Transport):
    """Messages are shared and bindings are not: the state of kombu's transports between processes, such as SQS."""

    def __init__(self, client, **options):
        super().__init__(client, **options)
        self.state = virtual.BrokerState()


def test_trap_2_what_is_given_back_on_a_connection_that_declared_nothing_is_dropped_and_what_is_published_there_too():
    side = Side(transport=OwnBindings)
    stranger = Side(transport=OwnBindings, declare=False, of=side)
    side.publish()

    stranger.get("mail").requeue()
    stranger.publish()

    assert stranger.channel.typeof(stranger.exchange.name).type == "direct", "what it takes an exchange for that it does not know"
    assert (side.count("mail"), side.count("stock")) == (0, 1)
    side.connection.release()
    stranger.connection.release()


# Trap 3 and 4.


def test_trap_3_all_copies_of_a_message_have_one_delivery_tag(side):
    side.publish()

    assert side.get("mail").delivery_tag == side.get("stock").delivery_tag


def test_trap_4_of_two_consumers_of_a_queue_on_one_connection_the_second_gets_all_and_its_end_leaves_the_first_deaf(side):
    first, second = [], []
    side.consume("mail", first)
    later = side.consume("mail", second)
    for _ in range(4):
        side.publish()
        side.connection.drain_events(timeout=0.1)
    assert (len(first), len(second)) == (0, 4)

    later.cancel()
    side.publish()
    before = side.count("stock")
    side.connection.drain_events(timeout=60)

    assert (len(first), side.count("mail")) == (0, 1), "the first has a message for its queue, and does not get it"
    assert side.count("stock") == before + 1, "it was given back, so the other subscriber has it again (trap 2), at each turn"


# Trap 5: nothing stands between a handler and the loop.


def test_trap_5_a_handlers_exception_passes_drain_events_and_leaves_its_message_unacked(side):
    def fail(body, message):
        raise LookupError(body)

    consumer = kombu.Consumer(side.channel, [side.queue("mail")], callbacks=[fail], auto_declare=False)
    consumer.consume()
    side.publish("boom")

    with pytest.raises(LookupError, match="boom"):
        side.connection.drain_events(timeout=60)
    assert len(side.channel.qos._delivered) == 1
    assert side.count("mail") == 0, "nobody gets it while this channel is open"


@pytest.mark.parametrize(
    ("body", "content_type", "error"), [(b"{", "application/json", DecodeError), (b"\x80\x04N.", "application/x-python-serialize", ContentDisallowed)]
)
def test_trap_5_a_body_that_cannot_be_read_passes_drain_events_too(side, body, content_type, error):
    side.consume("mail", [], accept=["json"])
    side.publish(body, content_type=content_type, content_encoding="binary")

    with pytest.raises(error):
        side.connection.drain_events(timeout=60)
    assert len(side.channel.qos._delivered) == 1


# Trap 6: what is asked for and not done.


def test_trap_6_a_message_that_nobody_is_bound_to_vanishes_also_where_it_is_mandatory(side):
    side.publish(key="order.placed", mandatory=True)

    assert (side.count("mail"), side.count("stock")) == (0, 0)
    assert side.channel.deadletter_queue is None


def test_trap_6_priority_time_to_live_length_and_dead_letters_are_ignored(side):
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish", "x-message-ttl": 1, "x-dead-letter-exchange": side.exchange.name, "x-max-priority": 9}
    side.queue("little", queue_arguments=arguments).declare()
    for number in range(3):
        side.publish(str(number), priority=number, expiration=0.000_001)

    assert side.count("little") == 3, "a length of one, and a life of a millisecond"
    assert [side.get("little").body for _ in range(2)] == [b"0", b"1"], "the least important first"
    side.get("little").reject()
    assert side.count("mail") == 3, "what was rejected went nowhere"


# Trap 7: what a message costs.


def test_trap_7_a_body_is_coded_as_base64_and_its_tag_is_a_random_uuid(side):
    side.publish(b"\x00raw", content_type="application/octet-stream", content_encoding="binary")

    raw = side.channel._get(side.name("mail"))

    assert virtual.Channel.body_encoding == raw["properties"]["body_encoding"] == "base64"
    assert b64decode(raw["body"]) == b"\x00raw"
    assert UUID(raw["properties"]["delivery_tag"]).version == 4


def test_trap_7_each_publish_matches_every_binding_of_its_exchange_with_a_regular_expression(side):
    matched = []

    class Counting(TopicExchange):
        def _match(self, pattern, string):
            matched.append(pattern)
            return super()._match(pattern, string)

    side.channel.exchange_types["topic"] = Counting(side.channel)
    for number in range(18):
        side.queue(f"other{number}", f"order.{number}").declare()
    side.publish()
    side.publish()

    assert len(matched) == 2 * 20, "18 others, mail and stock, and nothing is remembered"


# Trap 8.


def test_trap_8_an_ack_of_several_is_an_ack_of_one(side):
    for _ in range(3):
        side.publish()
    taken = [side.get("mail") for _ in range(3)]

    taken[-1].ack(multiple=True)
    side.channel.qos._flush()

    assert list(side.channel.qos._delivered) == [message.delivery_tag for message in taken[:2]]
    assert "multiple" not in inspect.signature(virtual.QoS.ack).parameters


def test_trap_8_importing_kombu_brings_nothing_and_the_first_connection_brings_it_all():
    code = "import sys, kombu; print('kombu.connection' in sys.modules); kombu.Connection; print('kombu.connection' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == ["False", "True"]


# memory://


def test_memory_is_one_broker_for_the_whole_process_whatever_its_address_says(side):
    side.publish()
    with kombu.Connection("memory://elsewhere/another-vhost") as other:
        assert other.channel().basic_get(side.name("mail")).body == b"1"


def test_memory_loses_what_was_not_acked_when_its_channel_closes(side):
    dying = Side(declare=False, of=side)
    side.publish()
    assert dying.get("mail") is not None

    dying.channel.close()

    assert memory.Channel.do_restore is False
    assert side.count("mail") == 0


def test_in_memory_cart_hash_does_not_take_cart(side):
    side.publish(key="cart")
    assert side.count("mail") == 0, "AMQP 0-9-1, section 3.1.3.3: # stands for no word too"

    side.publish(key="cart.added")
    assert side.count("mail") == 1


# What edakit gives kombu itself, because kombu would not.


def test_a_transport_given_as_a_class_makes_amqps_speak_without_tls():
    by_scheme, by_class = kombu.Connection("amqps://host"), kombu.Connection("amqps://host", transport=pyamqp.Transport)
    for connection in (by_scheme, by_class):
        assert connection.transport  # made when it is asked for

    assert by_scheme.ssl is True
    assert by_class.ssl is False


def test_a_compressed_body_is_unpacked_before_anybody_can_ask_how_large_it_is(side):
    side.publish(b"0" * 1_000_000, content_type="application/data", content_encoding="binary", compression="zlib")
    raw = side.channel._get(side.name("mail"))

    assert len(raw["body"]) < 5_000
    assert len(side.channel.Message(raw, channel=side.channel).body) == 1_000_000


def test_a_body_without_a_type_is_let_through_where_only_json_is_accepted(side):
    seen = []
    side.consume("mail", seen, accept=["json"])
    side.channel.basic_publish(side.channel.prepare_message(b"\x80\x04N.", content_encoding="binary"), side.exchange.name, "cart.added")
    side.connection.drain_events(timeout=60)

    assert seen[0][0] == b"\x80\x04N."


def test_an_address_is_mangled_and_its_password_is_in_what_info_returns():
    connection = kombu.Connection("amqp://user:not-shown@h//")

    assert kombu.Connection("kafka+ssl://h").hostname == "ssl://h"
    assert "not-shown" not in repr(connection)
    assert "not-shown" in connection.info().values()


# Brokers that are refused: the lines of kombu's source for which they are. filesystem:// was measured (data/conformance.csv).

UNBOUND = ("SQS", "SLMQ", "azureservicebus")
READ = {
    "redis": ("self._brpop_read", ".hset(self.unacked_key, delivery_tag,"),  # between the two a message is nowhere
    "SQS": ("default_visibility_timeout = 1800",),
    "SLMQ": ("default_visibility_timeout = 1800",),
    "azureservicebus": ("default_peek_lock_seconds: int = 60", "default_use_lock_renewal: bool = False"),
    "azurestoragequeues": ("q.delete_message(message=message)\n\n        return content",),
    "confluentkafka": ("        consumer.commit()\n", "producer.produce(queue, str_to_bytes(dumps(message)))\n        producer.flush()\n"),
    "consul": ("self.client.kv.delete(key=data[0]['Key']", "int(round(monotonic() * 1000))"),
    "etcd": ("self.client.delete(key=item['key'])\n                return msg_content", "exchange_type=frozenset(['direct'])"),
    "gcpubsub": ("f'exchange type {exchange_type} not implemented'",),
    "librabbitmq": ("ssl not supported by librabbitmq",),
    "mongodb": ("msg = self.messages.find_one_and_delete(",),
    "pgmq": ("default_visibility_timeout = 1800", "raise NotImplementedError('multiple acks not implemented')"),
    "pyro": ("self.queues[queue].get(block=False)", "self.queues = {}"),
    "qpid": ("does not support Python 3",),
    "sqlalchemy": ("msg.visible = False",),
    "zookeeper": ("An entry is removed from\nthe queue prior to being processed",),
}


def source(module):
    """Return the source of one of kombu's transports, without importing it: its client library is not here."""
    spec = importlib.util.find_spec(f"kombu.transport.{module}")
    return spec.loader.get_source(spec.name)


@pytest.mark.parametrize("module", READ)
def test_a_refused_broker_still_does_what_it_is_refused_for(module):
    for line in READ[module]:
        assert line in source(module), f"kombu {kombu.__version__} has changed: look again whether {module} may be offered"


def test_a_process_knows_only_its_own_bindings_where_the_transport_keeps_none():
    assert [module for module in UNBOUND if "get_table" in source(module)] == []
    assert "self.state = BrokerState()" in inspect.getsource(virtual.Transport.__init__)


def test_each_refusal_was_measured_or_read():
    modules = {alias: TRANSPORT_ALIASES[alias].replace(":", ".").split(".")[2] for alias in TRANSPORT_ALIASES if alias.lower() in REFUSED}

    assert {alias for alias, module in modules.items() if module not in READ} == {"filesystem", "pyamqp"}
