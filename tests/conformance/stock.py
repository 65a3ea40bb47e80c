"""What kombu's own transports do where ours keep their promises: the same questions, asked through kombu's own API."""

from __future__ import annotations

import csv
import io
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import kombu
from amqp.exceptions import ChannelError
from kombu.exceptions import ContentDisallowed, DecodeError, MessageStateError

from edakit.errors import CapabilityError
from edakit.events import KEY, TYPE
from edakit.transports import kafka_kombu, memory, sqlite
from edakit.transports.address import parse_url
from edakit.transports.broker import Broker
from edakit.transports.link import EXCHANGE, open_link

ROOT = Path(__file__).parents[2]
Connect = Callable[[], Any]
Addresses = Mapping[str, str]
"""The address of each server that is needed, by name: rabbitmq, kafka."""


@contextmanager
def kombu_memory(_: Addresses) -> Iterator[Connect]:
    """kombu's own memory://; its state is the process's, so that the names must differ from run to run."""
    yield lambda: kombu.Connection("memory://", transport_options={"polling_interval": 1.0})


@contextmanager
def kombu_filesystem(_: Addresses) -> Iterator[Connect]:
    """kombu's own filesystem://, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        places = {"data_folder_in": folder, "data_folder_out": folder, "control_folder": f"{folder}/control"}
        yield lambda: kombu.Connection("filesystem://", transport_options=places)


@contextmanager
def our_memory(_: Addresses) -> Iterator[Connect]:
    """Our memory://."""
    broker = Broker()
    yield lambda: kombu.Connection(transport=memory.Transport, transport_options={"broker": broker})


@contextmanager
def our_sqlite(_: Addresses) -> Iterator[Connect]:
    """Our sqlite://, in a file of its own."""
    with tempfile.TemporaryDirectory() as folder:
        yield lambda: kombu.Connection(transport=sqlite.Transport, transport_options={"path": f"{folder}/shop.db", "lease": 0.4})


@contextmanager
def kombu_rabbitmq(addresses: Addresses) -> Iterator[Connect]:
    """kombu's own amqp://, as it comes: without confirms, without heartbeats."""
    yield lambda: kombu.Connection(addresses["rabbitmq"])


@contextmanager
def kombu_kafka(addresses: Addresses) -> Iterator[Connect]:
    """kombu's own confluentkafka://, as it comes, but for two times: an answer is waited for a third of a second, and a consumer is dead after six."""
    # Its producers outlive their channel, and would tell standard error that the server of the tests has gone.
    options = {"wait_time_seconds": 0.3, "kafka_consumer_config": {"session.timeout.ms": 6000}, "kafka_common_config": {"log_level": 0}}
    yield lambda: kombu.Connection(f"confluent{addresses['kafka']}", transport_options=options)


@contextmanager
def our_kafka(addresses: Addresses) -> Iterator[Connect]:
    """Our kafka://, in a namespace of its own, since it has one exchange; a consumer is dead after six seconds here too."""
    url = f"{addresses['kafka']}?namespace=n{uuid4().hex[:8]}"
    link = open_link(parse_url(url), time.time_ns)

    def connect() -> Any:
        connection = link.connect()
        connection.transport_options["url"] = url
        return connection

    yield connect
    link.close()


@contextmanager
def our_rabbitmq(addresses: Addresses) -> Iterator[Connect]:
    """Our amqp://."""
    link = open_link(parse_url(addresses["rabbitmq"]), time.time_ns)
    yield link.connect
    link.close()


TRANSPORTS = {
    "kombu memory://": kombu_memory,
    "kombu filesystem://": kombu_filesystem,
    "kombu amqp://": kombu_rabbitmq,
    "kombu kafka://": kombu_kafka,
    "edakit memory://": our_memory,
    "edakit sqlite://": our_sqlite,
    "edakit amqp://": our_rabbitmq,
    "edakit kafka://": our_kafka,
}
"""How to connect to each."""
NEEDS = {transport: "rabbitmq" if "amqp" in transport else "kafka" for transport in TRANSPORTS if "amqp" in transport or "kafka" in transport}
"""Which server a transport needs."""


