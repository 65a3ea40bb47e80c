"""Connections to RabbitMQ, and what its errors mean."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from random import random
from typing import Any, Final, TypeVar

import kombu
from amqp.exceptions import AccessRefused, AMQPError, ChannelError, ConnectionForced, ContentTooLarge, NotAllowed, NotFound, PreconditionFailed
from amqp.exceptions import ConnectionError as AmqpConnectionError

from edakit.errors import BrokerError, CapabilityError, EdakitError, PermissionDeniedError
from edakit.transports.address import Address
from edakit.transports.lookup import look_up
from edakit.transports.rabbitmq_wire import PATIENCE, Transport

__all__ = ["HEARTBEAT", "LOST", "PARTING", "TRYING", "Control", "Opener", "give_back", "hang_up", "passing", "pauses"]

HEARTBEAT: Final = 10
"""After so long without a word from the other side, doubled at most, a connection counts as lost [s]."""
CONNECTING: Final = 4.0
"""How long one attempt to connect may take [s]."""
TRYING: Final = 10.0
"""How long a call tries again while the broker cannot be reached [s]; with one attempt that began late it ends within 15 s."""
PARTING: Final = 3.0
"""How long what is asked before a close tries, and waits for an answer [s]."""
LOST: Final = (OSError, AmqpConnectionError, AttributeError)
"""What the end of a connection looks like (py-amqp sets what it closes to None)."""
_FORBIDDEN = re.compile(r"access to (.+?) refused")
_MEANINGS: Final[tuple[tuple[Any, str, str, str], ...]] = (
    # kind of error, a word in it, what it means, what to do
    (AccessRefused, "", "user {user!r} or the password was refused", "correct them in the URL (special characters as %..)"),
    ((NotAllowed, NotFound), "vhost", "there is no virtual host {vhost!r} ({text})", "correct the end of the URL, or have it made: rabbitmqctl add_vhost"),
    ((PreconditionFailed, ContentTooLarge), "", "it refused the message ({text})", "send less, or raise max_message_size in its configuration"),
    (ssl.SSLError, "WRONG_VERSION", "what answers there speaks no TLS ({text})", "write amqp://, or the port at which it speaks TLS (5671 as a rule)"),
    (ssl.SSLError, "", "its certificate was not accepted ({text})", "name the right authority with ?ca=FILE, and the host as the certificate does"),
    (ConnectionForced, "", "it ended the connection ({text})", "try again when it is back"),
    ((ChannelError, AmqpConnectionError), "", "it refused ({text})", "look into its log"),
    (BaseException, "", "it does not answer ({text})", "start it (edakit brokers up rabbitmq), or correct host and port in the URL"),
)
_T = TypeVar("_T")


def pauses(first: float = 0.05, longest: float = 2.0) -> Iterator[float]:
    """Yield the waits between attempts to reach the broker, doubling and jittered [s]."""
    while True:
        yield first * (0.5 + random() / 2)
        first = min(longest, first * 2)


class Opener:
    """Opens connections to one address.

    Args:
        address: Where; see `address.parse_url`.
    """

    def __init__(self, address: Address) -> None:
        assert address.login is not None  # noqa: S101 (the table says so)
        self.address, self.login = address, address.login
        self.shown = f"RabbitMQ at {self.login.host}:{self.login.port}"

    def kombu(self, transport: Any = Transport, heartbeat: int = 0, **options: Any) -> Any:
        """Return a kombu connection, not yet opened."""
        login = self.login
        return kombu.Connection(
            login.host,
            login.user,
            login.password,
            login.vhost,
            login.port,
            transport=transport,
            ssl=self._tls(),
            heartbeat=heartbeat,
            connect_timeout=CONNECTING,
            transport_options={"client_properties": {"connection_name": f"edakit {self.address.namespace}".strip()}, **options},
        )

    def _tls(self) -> Any:
        if self.address.scheme != "amqps":
            return False
        # With less than all three, py-amqp accepts a certificate of any host.
        return {"ca_certs": self.address.options.get("ca"), "server_hostname": self.login.host, "cert_reqs": ssl.CERT_REQUIRED}

    def open(self, **options: Any) -> Any:
        """Open a connection; with `heartbeat=HEARTBEAT` where a thread serves it.

        Raises:
            BrokerError: nobody answers, or the user, the password or the virtual host is refused.
        """
        connection = self.kombu(**options)
        try:
            look_up(self.login.host)
            return connection.transport.establish_connection()
        except (*LOST, AMQPError, UnicodeError) as error:  # the last: of a host name that can be none, such as a..b
            raise self.explain(error) from error

    def explain(self, error: BaseException) -> EdakitError:
        """Return what *error* means, without a password."""
        if isinstance(error, EdakitError):
            return error
        text = str(getattr(error, "reply_text", None) or error or type(error).__name__)
        login = self.login
        if forbidden := _FORBIDDEN.search(text):
            return PermissionDeniedError(self.shown, login.user, "use", forbidden[1])
        if isinstance(error, PreconditionFailed) and "inequivalent" in text:
            return CapabilityError("amqp://", f"change a queue that exists ({text})", "keep bound and when_full as they were, or delete the queue first")
        problem, advice = next(each[2:] for each in _MEANINGS if isinstance(error, each[0]) and each[1] in text)
        return BrokerError(self.shown, problem.format(user=login.user, vhost=login.vhost, text=text), advice)


def give_back(channel: Any, queue: str, count: int) -> None:
    """Close *channel*, so that the *count* messages that it has not acked go back; return when they are there, or were there and others took them."""
    if not count:
        channel.close()
        return
    with channel.connection.channel() as asking:
        before = asking.queue_declare(queue, passive=True)
        # Not basic_nack: more than 32 at once come back in any order (RabbitMQ 3.10).
        channel.close()
        # A quorum queue takes them back some milliseconds later, on a busy machine more than a second, and whoever asked meanwhile would be told
        # that it is empty. Until then it counts each basic_get among its consumers; in one step it forgets them and has the messages again.
        for pause in islice(pauses(0.001, 0.05), 120):
            found = asking.queue_declare(queue, passive=True)
            if found.message_count >= before.message_count + count or found.consumer_count < before.consumer_count:
                return
            time.sleep(pause)


def hang_up(connection: Any) -> None:
    """Close *connection* politely if the broker is there, within two seconds, and in any case."""
    if connection is None:
        return
    with suppress(*LOST, AMQPError):
        connection.polite = 2.0
        connection.close()
    connection.abandon()


class Control:
    """The connection on which queues are made, counted and looked at; opened when first used. Any thread may call it.

    Args:
        opener: Opens it.

    Attributes:
        trying: How long a call tries again while the broker cannot be reached, and at most waits for an answer [s].
    """

    def __init__(self, opener: Opener) -> None:
        self.opener, self.trying = opener, TRYING
        self._lock = threading.RLock()
        self._connection: Any = None
        self._channel: Any = None

    def call(self, function: Callable[[Any], _T]) -> _T:
        """Return what *function* does with a channel; it is called again while the broker cannot be reached, for `trying`.

        Raises:
            BrokerError: it cannot be reached, or refuses.
        """
        deadline = time.monotonic() + self.trying
        with self._lock:
            for pause in pauses():
                try:
                    channel = self._open()
                except (*LOST, BrokerError) as error:
                    self.drop()
                    if time.monotonic() + pause > deadline or not passing(error):
                        raise self.opener.explain(error) from error
                else:
                    try:
                        return function(channel)
                    except ChannelError as error:
                        self._channel = None
                        raise self.opener.explain(error) from error
                    except LOST as error:
                        self.drop()
                        if time.monotonic() + pause > deadline:
                            raise self.opener.explain(error) from error
                    except BaseException:  # an interrupt may come between two halves of a frame
                        self.drop()
                        raise
                time.sleep(pause)
        raise AssertionError  # pauses never end

    def _open(self) -> Any:
        if self._connection is not None:
            self._connection.drain()  # whether it was closed while nobody looked
        if self._connection is None:
            self._connection = self.opener.open()
        self._connection.polite = min(PATIENCE, self.trying)
        if self._channel is None or self._channel.connection is None:
            self._channel = self._connection.channel()
        return self._channel

    def drop(self) -> None:
        """Close the socket; the next call opens another."""
        if self._connection is not None:
            self._connection.abandon()
        self._connection = self._channel = None

    def close(self) -> None:
        """Close it politely."""
        with self._lock:
            connection, self._connection, self._channel = self._connection, None, None
            hang_up(connection)


def passing(error: BaseException) -> bool:
    """Whether it may go away by itself: not a password that was refused."""
    cause = error.__cause__ if isinstance(error, BrokerError) else error
    return not isinstance(error, PermissionDeniedError) and not isinstance(cause, AccessRefused | NotAllowed | NotFound | ssl.SSLError | UnicodeError)
