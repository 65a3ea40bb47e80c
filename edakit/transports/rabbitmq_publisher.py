"""Publishing to RabbitMQ: every message is confirmed, many may be in flight, and each failure is told to the call that it belongs to.

Confirms are counted on the channel (`channel.events["basic_ack"]`), so that none is taken for another's. All threads of a process share
one connection; of those that wait for their confirms, one reads for all.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import takewhile
from typing import Any, Final

from amqp.exceptions import AMQPError, ChannelError

from edakit.errors import BrokerError, ClosedError, UncertainError
from edakit.transports.rabbitmq_connection import LOST, TRYING, Opener, hang_up, passing, pauses
from edakit.transports.rabbitmq_wire import PATIENCE, publish, readable

__all__ = ["WINDOW", "Parcel", "Publisher"]

WINDOW: Final = 500
"""How many messages of one `publish_many` may be in flight [messages]."""
_IDLE: Final = 1.0
TAKEN, RETURNED, REFUSED, GONE = "taken", "returned", "refused", "gone"


class Parcel:
    """One message on its way to the broker.

    Attributes:
        exchange, key, message: Where it goes, and an `amqp.Message`.
        outcome: TAKEN by at least one queue, RETURNED because no queue is bound, REFUSED by a full queue, GONE with its channel; None so far.
        error: Why it is gone.
    """

    __slots__ = ("error", "exchange", "key", "message", "outcome", "returned")

    def __init__(self, exchange: str, key: str, message: Any) -> None:
        self.exchange, self.key, self.message = exchange, key, message
        self.outcome: str | None = None
        self.returned = False
        self.error: BaseException | None = None


class _Confirms:
    """A channel in confirm mode, and what was sent on it and is not settled."""

    def __init__(self, connection: Any) -> None:
        self.channel = connection.channel()
        self.channel.confirm_select()
        self.sent: dict[int, Parcel] = {}
        self._tag = 0
        self.channel.events["basic_ack"].add(lambda tag, multiple: self._settle(tag, TAKEN, multiple=multiple))
        self.channel.events["basic_nack"].add(lambda tag, multiple: self._settle(tag, REFUSED, multiple=multiple))
        self.channel.events["basic_return"].add(self._returned)

    def send(self, parcel: Parcel) -> None:
        self._tag += 1
        self.sent[self._tag] = parcel
        publish(self.channel, parcel.exchange, parcel.key, parcel.message)

    def _settle(self, tag: int, outcome: str, *, multiple: bool) -> None:
        for each in list(takewhile(lambda sent: sent <= tag, self.sent)) if multiple else [tag]:
            parcel = self.sent.pop(each)
            parcel.outcome = RETURNED if parcel.returned and outcome is TAKEN else outcome

    def _returned(self, error: Any, exchange: str, key: str, message: Any) -> None:
        # A return has no number. The broker sends returns in the order of publication, each before its confirm.
        for parcel in self.sent.values():
            if not parcel.returned and (parcel.exchange, parcel.key) == (exchange, key) and parcel.message.body == message.body:
                parcel.returned = True
                return

    def lose(self, error: BaseException) -> None:
        for parcel in self.sent.values():
            parcel.outcome, parcel.error = GONE, error
        self.sent.clear()


class Publisher:
    """One connection that only publishes. Any thread may call it.

    Args:
        opener: Opens the connection.
    """

    def __init__(self, opener: Opener) -> None:
        self.opener = opener
        self.closed, self._sent_at = False, 0.0
        self._lock = threading.RLock()
        self._settled = threading.Condition(self._lock)
        self._connection: Any = None
        self._confirms: _Confirms | None = None
        self._reading = self._blocked = False

    def publish(self, parcel: Parcel) -> str:
        """Publish; return the outcome when the broker has told it.

        Raises:
            BrokerError: it refused, or could not be reached for TRYING seconds; UncertainError where it may have the message.
        """
        deadline = time.monotonic() + TRYING
        self._send(parcel, deadline)
        return self._finish(parcel, deadline)

    def publish_many(self, parcels: Iterable[Parcel]) -> Iterator[tuple[Parcel, str]]:
        """Publish in order, WINDOW of them in flight; yield each with its outcome, in order. Raises as `publish`."""
        window: deque[Parcel] = deque()
        for parcel in parcels:
            # After a loss those in flight are sent again first: the order stays.
            while window and (len(window) >= WINDOW or window[-1].outcome is GONE):
                yield self._finished(window.popleft())
            self._send(parcel, time.monotonic() + TRYING, more=True)
            window.append(parcel)
        while window:
            yield self._finished(window.popleft())

    def _finished(self, parcel: Parcel) -> tuple[Parcel, str]:
        return parcel, self._finish(parcel, time.monotonic() + TRYING)

    def _send(self, parcel: Parcel, deadline: float, *, more: bool = False) -> None:
        with self._lock:
            try:
                self._look()
                self._await_unblocked(deadline)
                if self._connection is None:
                    self._connect()
                if self._confirms is None:
                    self._confirms = _Confirms(self._connection)
                self._connection.transport.corked = more
                self._confirms.send(parcel)
            except (*LOST, AMQPError, BrokerError) as error:
                self._lose(error)
                parcel.outcome, parcel.error = GONE, error
            except BaseException as error:  # an interrupt may come between two halves of a frame
                self._lose(error)
                raise

    def _look(self) -> None:
        """Find out whether the connection was closed while nobody used it."""
        last, self._sent_at = self._sent_at, time.monotonic()
        if self._connection is not None and not self._reading and self._sent_at - last > _IDLE:
            try:
                self._connection.drain()
            except (*LOST, AMQPError) as error:
                self._lose(error)

    def _connect(self) -> None:
        if self.closed:
            raise ClosedError("the link")
        self._blocked = False
        self._connection = self.opener.open(on_blocked=self._block, on_unblocked=self._unblock)

    def _block(self, *_: Any) -> None:
        self._blocked = True

    def _unblock(self, *_: Any) -> None:
        self._blocked = False

    def _await_unblocked(self, deadline: float) -> None:
        while self._blocked and self._connection is not None:
            if time.monotonic() > deadline:
                raise self._blocked_error(BrokerError)
            self._read(0.1)

    def _blocked_error(self, kind: type[BrokerError]) -> BrokerError:
        return kind(self.opener.shown, "it takes no messages at present: its memory or disk is nearly full", "let consumers catch up, or give it more")

    def _finish(self, parcel: Parcel, deadline: float) -> str:
        self._wait(parcel, deadline)
        if parcel.outcome is GONE:
            self._again(parcel, deadline)
        assert parcel.outcome is not None  # noqa: S101 (_wait and _again return no earlier)
        if self.closed:
            self.close()  # which may not have had the lock
        return parcel.outcome

    def _wait(self, parcel: Parcel, deadline: float) -> None:
        late = min(deadline, time.monotonic() + PATIENCE)
        with self._lock:
            while parcel.outcome is None:
                left = (deadline if self._blocked else late) - time.monotonic()
                if left <= 0:
                    self._lose(self._blocked_error(UncertainError) if self._blocked else TimeoutError("the broker did not confirm in time"))
                elif self._reading:
                    self._uncork()
                    self._settled.wait(left)
                else:
                    self._read(left)

    def _uncork(self) -> None:
        try:
            self._connection.transport.uncork()
        except LOST as error:
            self._lose(error)

    def _read(self, seconds: float) -> None:
        """Wait for news and take them in, for all who wait; the lock is open while nothing comes."""
        self._reading = True
        connection = self._connection
        try:
            transport = connection.transport
            transport.uncork()
            if not transport.has_frame:
                self._lock.release()
                try:
                    readable(min(seconds, 1.0), transport.sock)
                finally:
                    self._lock.acquire()
            if connection is self._connection:
                connection.drain()
        except ChannelError as error:
            self._lose_channel(error)
        except (*LOST, AMQPError) as error:
            if connection is self._connection:
                self._lose(error)
        except BaseException as error:
            self._lose(error)
            raise
        finally:
            self._reading = False
            self._settled.notify_all()

    def _lose(self, error: BaseException) -> None:
        """Give the connection up, and with it all that was not confirmed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abandon()
        self._lose_channel(error)

    def _lose_channel(self, error: BaseException) -> None:
        confirms, self._confirms = self._confirms, None
        if confirms is not None:
            confirms.lose(error)
        self._settled.notify_all()

    def _again(self, parcel: Parcel, deadline: float) -> None:
        """Send once more what was in flight when its channel was lost: alone, so that an error is its own."""
        waits = pauses()
        while (cause := self._try(parcel, deadline)) is not None:
            pause = next(waits)
            if time.monotonic() + pause > deadline:
                raise self._unsure(parcel, cause) from cause
            time.sleep(pause)

    def _try(self, parcel: Parcel, deadline: float) -> BaseException | None:
        """Send it alone; return what may go away by itself, and raise what may not."""
        with self._lock:
            try:
                self._alone(parcel, deadline)
            except ChannelError as error:
                raise self.opener.explain(error) from error
            except (*LOST, AMQPError, BrokerError) as error:
                self._lose(error)
                if isinstance(error, BrokerError) and not passing(error):
                    raise
                return error
            except BaseException as error:
                self._lose(error)
                raise
        return None

    def _unsure(self, parcel: Parcel, cause: BaseException) -> BrokerError:
        known = self.opener.explain(cause)
        first = parcel.error
        if isinstance(known, BrokerError) and isinstance(first, BrokerError) and not isinstance(first, UncertainError):
            return known
        problem = known.problem if isinstance(known, BrokerError) else str(known)
        return UncertainError(self.opener.shown, f"it was lost before it confirmed ({problem})", "publish it again if twice is better than never")

    def _alone(self, parcel: Parcel, deadline: float) -> None:
        if time.monotonic() > deadline and parcel.error is not None:
            raise parcel.error
        self._await_unblocked(deadline)
        if self._connection is None:
            self._connect()
        self._connection.transport.uncork()
        confirms = _Confirms(self._connection)
        parcel.outcome, parcel.returned = None, False
        try:
            confirms.send(parcel)
            while parcel.outcome is None:
                self._drain_for(confirms.channel)
        except BaseException as error:
            parcel.outcome, parcel.error = GONE, error
            raise
        confirms.channel.close()

    def _drain_for(self, channel: Any) -> None:
        try:
            self._connection.drain_events(timeout=PATIENCE)
        except ChannelError as error:
            if getattr(error, "channel", None) is channel:
                raise
            self._lose_channel(error)

    def close(self) -> None:
        """Close it; what is in flight is lost to whoever waits for it."""
        self.closed = True
        if not self._lock.acquire(timeout=2.0):
            return  # whoever waits there for a broker that does not answer closes the connection when that is over
        try:
            connection, self._connection = self._connection, None
            with suppress(*LOST, AMQPError):
                hang_up(connection)
            self._lose_channel(ConnectionAbortedError("the link was closed"))
        finally:
            self._lock.release()