class Shop:
    """Queues "mail" and "stock" (with other names each time), bound to `cart.#`."""

    def __init__(self, connect: Connect) -> None:
        self.connection = connect()
        self.channel = self.connection.channel()
        self.names = {name: f"{name}-{uuid4().hex[:8]}" for name in ("mail", "stock")}
        only = EXCHANGE if isinstance(self.connection.transport, kafka_kombu.Transport) else None
        self.exchange = kombu.Exchange(only or f"shop-{uuid4().hex[:8]}", "topic")
        for name in self.names.values():
            self.queue(name)(self.channel).declare()
        self.producer = kombu.Producer(self.channel, self.exchange)

    def queue(self, name: str) -> Any:
        """Return the queue with its binding."""
        return kombu.Queue(self.names.get(name, name), self.exchange, "cart.#")

    def publish(self, *numbers: int, **options: Any) -> None:
        """Publish *numbers*, in this order."""
        for number in numbers:
            self.send(number, "cart.added", **options)

    def send(self, body: object, key: str, cart: str | None = None, **options: Any) -> None:
        """Publish *body* as an event of type *key*, about one *cart*."""
        headers = {TYPE: key} | ({} if cart is None else {KEY: cart})
        self.producer.publish(body, routing_key=key, headers=headers, **options)

    def get(self, name: str, channel: Any = None, tries: int = 16) -> Any:
        """Return the next message of a queue, or None; kombu's Kafka answers None while a new consumer joins its group."""
        for _ in range(tries):
            if (message := self.queue(name)(channel or self.channel).get()) is not None:
                return message
        return None

    def all(self, name: str, channel: Any = None) -> list[int]:
        """Take and ack what a queue holds."""
        found: list[int] = []
        while (message := self.get(name, channel, tries=1 if found else 16)) is not None:
            found.append(message.decode())
            with suppress(MessageStateError):
                message.ack()
        return found


def in_order(connect: Connect) -> bool:
    """Fifty messages of one cart come in the order in which they were published."""
    with closing_shop(connect) as shop:
        for number in range(50):
            shop.send(number, "cart.added", cart="c-1")
        return shop.all("mail") == list(range(50))


def comes_back_after_close(connect: Connect) -> bool:
    """What was taken and not acked comes back when its channel closes."""
    with closing_shop(connect) as shop:
        shop.publish(1, 2)
        with closing(connect()) as dying:
            channel = dying.channel()
            shop.get("mail", channel)
            channel.close()
        return sorted(shop.all("mail")) == [1, 2]


def requeue_is_private(connect: Connect) -> bool:
    """A message that one subscriber gives back reaches no other subscriber again."""
    with closing_shop(connect) as shop:
        shop.publish(1)
        shop.get("mail").requeue()
        return shop.all("mail") == [1] and shop.all("stock") == [1]


def requeue_elsewhere(connect: Connect) -> bool:
    """A message given back on a connection that declared nothing is not lost."""
    with closing_shop(connect) as shop:
        shop.publish(1)
        with closing(connect()) as other:
            message = shop.get("mail", other.channel())
            message.requeue()
        return 1 in shop.all("mail")


def acks_are_private(connect: Connect) -> bool:
    """One subscriber's ack leaves the other subscriber's message recoverable."""
    with closing_shop(connect) as shop:
        shop.publish(1)
        with closing(connect()) as dying:
            channel = dying.channel()
            shop.get("stock", channel)
            shop.get("mail").ack()
            channel.close()
        return shop.all("stock") == [1]


def acks_may_be_out_of_order(connect: Connect) -> bool:
    """An ack of a later message leaves an earlier one recoverable."""
    with closing_shop(connect) as shop:
        for number in (1, 2):
            shop.send(number, "cart.added", cart="c-1")
        with closing(connect()) as dying:
            channel = dying.channel()
            first, second = shop.get("mail", channel), shop.get("mail", channel)
            second.ack()
            earlier = first.decode()
            channel.close()
        return earlier in shop.all("mail")


def mandatory_raises(connect: Connect) -> bool:
    """A mandatory message that nobody is bound to raises in that very call."""
    with closing_shop(connect) as shop:
        try:
            shop.send(1, "order.placed", mandatory=True)
        except Exception:  # noqa: BLE001 (each transport has its own)
            return True
        return False


def missing_exchange_raises(connect: Connect) -> bool:
    """A message to an exchange that is not there raises in that very call."""
    with closing_shop(connect) as shop:
        nowhere = kombu.Exchange(f"nowhere-{uuid4().hex[:8]}", "topic", no_declare=True)
        try:
            kombu.Producer(shop.connection.channel(), nowhere).publish(1, routing_key="cart.added")
        except Exception:  # noqa: BLE001 (each transport has its own)
            return True
        return False


