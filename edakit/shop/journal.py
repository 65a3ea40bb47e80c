"""All that was published, kept by the broker: from it a component of the shop can begin again where a killed one ended, on any host.

sqlite:// and Kafka keep a log. RabbitMQ forgets what was acked, so there the shop has a stream: a queue that everything is written into and nothing is
taken out of. Like Kafka's topics it grows until whoever runs the broker bounds it (`rabbitmqctl set_policy`, max-age or max-length-bytes).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Final
from uuid import uuid4

from edakit.bus import EXCHANGE, Bus
from edakit.delivery import Inbox
from edakit.errors import BrokerError
from edakit.events import TYPE, Message
from edakit.replay import Replayed, replayed
from edakit.shop import events
from edakit.transports.link import Logged

__all__ = ["EVERYTHING", "keep", "past"]

EVERYTHING: Final = tuple(each for name in events.__all__ if isinstance(each := getattr(events, name), type) and issubclass(each, Message))
"""All events and commands of the shop."""

_STREAM: Final = "edakit.journal"  # a component's name has no dot
_WINDOW: Final = 500  # messages on their way from a stream at a time
_PATIENCE: Final = 15.0  # without a word from the broker [s]


def keep(bus: Bus) -> None:
    """Have the broker keep all that is published from now on; doing so twice is doing it once.

    Raises:
        BrokerError: it does not answer, or refuses.
    """
    if not bus.address.broker.replay:
        with _channel(bus) as channel:
            channel.queue_declare(_STREAM, durable=True, auto_delete=False, arguments={"x-queue-type": "stream"})
            channel.queue_bind(_STREAM, EXCHANGE, "#")


def past(bus: Bus) -> Iterator[Replayed]:
    """Yield what was published until now, oldest first, each consequence once.

    A worker that was killed, or that lost its broker, may have published what it was not told of, and published it again: a second event of the same type
    from the same cause. No handler of the shop publishes two such events on purpose.

    Raises:
        BrokerError: the broker does not answer.
    """
    keep(bus)
    found = bus.replay(0, *EVERYTHING) if bus.address.broker.replay else replayed(_stream(bus), EVERYTHING, bus.max_body)
    known = Inbox()
    for each in found:
        consequence = f"{each.context.causation_id} {each.context.type}"
        if each.context.causation_id is None or consequence not in known:
            known.add(consequence)
            yield each


@contextmanager
def _channel(bus: Bus) -> Iterator[Any]:
    """Open a channel to RabbitMQ for the block."""
    connection = bus.connect()
    try:
        yield connection.channel()
    except (*connection.connection_errors, *connection.channel_errors) as error:
        login = bus.address.login
        where = f"RabbitMQ at {login.host}:{login.port}" if login else "RabbitMQ"
        raise BrokerError(where, f"its stream {_STREAM!r} cannot be used ({error})", "look whether it runs, and into its log") from error
    finally:
        connection.release()


def _stream(bus: Bus) -> Iterator[Logged]:
    """Read RabbitMQ's stream up to a mark that is put there now: how long it is, RabbitMQ tells some seconds late."""
    mark = uuid4().hex
    with _channel(bus) as channel:
        channel.connection.client.Producer(channel).publish(mark, routing_key=_STREAM, content_type="text/plain", correlation_id=mark)
        for offset, message in enumerate(_messages(channel)):
            if message.properties.get("correlation_id") == mark:
                return
            headers = {name: value for name, value in message.headers.items() if name != "x-stream-offset"}
            yield Logged(offset, headers.get(TYPE, ""), message.body, headers, message.content_type, message.content_encoding)


def _messages(channel: Any) -> Iterator[Any]:
    arrived: deque[Any] = deque()
    channel.basic_qos(0, _WINDOW, False)
    channel.basic_consume(_STREAM, callback=arrived.append, arguments={"x-stream-offset": "first"})
    for number in count(1):
        while not arrived:
            channel.connection.drain_events(timeout=_PATIENCE)
        message = arrived.popleft()
        if number % (_WINDOW // 2) == 0:
            channel.basic_ack(message.delivery_tag, multiple=True)
        yield message
