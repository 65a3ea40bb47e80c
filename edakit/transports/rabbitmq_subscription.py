"""One subscription to a queue of RabbitMQ: a connection of its own, and one thread that reads it, serves its heartbeat and sends acks in blocks."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import Any, Final, NamedTuple

from amqp import spec
from amqp.exceptions import AMQPError, NotFound

from edakit.errors import BrokerError
from edakit.transports.rabbitmq_connection import HEARTBEAT, LOST, TRYING, Opener, give_back, pauses
from edakit.transports.rabbitmq_messages import Message, Stock
from edakit.transports.rabbitmq_wire import readable

__all__ = ["Count", "RabbitSubscription"]

BLOCK: Final = 50
"""So many acks leave at once, or half of what may be un-acked [messages]."""
_LINGER: Final = 0.003
"""How long an ack waits for others while there is work [s]."""
_TICK: Final = 1.0
_HELD_MOST: Final = 10_000
"""So many messages may wait here for their time before no new ones are taken [messages]."""


class Count(NamedTuple):
    """Where the messages of a queue are.

    Attributes:
        waiting: In the queue.
        here: Taken by the subscription and not handed out, held ones among them.
        unfinished: Taken by the subscription and not done with.
        adrift: Taken with a connection that was lost, and not seen again so far.
    """

    waiting: int
    here: int
    unfinished: int
    adrift: int


class RabbitSubscription:
    """Messages of one queue; see `link.Subscription`.

    Args:
        opener: Opens connections.
        queue: Name of the queue, as the broker knows it.
        prefetch: Most messages that are taken and not acked, those held until they are due aside [messages].
        now_ns: The clock by which messages become due [ns].
        put: Puts a copy of a message into the queue.
        declare: Makes the queue again if the broker has lost it.

    Raises:
        BrokerError: the broker cannot be reached, or refuses.
    """

    def __init__(
        self, opener: Opener, queue: str, prefetch: int, now_ns: Callable[[], int], put: Callable[[Message], None], declare: Callable[[], None]
    ) -> None:
        self.queue = queue
        self._opener, self._prefetch, self._declare = opener, prefetch, declare
        self._bell, self._hammer = socket.socketpair()
        self._bell.setblocking(False)
        self._hammer.setblocking(False)
        self.stock = Stock(now_ns, put, self._ring, max(1, min(BLOCK, prefetch // 2)), prefetch)
        self.adrift, self._adrift_until = 0, 0.0
        self._connection: Any = None
        self._channel: Any = None
        self._questions: list[_Question] = []
        self._closing = False
        self._flush_at: float | None = None
        self._renewed = self._since = 0
        try:
            self._open()
        except BaseException:
            self._bell.close()
            self._hammer.close()
            raise
        self._thread = threading.Thread(target=self._run, name=f"{queue}-rabbitmq", daemon=True)
        self._thread.start()

    def get(self) -> Message | None:
        """Return the next message that is due; None if there is none, or prefetch is used up."""
        return self.stock.get()

    def listen(self, wake: Callable[[], None]) -> None:
        """Have *wake* called for each message that arrives, and now for each that is there."""
        self.stock.wake = wake
        for _ in range(len(self.stock)):
            wake()

    def next_due_ns(self) -> int | None:
        """When the earliest message that waits for its time is due [ns]; None if none waits."""
        held = self.stock.held
        return held[0][0] if held else None

    @property
    def in_flight(self) -> int:
        """How many messages were taken and are not yet acked [messages]."""
        return self.stock.in_flight

    def __len__(self) -> int:
        return len(self.stock)

    def count(self, seconds: float = TRYING) -> Count:
        """Count the messages of this queue, those on their way here too.

        Raises:
            BrokerError: the broker does not tell within *seconds* [s].
        """
        question = _Question()
        self._questions.append(question)
        self._ring()
        if (not question.answered.wait(seconds) and self._thread.is_alive()) or question.answer is None:
            raise BrokerError(
                self._opener.shown, "the connection was lost and is not back yet", "it is tried again in the background: start the broker, or stop"
            )
        return question.answer

    def _ring(self) -> None:
        with suppress(OSError):  # full: it rings already; closed: nobody is there
            self._hammer.send(b"!")

    def _open(self) -> None:
        connection = self._opener.open(heartbeat=HEARTBEAT)
        try:
            self._consume(connection)
        except BaseException as error:
            connection.abandon()
            if isinstance(error, (*LOST, AMQPError)):
                raise self._opener.explain(error) from error
            raise
        self._connection, self._flush_at = connection, None

    def _consume(self, connection: Any) -> None:
        channel = connection.channel()
        channel.basic_qos(0, self._prefetch, False)
        try:
            channel.basic_consume(self.queue, callback=self._receive)
        except NotFound:
            self._declare()
            channel = connection.channel()
            channel.basic_qos(0, self._prefetch, False)
            channel.basic_consume(self.queue, callback=self._receive)
        self._channel, self._renewed, self._since = channel, 0, 0

    def _receive(self, raw: Any) -> None:
        if self.adrift and raw.delivery_info["redelivered"]:
            self.adrift -= 1
        self.stock.receive(raw)

    def _run(self) -> None:
        while not self._closing:
            try:
                self._serve()
            except (*LOST, AMQPError):
                self._lose()
                self._reopen()
        self._part()

    def _serve(self) -> None:
        """Serve the connection until it is lost, or this is to end."""
        next_tick = time.monotonic() + _TICK
        while not self._closing:
            now = time.monotonic()
            until = next_tick if self._flush_at is None else min(next_tick, self._flush_at)
            rang = self._connection.rest(max(0.0, until - now), self._bell)
            self._connection.drain()
            if rang:
                self._hear()
            self._answer()
            self._flush()
            if time.monotonic() >= next_tick:
                self._connection.heartbeat_tick()
                next_tick = time.monotonic() + _TICK

    def _hear(self) -> None:
        with suppress(OSError):  # nothing rings
            self._bell.recv(4096)

    def _flush(self) -> None:
        """Send the acks that have waited long enough, or for whose company nobody is left to wait."""
        stock = self.stock
        self._renew()
        if not stock.acks.done:
            self._flush_at = None
        elif stock.acks.done >= stock.block or not stock.ready or self._closing or (self._flush_at is not None and time.monotonic() >= self._flush_at):
            with stock.lock:
                acks = stock.acks.take()
            for tag, multiple in acks:
                self._channel.send_method(spec.Basic.Ack, "Lb", (tag, multiple))
            self._flush_at = None
        elif self._flush_at is None:
            self._flush_at = time.monotonic() + _LINGER

    def _renew(self) -> None:
        """Make room where messages that wait for their time use up the prefetch: a new consumer of this channel has all its places.

        Without it, as many failing events as prefetch allows would hold up all others until the first of them is due. The old one goes when it has
        all that it may have: what is on its way to a consumer that is cancelled goes back, and counts as an attempt (RabbitMQ 3.10).
        """
        held = len(self.stock.held)
        self._renewed = min(self._renewed, held)
        if 2 * (held - self._renewed) >= self._prefetch and held < _HELD_MOST and self._is_full():
            self._renewed, self._since = held, self.stock.acks.last
            old = list(self._channel.callbacks)
            self._channel.basic_qos(0, self._prefetch, False)
            self._channel.basic_consume(self.queue, callback=self._receive)
            for consumer in old:
                self._channel.basic_cancel(consumer)

    def _is_full(self) -> bool:
        with self.stock.lock:
            return self.stock.acks.since(self._since) >= self._prefetch

    def _answer(self) -> None:
        """Count for those who ask. The second question is a barrier: what left the queue before the first was answered has come in before the second is."""
        while self._questions:
            question = self._questions[0]
            waiting = self._channel.queue_declare(self.queue, passive=True).message_count
            self._channel.queue_declare(self.queue, passive=True)
            if self.adrift and time.monotonic() > self._adrift_until:
                self.adrift = 0
            with self.stock.lock:
                question.answer = Count(waiting, len(self.stock), self.stock.acks.unfinished, self.adrift)
            self._questions.pop(0)
            question.answered.set()

    def _lose(self) -> None:
        self._connection.abandon()
        self.adrift += self.stock.lose()

    def _reopen(self) -> None:
        lost_at = time.monotonic()
        for pause in pauses():
            if self._closing:
                return
            self._answer_while_lost(time.monotonic() - lost_at)
            try:
                self._open()
            except (*LOST, AMQPError, BrokerError):
                readable(pause, self._bell)
                self._hear()
            else:
                # Whoever held them may be told of the end of this connection only after two heartbeats.
                self._adrift_until = time.monotonic() + 2.5 * HEARTBEAT
                return

    def _answer_while_lost(self, seconds: float) -> None:
        """Tell those who ask that there is something to wait for; after some time, that it may not come."""
        while self._questions:
            question = self._questions.pop(0)
            question.answer = Count(0, 0, 0, max(1, self.adrift)) if seconds < TRYING else None
            question.answered.set()

    def _part(self) -> None:
        with suppress(*LOST, AMQPError):
            self._flush()
            self._connection.polite = 2.0
            self._see_acks_applied()
            # Without a cancel: what crosses it comes back before all that was delivered earlier (RabbitMQ 3.10).
            give_back(self._channel, self.queue, len(self.stock.acks))
            self._connection.close()
        self._connection.abandon()
        self.stock.lose()
        while self._questions:
            question = self._questions.pop(0)
            question.answer = Count(0, 0, 0, 0)
            question.answered.set()

    def _see_acks_applied(self) -> None:
        """Wait until the queue has come to the acks: of those behind the 32nd on their way, a channel that closes forgets all (RabbitMQ 3.10)."""
        for pause in islice(pauses(0.001, 0.05), 40):
            if not self._channel.queue_declare(self.queue, passive=True).message_count:
                # It stands in the log of the queue behind the acks, and finds nothing; where more waits, it would come back before what is older.
                self._channel.basic_get(self.queue)
                return
            if self._is_full():  # others came in their places
                return
            time.sleep(pause)

    def leave(self) -> None:
        """Begin to end it, without waiting."""
        self._closing = True
        self._ring()

    def close(self) -> None:
        """End it: what is done is acked, what was taken and not acked goes back to the queue."""
        self.leave()
        if self._thread is not threading.current_thread():
            self._thread.join(5.0)
        self._bell.close()
        self._hammer.close()


class _Question:
    """How many messages there are, and whether that was answered."""

    def __init__(self) -> None:
        self.answer: Count | None = None
        self.answered = threading.Event()