def bound_holds(connect: Connect) -> bool:
    """A queue of two places never holds three messages."""
    with closing_shop(connect) as shop:
        name = f"small-{uuid4().hex[:8]}"
        kombu.Queue(name, shop.exchange, "cart.#", queue_arguments={"x-max-length": 2})(shop.channel).declare()
        with suppress(Exception):  # a third one may be refused, by whatever error, or dropped: what counts is what is there
            shop.publish(1, 2, 3)
        return len(shop.all(name)) == 2


def hash_matches_none(connect: Connect) -> bool:
    """The pattern `cart.#` takes the key `cart`."""
    with closing_shop(connect) as shop:
        shop.send(1, "cart")
        return shop.all("mail") == [1]


def ack_multiple(connect: Connect) -> bool:
    """An ack of several settles all that came before it."""
    with closing_shop(connect) as shop:
        shop.publish(1, 2, 3)
        with closing(connect()) as other:
            channel = other.channel()
            messages = [shop.get("mail", channel) for _ in range(3)]
            last = messages[2].decode()
            messages[1].ack(multiple=True)
            channel.basic_recover(requeue=True)
        return shop.all("mail") == [last]


def prefetch_holds(connect: Connect) -> bool:
    """With a prefetch of two, a third message is not handed out."""
    seen: list[Any] = []
    with closing_shop(connect) as shop:
        shop.publish(1, 2, 3)
        consumer = kombu.Consumer(shop.channel, shop.queue("mail"), callbacks=[lambda body, message: seen.append(message)], accept=["json"], prefetch_count=2)
        with consumer:
            _drain(shop.connection, lambda: len(seen) >= 2)
            with suppress(TimeoutError, socket.timeout):
                shop.connection.drain_events(timeout=0.1)
        return len(seen) == 2


def _drain(connection: Any, enough: Callable[[], bool]) -> None:
    """Take what comes until it is enough, for five seconds at most."""
    deadline = time.monotonic() + 5
    while not enough() and time.monotonic() < deadline:
        with suppress(TimeoutError, socket.timeout):
            connection.drain_events(timeout=0.05)


def garbage_passes(connect: Connect) -> bool:
    """A message that cannot be decoded leaves the consumer able to take the next one, and is not lost."""
    with closing_shop(connect) as shop:
        shop.send(b"\x80", "cart.added", content_type="application/x-python-serialize", content_encoding="binary")
        shop.publish(1)
        found = []
        for message in (shop.get("mail"), shop.get("mail")):
            with suppress(ContentDisallowed, DecodeError):
                found.append(message.decode())
        return found == [1]


def wakes(connect: Connect) -> bool:
    """A consumer that waits has a message within 100 ms."""
    seen: list[float] = []
    with closing_shop(connect) as shop:
        ready = threading.Event()

        def consume() -> None:
            with closing(connect()) as other:
                callback = lambda body, message: (seen.append(time.perf_counter()), message.ack())
                with kombu.Consumer(other.channel(), shop.queue("mail"), callbacks=[callback], accept=["json"]):
                    ready.set()
                    for _ in range(3):
                        other.drain_events(timeout=5)

        waiting = threading.Thread(target=consume)
        waiting.start()
        ready.wait()
        waits = []
        for number in range(3):
            time.sleep(0.15)
            before = time.perf_counter()
            shop.publish(number)
            while len(seen) <= number:
                time.sleep(0.001)
            waits.append(seen[-1] - before)
        waiting.join()
        return sorted(waits)[1] < 0.1


def two_connections_share(connect: Connect) -> bool:
    """Two consumers of one queue each get some of its messages."""
    seen: tuple[list[Any], list[Any]] = ([], [])
    with closing_shop(connect) as shop, ExitStack() as stack:
        connections = [stack.enter_context(closing(connect())) for _ in seen]
        for connection, mine in zip(connections, seen, strict=True):
            callback = lambda body, message, mine=mine: (mine.append(body), message.ack())
            stack.enter_context(kombu.Consumer(connection.channel(), shop.queue("mail"), callbacks=[callback], accept=["json"], prefetch_count=1))
        number, shared, deadline = 0, 0, time.monotonic() + 10  # a group that is new needs some seconds to share out its queue
        # Twice in a row: in between, all may pass from one consumer to the other.
        while shared < 2 and time.monotonic() < deadline:
            for mine in seen:
                mine.clear()
            shop.publish(*range(number, number + 12))
            number += 12
            for connection in connections * 12:
                with suppress(TimeoutError, socket.timeout):
                    connection.drain_events(timeout=0.05)
            shared = shared + 1 if all(seen) else 0
        return shared == 2 and len({*seen[0], *seen[1]}) == len(seen[0] + seen[1])


def killed_gives_back(connect: Connect) -> bool | None:
    """What a process that was killed had taken comes back."""
    with closing_shop(connect) as shop:
        if (how := _again(shop.connection)) is None:
            return None  # lives in one process
        shop.publish(1)
        code = f"message = {how}.channel().basic_get({shop.names['mail']!r}); print(message is not None, flush=True); time.sleep(60)"
        with _process(code) as running:
            taken = running.stdout.readline()
            running.kill()
        if taken != "True\n":
            raise RuntimeError("the other process got no message")
        deadline = time.monotonic() + 12
        while (found := shop.all("mail")) != [1] and time.monotonic() < deadline:
            time.sleep(0.05)
        return found == [1]


def reaches_from_elsewhere(connect: Connect) -> bool | None:
    """What another process publishes reaches the queues that are bound."""
    with closing_shop(connect) as shop:
        if (how := _again(shop.connection)) is None:
            return None  # lives in one process
        code = f"""
exchange = kombu.Exchange({shop.exchange.name!r}, "topic")
kombu.Producer({how}.channel(), exchange).publish(1, routing_key="cart.added", headers={{stock.TYPE: "cart.added"}})"""
        with _process(code) as running:
            if running.wait(60) != 0:
                raise RuntimeError("the other process did not publish")
        return shop.all("mail") == [1]


def _process(code: str) -> subprocess.Popen[str]:
    """Run *code* in another process."""
    begin = "import time, kombu\nfrom tests.conformance import stock\n"
    return subprocess.Popen([sys.executable, "-c", begin + code], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _again(connection: Any) -> str | None:
    """Return an expression that makes one more such connection in another process; None where there is none."""
    options = connection.transport_options
    if "path" in options:
        return f"kombu.Connection(transport=stock.sqlite.Transport, transport_options={options!r})"
    if "data_folder_in" in options:
        return f"kombu.Connection('filesystem://', transport_options={options!r})"
    if "url" in options:
        return f"stock.open_link(stock.parse_url({options['url']!r}), time.time_ns).connect()"
    if connection.transport.driver_type == "kafka":
        return f"kombu.Connection({connection.as_uri()!r}, transport_options={options!r})"
    if connection.transport.driver_type != "amqp":
        return None
    place = {name: connection.info()[name] for name in ("hostname", "port", "userid", "password", "virtual_host")}
    return f"kombu.Connection(**{place!r})"


@contextmanager
def closing_shop(connect: Connect) -> Iterator[Shop]:
    """Close the connection at the end."""
    shop = Shop(connect)
    try:
        yield shop
    finally:
        # Where a call goes without an answer, what the broker says about it comes to whoever calls next.
        try:
            shop.connection.release()
        except ChannelError:
            shop.connection.collect()


QUESTIONS = (
    in_order,
    comes_back_after_close,
    killed_gives_back,
    reaches_from_elsewhere,
    requeue_is_private,
    requeue_elsewhere,
    acks_are_private,
    acks_may_be_out_of_order,
    mandatory_raises,
    missing_exchange_raises,
    bound_holds,
    hash_matches_none,
    ack_multiple,
    prefetch_holds,
    garbage_passes,
    wakes,
    two_connections_share,
)


def ask(question: Callable[[Connect], bool | None], transport: str, addresses: Addresses) -> str:
    """Return yes, no, - where the question has no meaning, "refused" where an error says that it cannot, or the name of what was raised."""
    with TRANSPORTS[transport](addresses) as connect:
        try:
            return {True: "yes", False: "no", None: "-"}[question(connect)]
        except CapabilityError:
            return "refused"
        except Exception as error:  # noqa: BLE001 (whatever a transport raises is its answer)
            return type(error).__name__


def table(addresses: Addresses) -> str:
    """Ask every question of every transport; return the answers as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["question", *TRANSPORTS])
    for question in QUESTIONS:
        writer.writerow([(question.__doc__ or "").strip(), *(ask(question, transport, addresses) for transport in TRANSPORTS)])
    return text.getvalue()
